/**
 * One endpoint worker: applies snapshots, and keeps a front for each database of the last one, and
 * one for each shard of it that has addresses of its own.
 */
import type {
  ClientView,
  Counters,
  DatabaseCounters,
  DatabaseView,
  Event,
  ListenAddress,
  Snapshot,
} from '../control-protocol.ts';
import { mergeCounters } from '../counters.ts';
import type { DataPathHost } from '../data-path.ts';
import { CLIENT_WORD_CHARS, SHARD_LEAVES_MS } from '../limits.ts';
import { addressOf, type FromWorker } from '../worker-ipc.ts';
import { Front } from './front.ts';
import { Listeners, type Route } from './listeners.ts';
import { NeighbourLinks } from './neighbour-links.ts';
import { Numbers } from './numbers.ts';
import { PermitPurse, type PermitSupplier } from './permits.ts';

export interface ListenProblem {
  readonly address: string;
  readonly reason: string;
}

export class StaleEpoch extends Error {
  override readonly name = 'StaleEpoch';
  readonly code = 'stale-epoch';
}

export interface WorkerOptions {
  readonly slot: number;
  readonly workers: number;
  readonly ticketSecret: string;
  /** Where other workers find this one. */
  readonly neighbourSocket: string;
  emit(event: Event): void;
  /** False when there is no supervisor. */
  tell(message: FromWorker): boolean;
}

export class Worker {
  readonly listeners = new Listeners();
  readonly neighbours: NeighbourLinks;
  readonly numbers: Numbers;
  readonly #options: WorkerOptions;
  /** By database, or by shard for those that serve one alone. */
  readonly #fronts = new Map<string, Front>();
  /** By database. */
  readonly #purses = new Map<string, PermitPurse>();
  readonly #host: DataPathHost & { workers: number };
  readonly #permits: PermitSupplier;
  readonly #since = Date.now();
  /** What fronts of single shards that are no more had counted, by database. */
  readonly #gone = new Map<string, DatabaseCounters>();
  #ticketSecret: Buffer;
  #epoch = 0;
  #draining: Promise<void> | null = null;

  constructor(options: WorkerOptions) {
    this.#options = options;
    this.#ticketSecret = Buffer.from(options.ticketSecret, 'base64');
    this.numbers = new Numbers(() => options.tell({ type: 'want-numbers' }));
    this.neighbours = new NeighbourLinks(options.neighbourSocket, process.pid, {
      asked: (database, question) => this.#fronts.get(database)?.path.asked(question) ?? null,
      told: (database, notice, from) => this.#fronts.get(database)?.path.told(notice, from),
      joined: (pid, eldest) => {
        for (const front of this.#fronts.values()) front.path.neighbourJoined(pid, eldest);
      },
      left: (pid) => {
        for (const front of this.#fronts.values()) front.path.neighbourLeft(pid);
      },
      mute: (pid, detail) => this.#tellMute(pid, detail),
    });
    this.#host = {
      worker: options.slot,
      workers: options.workers,
      neighbours: this.neighbours,
      emit: (event) => options.emit(event),
      now: () => Date.now(),
    };
    this.#permits = {
      want: (database, count) => options.tell({ type: 'want', database, count }),
      giveBack: (database, count, answer) =>
        void options.tell({ type: 'return', database, count, answer }),
    };
  }

  get epoch(): number {
    return this.#epoch;
  }

  set workers(count: number) {
    this.#host.workers = count;
  }

  purse(database: string): PermitPurse | undefined {
    return this.#purses.get(database);
  }

