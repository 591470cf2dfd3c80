/** Processes as a fault sees them: by pid and start time, never by pid alone. */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { inspectProcess, type ProcessRef, refOf } from '../engine/index.ts';
import { POLL_MS, SETTLE_DEADLINE_MS } from './limits.ts';

export { inspectProcess, type ProcessRef, refOf };

export function requireRef(pid: number): ProcessRef {
  const ref = refOf(pid);
  if (ref === null) throw new Error(`there is no process ${pid}`);
  return ref;
}

/** Sends a signal to this process and no other that has its pid by now. False: it is gone. */
export function signal(ref: ProcessRef, name: NodeJS.Signals): boolean {
  if (inspectProcess(ref).state === 'gone') return false;
  try {
    process.kill(ref.pid, name);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

/** Resolves when the condition, looked at every `everyMs`, holds; rejects with `what` at the deadline. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  deadlineMs = SETTLE_DEADLINE_MS,
  everyMs = POLL_MS,
): Promise<void> {
  const end = performance.now() + deadlineMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not within ${deadlineMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

/** Runs a command to its end and answers its standard output; an error carries its standard error. */
export async function run(
  command: string,
  args: readonly string[],
  options: SpawnOptions & { readonly input?: string; readonly deadlineMs?: number } = {},
): Promise<string> {
  const { input, deadlineMs, ...rest } = options;
  const child = spawn(command, args, { ...rest, stdio: ['pipe', 'pipe', 'pipe'] });
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout?.on('data', (data: Buffer) => out.push(data));
  child.stderr?.on('data', (data: Buffer) => err.push(data));
  child.stdin?.on('error', () => undefined); // It need not read what it is given.
  child.stdin?.end(input ?? '');
  const timer =
    deadlineMs === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), deadlineMs);
  const code = await exitOf(child);
  clearTimeout(timer);
  if (code !== 0) {
    const text = Buffer.concat(err).toString().trim();
    throw new Error(`${command} ${args[0] ?? ''} ended with ${code}: ${text.slice(-2000)}`);
  }
  return Buffer.concat(out).toString();
}

/** Exit code, or the signal's name. Rejects when the process could not be started. */
export function exitOf(child: ChildProcess): Promise<number | string> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, name) => resolve(code ?? name ?? 'unknown'));
  });
}
