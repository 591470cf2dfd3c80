/**
 * The conversations with all workers of a supervisor: one link a worker, opened when the supervisor
 * names it, closed when it is gone. A worker that connects late gets the last snapshot and the holds
 * that are in force.
 */
import {
  type Counters,
  type Event,
  PROTOCOL,
  type Snapshot,
} from '../../endpoint/control-protocol.ts';
import type { Message, WorkerInfo } from '../../endpoint/supervisor-protocol.ts';
import { alive } from './launch.ts';
import { ANSWER_WAIT_MS, LENDING_PAUSE_MS, LENDING_TRIES, REACH_AGAIN_MS } from './limits.ts';
import { Peer, PeerRefusal } from './peer.ts';

export interface ListenProblem {
  readonly address: string;
  readonly reason: string;
}

export interface LinkOwner {
  readonly build: string;
  lastSnapshot(): Snapshot | null;
  /** Holds in force: shard and the deadline (ms since 1970). */
  holds(): Iterable<readonly [shard: string, deadlineAt: number]>;
  event(event: Event): void;
  changed(): void;
  say(reason: string, detail: string): void;
}

interface Link {
  info: WorkerInfo;
  peer: Peer | null;
  opening: boolean;
  misfit: boolean;
  epoch: number;
  lastSeen: Counters | null;
  problems: readonly ListenProblem[];
}

export interface WorkerRequest {
  readonly type: string;
  readonly [field: string]: unknown;
}

export class WorkerLinks {
  readonly #owner: LinkOwner;
  readonly #links = new Map<number, Link>();
  #closed = false;

  constructor(owner: LinkOwner) {
    this.#owner = owner;
  }

