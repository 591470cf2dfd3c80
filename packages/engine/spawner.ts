/**
 * Starting processes without stopping the one who does it.
 *
 * `spawn` returns when the new program runs: the kernel copies what it has to of a process with a
 * hundred megabytes, and then the child needs a core before it can begin. On a busy machine that is 10
 * to 40 ms in which an event loop does nothing else, and clients of a shard whose primary has just
 * died would wait for a cache that somebody makes beside it. So a thread of its own does it.
 */
import { extname } from 'node:path';
import type { ProcessRef } from './contract.ts';
import { HelperThread } from './helper-thread.ts';
import type { SpawnRequest } from './spawn-thread.ts';

/** Who wants to hear of the end of what runs, by pid. */
const running = new Map<number, (process: ProcessRef) => void>();

/** It starts programs and keeps nothing. */
const thread = new HelperThread<SpawnRequest, ProcessRef, ProcessRef>({
  // Built, it is another file.
  file: new URL(`./spawn-thread${extname(import.meta.url)}`, import.meta.url),
  does: 'starts it',
  oldMb: 32,
  youngMb: 2,
  onNews: (ended) => {
    const onExit = running.get(ended.pid);
    running.delete(ended.pid);
    onExit?.(ended);
  },
});

/** Resolves when the program runs. `onExit` is called when it has ended. */
export function spawnAside(
  request: SpawnRequest,
  onExit: (process: ProcessRef) => void,
): Promise<ProcessRef> {
  return thread.ask(request, (process) => running.set(process.pid, onExit));
}
