/**
 * Keeps one serving worker in each slot. A slot is a position, not a process: its listening sockets
 * outlive every worker that served them. A worker that dies is followed by another at once, then
 * with growing pauses; one that is replaced goes on until its successor serves.
 */
import { RESTART_FIRST_MS, RESTART_FORGIVEN_MS, RESTART_LONGEST_MS } from '../limits.ts';
import { say } from '../say.ts';
import type { WorkerPlan } from '../supervisor-protocol.ts';
import type { FromWorker } from '../worker-ipc.ts';
import { WorkerProcess } from './worker-process.ts';

export interface PoolOwner {
  /** A new process waits for its `start` message and its sockets. */
  started(worker: WorkerProcess): void;
  message(worker: WorkerProcess, message: FromWorker): void;
  gone(worker: WorkerProcess, detail: string): void;
  changed(): void;
}

interface Slot {
  readonly index: number;
  current: WorkerProcess | null;
  /** Serves until `current` is ready. */
  previous: WorkerProcess | null;
  backoffMs: number;
  restart: NodeJS.Timeout | null;
}

export class WorkerPool {
  readonly #folder: string;
  readonly #owner: PoolOwner;
  readonly #slots: Slot[] = [];
  readonly #all = new Map<number, WorkerProcess>();
  readonly #readyWaiters = new Set<() => void>();
  #plan: WorkerPlan | null = null;
  #drainMs = 0;
  #stopping = false;

  constructor(folder: string, owner: PoolOwner) {
    this.#folder = folder;
    this.#owner = owner;
  }

  workers(): WorkerProcess[] {
    return [...this.#all.values()];
  }

  get slots(): number {
    return this.#slots.length;
  }

  /** New workers follow the plan; running ones are not touched, except that surplus slots drain. */
  setPlan(plan: WorkerPlan, drainMs: number): void {
    this.#plan = plan;
    this.#drainMs = drainMs;
    while (this.#slots.length > plan.count) {
      const slot = this.#slots.pop();
      if (slot === undefined) break;
      if (slot.restart !== null) clearTimeout(slot.restart);
      slot.current?.drain(drainMs);
      slot.previous?.drain(drainMs);
    }
    while (this.#slots.length < plan.count) {
      const slot: Slot = {
        index: this.#slots.length,
        current: null,
        previous: null,
        backoffMs: 0,
        restart: null,
      };
      this.#slots.push(slot);
      this.#start(slot);
    }
    this.#owner.changed();
  }

  /** Successor first, then drain. Resolves when the successors serve; rejects at the deadline. */
  async replace(pid: number | null, deadlineMs: number): Promise<void> {
    const until = performance.now() + deadlineMs;
    for (const slot of [...this.#slots]) {
      const old = slot.current;
      if (old === null || (pid !== null && old.pid !== pid)) continue;
      // A slot in trouble (starting, or between two crashes) gets a new process anyway.
      if (old.state !== 'serving') continue;
      slot.previous = old;
      this.#start(slot);
      while (slot.previous === old && old.state === 'serving') {
        const left = until - performance.now();
        if (left <= 0) throw new Error(`worker ${old.pid} has no ready successor yet`);
        await this.#someReady(left);
      }
    }
  }

  /** Drains everybody and resolves when all are gone. Nothing is started any more. */
  async stop(deadlineMs: number): Promise<void> {
    this.#stopping = true;
    for (const slot of this.#slots) if (slot.restart !== null) clearTimeout(slot.restart);
    const all = this.workers();
    for (const worker of all) worker.drain(deadlineMs);
    await Promise.all(all.map((worker) => worker.gone()));
  }

  #start(slot: Slot): void {
    slot.restart = null;
    if (this.#plan === null || this.#stopping) return;
    const worker: WorkerProcess = new WorkerProcess(slot.index, this.#plan, this.#folder, {
      ready: () => {
        const previous = slot.previous;
        slot.previous = null;
        // First who came: what the leaving one alone knows (scripts) it tells its successor.
        this.#changed();
        previous?.drain(this.#drainMs);
        // Told before anybody hears that it is replaced: it is no worker to count on.
        if (previous !== null) this.#owner.changed();
      },
      message: (from, message) => this.#owner.message(from, message),
      gone: (from, detail) => this.#gone(slot, from, detail),
    });
    slot.current = worker;
    this.#all.set(worker.pid, worker);
    this.#owner.started(worker);
    this.#changed();
  }

  #gone(slot: Slot, worker: WorkerProcess, detail: string): void {
    this.#all.delete(worker.pid);
    if (slot.previous === worker) slot.previous = null;
    const isCurrent = slot.current === worker;
    if (isCurrent) slot.current = null;
    const wanted = isCurrent && !this.#stopping && this.#slots[slot.index] === slot;
    this.#owner.gone(worker, detail);
    if (wanted) {
      const lived = performance.now() - worker.startedAt;
      if (lived > RESTART_FORGIVEN_MS) slot.backoffMs = 0;
      const pause = slot.backoffMs;
      slot.backoffMs = Math.min(RESTART_LONGEST_MS, Math.max(RESTART_FIRST_MS, pause * 2));
      say('worker-died', `${worker.pid} of slot ${slot.index}: ${detail}; next in ${pause} ms`);
      slot.restart = setTimeout(() => this.#start(slot), pause);
    }
    this.#changed();
  }

  #changed(): void {
    for (const wake of [...this.#readyWaiters]) wake();
    this.#owner.changed();
  }

  #someReady(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#readyWaiters.delete(done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      this.#readyWaiters.add(done);
    });
  }
}
