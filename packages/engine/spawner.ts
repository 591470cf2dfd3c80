/**
 * Starting processes without stopping the one who does it.
 *
 * `spawn` returns when the new program runs: the kernel copies what it has to of a process with a
 * hundred megabytes, and then the child needs a core before it can begin. On a busy machine that is 10
 * to 40 ms in which an event loop does nothing else, and clients of a shard whose primary has just
 * died would wait for a cache that somebody makes beside it. So a thread of its own does it.
 */
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { ProcessRef } from './contract.ts';
import type { SpawnAnswer, SpawnRequest } from './spawn-thread.ts';

/** Built, it is another file. */
const THREAD = new URL(`./spawn-thread${extname(import.meta.url)}`, import.meta.url);
/** It starts programs and keeps nothing. */
const LIMITS = { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 2 };

interface Waiting extends PromiseWithResolvers<ProcessRef> {
  readonly onExit: (process: ProcessRef) => void;
}

class Spawner {
  readonly #thread: Worker;
  readonly #waiting = new Map<number, Waiting>();
  /** Who wants to hear of the end of what runs, by pid. */
  readonly #running = new Map<number, (process: ProcessRef) => void>();
  #last = 0;
  ended = false;

  constructor() {
    this.#thread = new Worker(THREAD, { resourceLimits: LIMITS, execArgv: [], stdin: false });
    this.#thread.unref();
    this.#thread.on('message', (answer: SpawnAnswer) => this.#heard(answer));
    this.#thread.on('error', (error) => this.#end(`the thread that starts it failed: ${error}`));
    this.#thread.on('exit', () => this.#end('the thread that starts it ended'));
  }

  start(
    request: Omit<SpawnRequest, 'id'>,
    onExit: (process: ProcessRef) => void,
  ): Promise<ProcessRef> {
    const id = ++this.#last;
    const waiting = { ...Promise.withResolvers<ProcessRef>(), onExit };
    this.#waiting.set(id, waiting);
    // Nobody is kept from ending by the thread itself, but by what it was asked for.
    this.#thread.ref();
    this.#thread.postMessage({ id, ...request } satisfies SpawnRequest);
    return waiting.promise;
  }

  #heard(answer: SpawnAnswer): void {
    if (answer.type === 'ended') {
      const { pid } = answer.process;
      const onExit = this.#running.get(pid);
      this.#running.delete(pid);
      onExit?.(answer.process);
      return;
    }
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if (this.#waiting.size === 0) this.#thread.unref();
    if (answer.type === 'failed') waiting?.reject(new Error(answer.reason));
    else {
      if (waiting !== undefined) this.#running.set(answer.process.pid, waiting.onExit);
      waiting?.resolve(answer.process);
    }
  }

  #end(reason: string): void {
    this.ended = true;
    for (const { reject } of this.#waiting.values()) reject(new Error(reason));
    this.#waiting.clear();
  }
}

let spawner: Spawner | null = null;

/** Resolves when the program runs. `onExit` is called when it has ended. */
export function spawnAside(
  request: Omit<SpawnRequest, 'id'>,
  onExit: (process: ProcessRef) => void,
): Promise<ProcessRef> {
  if (spawner === null || spawner.ended) spawner = new Spawner();
  return spawner.start(request, onExit);
}
