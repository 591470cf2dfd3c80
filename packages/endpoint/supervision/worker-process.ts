/** One worker process as the supervisor sees it: spawned, talked to over IPC, ended. */
import { type ChildProcess, fork, type Serializable } from 'node:child_process';
import { join } from 'node:path';
import type { Counters } from '../control-protocol.ts';
import { EXIT_GRACE_MS, UNLISTEN_WAIT_MS, WORKER_START_MS } from '../limits.ts';
import { say } from '../say.ts';
import type { WorkerInfo, WorkerPlan } from '../supervisor-protocol.ts';
import type { FromWorker, ToWorker } from '../worker-ipc.ts';
import type { Silence, Watched } from './hang.ts';
import type { BoundHandle } from './listening.ts';

export type WorkerState = WorkerInfo['state'] | 'gone';

export interface WorkerListener {
  ready(worker: WorkerProcess): void;
  message(worker: WorkerProcess, message: FromWorker): void;
  gone(worker: WorkerProcess, detail: string): void;
}

export class WorkerProcess implements Watched {
  readonly slot: number;
  readonly pid: number;
  readonly socket: string;
  readonly startedAt = performance.now();
  state: WorkerState = 'starting';
  /** Its last word, or else the last that anybody was told: what it counted for good. */
  counted: Counters | null = null;
  /** The sockets of other slots that it keeps. */
  entrusted: ReadonlySet<string> = new Set();
  /** It left in order. */
  retired = false;
  silence: Silence | null = null;
  #answers = false;
  /** Why we ended it. */
  #ended: string | null = null;
  readonly #child: ChildProcess;
  readonly #gone: Promise<void>;
  /** By address: who waits until its sockets are closed. */
  readonly #unlistening = new Map<string, PromiseWithResolvers<void>>();
  #deadline: NodeJS.Timeout | undefined;

  constructor(slot: number, plan: WorkerPlan, folder: string, listener: WorkerListener) {
    this.slot = slot;
    // Nothing secret in arguments or environment: `start` comes over the channel.
    this.#child = fork(plan.program, [], {
      execPath: plan.runtime,
      execArgv: [],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#gone = promise;
    this.pid = this.#child.pid ?? -1;
    this.socket = join(folder, `w${slot}-${this.pid}.sock`);
    let ended = false;
    const end = (detail: string): void => {
      if (ended) return;
      ended = true;
      clearTimeout(this.#deadline);
      this.state = 'gone';
      resolve();
      listener.gone(this, detail);
    };
    this.#child.on('error', (error) => {
      if (this.#child.pid === undefined) end(`could not be started: ${error.message}`);
      else say('worker', `${this.pid}: ${error.message}`);
    });
    this.#child.on('exit', (code, signal) => {
      const detail = this.#ended ?? signal ?? `exit code ${code}`;
      // What it said before it died may still be in the channel.
      if (this.#child.connected) this.#child.once('disconnect', () => end(detail));
      else end(detail);
    });
    this.#child.on('message', (raw) => {
      const message = raw as FromWorker;
      if (message.type === 'ready' && this.state === 'starting') {
        clearTimeout(this.#deadline);
        this.state = 'serving';
        this.#answers = message.answers === true;
        listener.ready(this);
      } else if (message.type === 'here') this.silence = null;
      else if (message.type === 'unlistened') this.#unlistening.get(message.address)?.resolve();
      else if (message.type === 'draining') this.state = 'draining';
      else if (message.type === 'counted') this.counted = message.counters;
      else if (message.type === 'retired') {
        this.counted = message.counters;
        this.retired = true;
      }
      listener.message(this, message);
    });
    this.#killAfter(WORKER_START_MS, 'was not ready in time');
  }

  send(message: ToWorker, handle?: BoundHandle): void {
    if (this.state === 'gone' || !this.#child.connected) return;
    // A worker that dies before it reads this is replaced, and its successor gets everything anew.
    this.#child.send(message as unknown as Serializable, handle as never, () => {});
  }

  /** Resolves when it has closed its sockets of this address, has gone, or had time enough for it. */
  async unlisten(address: string): Promise<void> {
    const closed = this.#unlistening.get(address) ?? Promise.withResolvers<void>();
    this.#unlistening.set(address, closed);
    this.send({ type: 'unlisten', address });
    const timer = setTimeout(closed.resolve, UNLISTEN_WAIT_MS);
    await Promise.race([closed.promise, this.#gone]);
    clearTimeout(timer);
    this.#unlistening.delete(address);
  }

  /** Asks it to finish and leave; kills it a little after the deadline. */
  drain(deadlineMs: number): void {
    if (this.state === 'gone') return;
    this.state = 'draining';
    this.send({ type: 'drain', deadlineMs });
    this.#killAfter(deadlineMs + EXIT_GRACE_MS, 'did not leave in time');
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  gone(): Promise<void> {
    return this.#gone;
  }

  get answering(): boolean {
    return this.#answers && this.state !== 'gone' && this.#ended === null;
  }

  ask(): void {
    this.send({ type: 'there' });
  }

  end(why: string): void {
    this.#ended = why;
    say('worker', `${this.pid} ${why}: killed`);
    this.kill();
  }

  #killAfter(ms: number, why: string): void {
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => this.end(why), ms);
  }
}