  /** The supervisor is gone. */
  orphaned(): void {
    for (const purse of this.#purses.values()) purse.orphaned();
  }

  fronts(): Iterable<Front> {
    return this.#fronts.values();
  }

  frontsOf(database: string): Front[] {
    return [...this.#fronts.values()].filter((front) => front.id === database);
  }

  rotate(ticketSecret: string): void {
    this.#ticketSecret = Buffer.from(ticketSecret, 'base64');
    for (const front of this.#fronts.values()) front.rotate(this.#ticketSecret);
  }

  counters(): Counters {
    const live = [...this.#fronts.values()].map((front) => front.counters());
    const databases = [...live, ...this.#gone.values()];
    return mergeCounters([{ since: this.#since, epoch: this.#epoch, databases }]);
  }

  /** What leaves this process is also told to the supervisor: no counter may go back when this one dies. */
  report(): Counters {
    const counters = this.counters();
    this.#options.tell({ type: 'counted', counters });
    return counters;
  }

  clients(database: string, most: number): ClientView[] {
    const all = this.frontsOf(database).flatMap((front) => front.clients());
    const first = all.sort((a, b) => a.idleMs - b.idleMs).slice(0, most);
    return first.map((view) => ({
      ...view,
      name: view.name.slice(0, CLIENT_WORD_CHARS),
      library: view.library.slice(0, CLIENT_WORD_CHARS),
    }));
  }

  /** Stops accepting at once; resolves when the last client is gone. */
  drain(deadlineMs: number): Promise<void> {
    this.#draining ??= this.#drain(performance.now() + deadlineMs);
    return this.#draining;
  }

  async #drain(deadlineAt: number): Promise<void> {
    this.listeners.close();
    this.#options.tell({ type: 'draining' });
    await Promise.all([...this.#fronts.values()].map((front) => front.drain(deadlineAt)));
    for (const purse of this.#purses.values()) purse.close();
  }

  /**
   * What clients are told and where they are sent is that of this snapshot before this returns: what is
   * said next (a release, mostly) comes after it, and waits for no socket of another database. Resolves
   * when every address is listened on or failed; rejects with StaleEpoch.
   */
  async apply(snapshot: Snapshot): Promise<ListenProblem[]> {
    if (snapshot.epoch < this.#epoch) {
      throw new StaleEpoch(
        `epoch ${snapshot.epoch} is older than ${this.#epoch}, which this worker runs`,
      );
    }
    this.#epoch = snapshot.epoch;
    const routes = new Map<string, Route>();
    const problems: ListenProblem[] = [];
    const wanted = new Set(snapshot.databases.flatMap((view) => [view.id, ...shardsWith(view)]));
    const databases = new Set(snapshot.databases.map((view) => view.id));
    for (const [key, front] of this.#fronts) {
      if (!wanted.has(key)) this.#remove(key, front, databases.has(front.id));
    }
    for (const [id, purse] of this.#purses) {
      if (databases.has(id)) continue;
      this.#purses.delete(id);
      purse.close();
    }
    for (const id of this.#gone.keys()) if (!databases.has(id)) this.#gone.delete(id);
    for (const view of snapshot.databases) {
      const failures = new Map<string, string | null>();
      for (const shard of [null, ...shardsWith(view)]) {
        failures.set(shard ?? view.id, this.#serve(view, shard, snapshot.epoch));
      }
      for (const listen of view.listen) {
        const address = addressOf(listen);
        const key = listen.shard ?? view.id;
        const problem = failures.get(key) ?? null;
        if (problem !== null) problems.push({ address, reason: problem });
        const front = this.#fronts.get(key);
        const serves = front !== undefined && (!listen.tls || front.tlsReady);
        if (serves && this.#draining === null) routes.set(address, this.#route(key, listen));
      }
    }
    const failed = [...problems, ...(await this.listeners.route(routes))];
    for (const { address, reason } of failed) this.#tellFailure(snapshot, address, reason);
    return failed;
  }

  #serve(view: DatabaseView, shard: string | null, epoch: number): string | null {
    const key = shard ?? view.id;
    let purse = this.#purses.get(view.id);
    if (purse === undefined) {
      purse = new PermitPurse(view.id, this.#permits);
      this.#purses.set(view.id, purse);
    }
    purse.setLimit(view.limits.maxConnections, this.#host.workers);
    let front = this.#fronts.get(key);
    if (front === undefined) {
      front = new Front({
        host: this.#host,
        view,
        ticketSecret: this.#ticketSecret,
        alone: shard === null ? null : { shard, whole: this.#frontOf(view.id) },
        purse,
        nextNumber: () => this.numbers.next(),
      });
      this.#fronts.set(key, front);
    }
    return front.apply(view, epoch);
  }

  #frontOf(key: string): Front {
    const front = this.#fronts.get(key);
    if (front === undefined) throw new Error(`no front of ${key}`);
    return front;
  }

  /** Clients of a shard that is no longer served alone leave between two commands. */
  #remove(key: string, front: Front, gently: boolean): void {
    this.#fronts.delete(key);
    const leave = gently ? front.drain(performance.now() + SHARD_LEAVES_MS) : Promise.resolve();
    void leave.then(() => front.close());
    const counted = { ...front.counters(), connections: 0 };
    const before = this.#gone.get(front.id);
    const parts = [counted, ...(before === undefined ? [] : [before])];
    const [sum = counted] = mergeCounters([{ since: 0, epoch: 0, databases: parts }]).databases;
    this.#gone.set(front.id, sum);
  }

  #tellMute(pid: number, detail: string): void {
    this.#options.emit({
      type: 'event',
      at: Date.now(),
      kind: 'limit',
      database: '',
      limit: 'peer-mute',
      detail: `worker ${pid}: ${detail}; answers are made without it`,
    });
  }

  #route(key: string, listen: ListenAddress): Route {
    return (socket) => {
      const front = this.#fronts.get(key);
      if (front === undefined) socket.destroy();
      else front.arrive(socket, listen.tls);
    };
  }

  #tellFailure(snapshot: Snapshot, address: string, reason: string): void {
    const owner = snapshot.databases.find((view) =>
      view.listen.some((listen) => addressOf(listen) === address),
    );
    this.#options.emit({
      type: 'event',
      at: Date.now(),
      kind: 'listen-failed',
      database: owner?.id ?? '',
      address,
      reason,
    });
  }
}

/** Shards that have addresses of their own. */
function shardsWith(view: DatabaseView): string[] {
  const shards = view.listen.flatMap(({ shard }) => (shard === undefined ? [] : [shard]));
  return [...new Set(shards)];
}
