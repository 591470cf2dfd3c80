/** Many connections, held by a process of their own: its memory is not the endpoint's. */
import { type ChildProcess, fork } from 'node:child_process';
import type { BenchContext } from '../harness/result.ts';
import { WANTED_FILES } from '../limits.ts';
import { endProcess, requireRef, run } from '../processes.ts';
import type { FromHolder, ToHolder } from './connection-holder.ts';

export class Holder {
  private readonly child: ChildProcess;
  constructor(context: BenchContext) {
    this.child = fork(new URL('./connection-holder.ts', import.meta.url), {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    context.defer(() => this.end());
  }

  ask(message: ToHolder): Promise<FromHolder> {
    return new Promise((resolve, reject) => {
      const ended = (): void => reject(new Error('the process that holds connections ended'));
      this.child.once('exit', ended);
      this.child.once('message', (answer) => {
        this.child.off('exit', ended);
        const said = answer as FromHolder;
        if (said.error === undefined) resolve(said);
        else reject(new Error(said.error));
      });
      this.child.send(message);
    });
  }

  async end(): Promise<void> {
    const { pid, exitCode, signalCode } = this.child;
    if (pid !== undefined && exitCode === null && signalCode === null) {
      await endProcess(requireRef(pid));
    }
  }
}

/**
 * Each end of a connection is an open file. Raises the soft limit of this process, and so of its
 * children, as far as the hard one allows and is wanted.
 */
export async function raiseFileLimit(): Promise<{ readonly soft: number; readonly hard: number }> {
  const limits = await run('prlimit', ['--nofile', '--noheadings', '--output=HARD', '--raw']);
  const hard = limits.trim() === 'unlimited' ? WANTED_FILES : Number(limits.trim());
  const soft = Math.min(hard, WANTED_FILES);
  await run('prlimit', ['--pid', String(process.pid), `--nofile=${soft}:`]);
  return { soft, hard };
}