  /** The supervisor's list. Answers the last counters of those that are not in it any more. */
  update(workers: readonly WorkerInfo[]): Map<number, Counters | null> {
    const left = new Map<number, Counters | null>();
    const present = new Set(workers.map((worker) => worker.pid));
    for (const [pid, link] of this.#links) {
      if (present.has(pid)) continue;
      link.peer?.close();
      this.#links.delete(pid);
      left.set(pid, link.lastSeen);
    }
    for (const info of workers) {
      const link = this.#links.get(info.pid);
      if (link !== undefined) link.info = info;
      else {
        this.#links.set(info.pid, {
          info,
          peer: null,
          opening: false,
          misfit: false,
          epoch: -1,
          lastSeen: null,
          problems: [],
        });
      }
    }
    for (const link of this.#links.values()) {
      if (link.info.state !== 'starting' && link.peer === null && !link.misfit)
        void this.#open(link);
    }
    this.#owner.changed();
    return left;
  }

  pids(): number[] {
    return [...this.#links.keys()];
  }

  status(): { pid: number; slot: number; epoch: number; state: string }[] {
    return [...this.#links.values()].map(({ info, epoch, peer, misfit }) => ({
      pid: info.pid,
      slot: info.slot,
      epoch,
      state:
        info.state !== 'serving' || peer !== null ? info.state : misfit ? 'misfit' : 'connecting',
    }));
  }

  /** How many serve by this epoch, or a newer one; 0 while one that serves does not. */
  applied(epoch: number): number {
    const workers = this.status().filter(({ state }) => state !== 'draining');
    const ready = workers.filter((worker) => worker.state === 'serving' && worker.epoch >= epoch);
    const serving = workers.filter(({ state }) => state !== 'starting');
    return ready.length < serving.length ? 0 : ready.length;
  }

  lowestEpoch(): number {
    const epochs = this.status().map(({ epoch }) => epoch);
    return epochs.length === 0 ? 0 : Math.max(0, Math.min(...epochs));
  }

  /** Workers that speak another protocol: to be replaced by draining. */
  misfits(): number[] {
    return [...this.#links.values()].filter((link) => link.misfit).map((link) => link.info.pid);
  }

  problems(): ListenProblem[] {
    return [...this.#links.values()].flatMap((link) =>
      link.info.state === 'serving' ? link.problems : [],
    );
  }

  /** To every worker that has connections, draining ones included. By pid: its answer or its failure. */
  async ask(request: WorkerRequest, deadlineMs: number): Promise<Map<number, unknown>> {
    const answers = new Map<number, unknown>();
    await Promise.all(
      [...this.#links.values()].map(async ({ peer, info }) => {
        if (peer === null) return;
        try {
          answers.set(info.pid, await peer.request(request, deadlineMs));
        } catch (error) {
          answers.set(info.pid, error instanceof Error ? error : new Error(String(error)));
        }
      }),
    );
    return answers;
  }

  /** The lists of all workers in one; one that does not answer is left out. */
  async gather<T>(request: WorkerRequest): Promise<T[]> {
    const answers = await this.ask(request, ANSWER_WAIT_MS);
    return [...answers.values()].flatMap((answer) => (Array.isArray(answer) ? answer : []));
  }

  /** Pushes to every connected worker; failures are said and leave the worker at its epoch. */
  async push(snapshot: Snapshot): Promise<void> {
    const answers = [...this.#links.values()].map((link) => this.#push(link, snapshot));
    this.#owner.changed();
    await Promise.all(answers);
  }

  /** Until no worker misses a socket that the supervisor has: its word may come later than ours. */
  async pushAgain(snapshot: Snapshot, failed: readonly ListenProblem[]): Promise<void> {
    const known = new Set(failed.map(({ address }) => address));
    for (let tries = 1; ; tries++) {
      await this.push(snapshot);
      const missed = this.problems().some(({ address }) => !known.has(address));
      if (!missed || tries >= LENDING_TRIES) return;
      await new Promise((resolve) => setTimeout(resolve, LENDING_PAUSE_MS));
    }
  }

  async counters(): Promise<Counters[]> {
    const answers = await this.ask({ type: 'counters' }, ANSWER_WAIT_MS);
    const parts: Counters[] = [];
    for (const [pid, link] of this.#links) {
      const answer = answers.get(pid);
      if (answer !== undefined && !(answer instanceof Error)) link.lastSeen = answer as Counters;
      if (link.lastSeen !== null) parts.push(link.lastSeen);
    }
    return parts;
  }

  close(): void {
    this.#closed = true;
    for (const link of this.#links.values()) link.peer?.end();
    this.#links.clear();
  }

  async #open(link: Link): Promise<void> {
    if (link.opening) return;
    link.opening = true;
    try {
      const peer = await Peer.open({
        path: link.info.socket,
        protocol: PROTOCOL,
        build: this.#owner.build,
        onMessage: (message) => this.#message(message),
        onClose: (reason) => this.#lost(link, reason),
      });
      if (this.#closed || this.#links.get(link.info.pid) !== link) {
        peer.close();
        return;
      }
      if (peer.hello.protocol !== PROTOCOL) {
        peer.close();
        link.misfit = true;
        this.#owner.say(
          'worker-misfit',
          `${link.info.pid} speaks protocol ${peer.hello.protocol}, not ${PROTOCOL}`,
        );
        return;
      }
      link.peer = peer;
      await this.#bringUpToDate(link);
    } catch (error) {
      this.#owner.say('worker-unreachable', `${link.info.pid}: ${String(error)}`);
      // It may be busy; one that is dead is soon not listed any more.
      setTimeout(() => this.#again(link), REACH_AGAIN_MS).unref();
    } finally {
      link.opening = false;
    }
    this.#owner.changed();
  }

  async #bringUpToDate(link: Link): Promise<void> {
    if (link.peer !== null) tellHolds(link.peer, this.#owner);
    const snapshot = this.#owner.lastSnapshot();
    if (snapshot !== null) await this.#push(link, snapshot);
  }

  async #push(link: Link, snapshot: Snapshot): Promise<void> {
    if (link.peer === null || link.info.state === 'draining') return;
    try {
      const result = await link.peer.request(
        { type: 'snapshot', snapshot } as WorkerRequest,
        ANSWER_WAIT_MS,
      );
      link.epoch = Math.max(link.epoch, snapshot.epoch);
      link.problems = (result as { failed: readonly ListenProblem[] }).failed;
    } catch (error) {
      if (error instanceof PeerRefusal && error.code === 'stale-epoch') return; // a newer one won
      this.#owner.say('push', `worker ${link.info.pid}: ${String(error)}`);
    }
    this.#owner.changed();
  }

  #message(message: Message): void {
    if (message.type === 'event') this.#owner.event(message as unknown as Event);
  }

  #lost(link: Link, reason: string): void {
    link.peer = null;
    // Usually it died, and the supervisor says so next; if it lives, it is worth another try.
    if (this.#closed || this.#links.get(link.info.pid) !== link) return;
    if (link.info.state === 'serving') {
      this.#owner.say('worker-link', `${link.info.pid}: ${reason}`);
      setImmediate(() => this.#again(link));
    }
  }

  #again(link: Link): void {
    if (this.#links.get(link.info.pid) !== link || this.#closed) return;
    if (link.peer === null) void this.#open(link);
  }
}

/** To one that was not there when they began; whether it holds is seen by the release. */
export function tellHolds(peer: Peer, owner: Pick<LinkOwner, 'holds' | 'say'>): void {
  for (const [shard, deadlineAt] of owner.holds()) {
    const deadlineMs = deadlineAt - performance.now();
    if (deadlineMs <= 0) continue;
    peer
      .request({ type: 'hold', shard, deadlineMs } as WorkerRequest, deadlineMs)
      .catch((error: Error) => owner.say('hold', `${peer.hello.pid}: ${error.message}`));
  }
}

/** A worker that is gone, or that never had this shard, has nothing in flight there. */
export function heldBy(pid: number, answer: unknown): boolean {
  if (!(answer instanceof Error)) return true;
  if (answer instanceof PeerRefusal) return answer.code === 'unknown-shard';
  return !alive(pid);
}

/** The last reason of each address. */
export function onceEach(problems: readonly ListenProblem[]): ListenProblem[] {
  const reasons = new Map(problems.map(({ address, reason }) => [address, reason]));
  return [...reasons].map(([address, reason]) => ({ address, reason }));
}
