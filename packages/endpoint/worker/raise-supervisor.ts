/** Starts the supervisor that follows one that died: a child, because only a child inherits sockets. */
import { spawn } from 'node:child_process';
import type { HeldSocket } from './listeners.ts';

class NothingHeld extends Error {
  override readonly name = 'NothingHeld';
  readonly code = 'nothing-held';
}

/** Answers its pid. Its folder, output and environment are this worker's, and so the dead one's. */
export function raiseSupervisor(
  held: readonly HeldSocket[],
  how: { readonly runtime: string; readonly program: string },
  folder: string,
): number {
  if (held.length === 0) throw new NothingHeld('this worker holds no listening socket (any more)');
  const addresses = JSON.stringify(held.map(({ address }) => address));
  const child = spawn(how.runtime, [how.program, folder, addresses], {
    detached: true,
    cwd: folder,
    // What `inheritedSockets` reads: the sockets behind the usual three, in the order of `addresses`.
    stdio: ['ignore', 'inherit', 'inherit', ...held.map(({ fd }) => fd)],
  });
  child.on('error', () => {}); // seen by the missing pid
  child.unref();
  if (child.pid === undefined) throw new Error(`cannot run ${how.runtime}`);
  return child.pid;
}
