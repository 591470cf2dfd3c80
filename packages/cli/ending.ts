/** Waiting for processes to be gone, and seeing to it. */
import { CliError } from './errors.ts';
import type { Folders } from './folders.ts';
import { GONE_POLL_MS, KILL_TIMEOUT_MS } from './limits.ts';
import { processesOf } from './orphans.ts';

/**
 * SIGKILL to every process of a data folder, until none is found: a watcher among them may have
 * started another one between the look and the signal. What was not saved is lost.
 */
export async function killAll(folders: Pick<Folders, 'home' | 'runDir'>): Promise<void> {
  await gone(
    () => {
      const left = processesOf(folders);
      for (const { pid } of left) {
        try {
          process.kill(pid, 'SIGKILL');
        } catch {
          // It ended between the look and the signal.
        }
      }
      return left.length > 0;
    },
    KILL_TIMEOUT_MS,
    'some process',
  );
}

export async function gone(there: () => boolean, timeoutMs: number, what: string): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (there()) {
    if (performance.now() > deadline) {
      throw new CliError(
        'timeout',
        'still-stopping',
        `The ${what} is still there after ${timeoutMs / 1000} s.`,
        'See what it does: cinnabar logs. End it without saving: cinnabar down --now',
      );
    }
    await new Promise((resolve) => setTimeout(resolve, GONE_POLL_MS));
  }
}
