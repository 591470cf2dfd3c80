/** The thread that starts processes for spawner.ts, which says why there is one. */
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import type { ProcessRef } from './contract.ts';
import { reasonOf } from './errors.ts';
import type { Answer, Asked } from './helper-thread.ts';
import { refOf } from './procfs.ts';

export interface SpawnRequest {
  readonly file: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly logFile: string;
  readonly env: Readonly<Record<string, string>>;
}

/** News is what has ended. */
const say = (answer: Answer<ProcessRef, ProcessRef>): void => parentPort?.postMessage(answer);

parentPort?.on('message', ({ id, ...request }: Asked<SpawnRequest>) => {
  start(request).then(
    (result) => say({ id, result }),
    (error: unknown) => say({ id, failure: reasonOf(error) }),
  );
});

async function start({ file, args, cwd, logFile, env }: SpawnRequest): Promise<ProcessRef> {
  const log = openSync(logFile, 'a', 0o600);
  try {
    const child = spawn(file, args, { cwd, detached: true, stdio: ['ignore', log, log], env });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
    child.unref();
    const pid = child.pid;
    // The child cannot vanish before this line: only this thread's event loop reaps it.
    const ref = pid === undefined ? null : refOf(pid);
    if (ref === null) throw new Error('the process ended before it could be looked at');
    child.once('exit', () => say({ news: ref }));
    return ref;
  } finally {
    closeSync(log);
  }
}
