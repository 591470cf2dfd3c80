/**
 * How a fault is taken back, as data: so that another process, which knows nothing of the one that
 * set the fault, can do it after that one's death.
 */
import { rm, rmdir, writeFile } from 'node:fs/promises';
import type { ProcessRef } from '../engine/contract.ts';
import { SETTLE_DEADLINE_MS } from './limits.ts';
import { inspectProcess, run, signal, until } from './processes.ts';

export type Undo =
  | { readonly kind: 'signal'; readonly process: ProcessRef; readonly signal: NodeJS.Signals }
  /** Ends the process that makes the fault (a tracer) and waits until it is gone. */
  | { readonly kind: 'end'; readonly process: ProcessRef }
  | { readonly kind: 'remove'; readonly path: string }
  | { readonly kind: 'write'; readonly path: string; readonly text: string }
  | { readonly kind: 'unmount'; readonly path: string }
  | { readonly kind: 'run'; readonly command: string; readonly args: readonly string[] }
  /** Sets the soft limit of a resource back if it is the one we set; the hard one was never touched. */
  | {
      readonly kind: 'limit';
      readonly process: ProcessRef;
      readonly resource: string;
      readonly soft: string;
      readonly set: number;
    };

/** Doing it twice, or after the process it concerns is gone, is no error. */
export async function perform(undo: Undo): Promise<void> {
  switch (undo.kind) {
    case 'signal':
      signal(undo.process, undo.signal);
      return;
    case 'end':
      if (!signal(undo.process, 'SIGTERM')) return;
      await until(
        `process ${undo.process.pid} ends`,
        () => inspectProcess(undo.process).state === 'gone',
        SETTLE_DEADLINE_MS,
      ).catch(() => signal(undo.process, 'SIGKILL'));
      return;
    case 'remove':
      await rm(undo.path, { force: true });
      return;
    case 'write':
      await writeFile(undo.path, undo.text);
      return;
    case 'unmount':
      // Lazy: a process that still has a file open there must not keep the fault alive.
      await run('umount', ['-l', undo.path]);
      await rmdir(undo.path);
      return;
    case 'run':
      await run(undo.command, undo.args);
      return;
    case 'limit':
      if (inspectProcess(undo.process).state === 'gone') return;
      if ((await softLimit(undo.process, undo.resource)) !== String(undo.set)) return;
      await run('prlimit', ['--pid', String(undo.process.pid), `--${undo.resource}=${undo.soft}:`]);
      return;
  }
}

export async function softLimit({ pid }: ProcessRef, resource: string): Promise<string> {
  const args = ['--pid', String(pid), `--${resource}`, '--noheadings', '--output=SOFT'];
  return (await run('prlimit', args)).trim();
}
