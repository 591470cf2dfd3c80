/** One endpoint worker: applies snapshots, and keeps a front for each database of the last one. */
import type {
  ClientView,
  Counters,
  DatabaseView,
  Event,
  ListenAddress,
  Snapshot,
} from '../control-protocol.ts';
import type { DataPathHost } from '../data-path.ts';
import { addressOf, type FromWorker } from '../worker-ipc.ts';
import { Front } from './front.ts';
import { Listeners, type Route } from './listeners.ts';
import { NeighbourLinks } from './neighbour-links.ts';
import { Numbers } from './numbers.ts';
import type { PermitSupplier } from './permits.ts';

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
  readonly #fronts = new Map<string, Front>();
  readonly #host: DataPathHost & { workers: number };
  readonly #permits: PermitSupplier;
  readonly #since = Date.now();
  readonly #gone = new Map<string, Counters['databases'][number]>();
  #ticketSecret: Buffer;
  #epoch = 0;
  #applying: Promise<unknown> = Promise.resolve();
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

  front(database: string): Front | undefined {
    return this.#fronts.get(database);
  }

  fronts(): Iterable<Front> {
    return this.#fronts.values();
  }

  rotate(ticketSecret: string): void {
    this.#ticketSecret = Buffer.from(ticketSecret, 'base64');
    for (const front of this.#fronts.values()) front.rotate(this.#ticketSecret);
  }

  /** One after the other; rejects with StaleEpoch. Resolves when every address is listened on or failed. */
  apply(snapshot: Snapshot): Promise<ListenProblem[]> {
    const applied = this.#applying.then(() => this.#apply(snapshot));
    this.#applying = applied.catch(() => {}); // told to who asked
    return applied;
  }

  /** Resolves when every snapshot that came so far is applied, or was refused. */
  async applied(): Promise<void> {
    await this.#applying;
  }

  counters(): Counters {
    const live = [...this.#fronts.values()].map((front) => front.counters());
    const seen = new Set(live.map((database) => database.id));
    const gone = [...this.#gone.values()].filter((database) => !seen.has(database.id));
    return { since: this.#since, epoch: this.#epoch, databases: [...live, ...gone] };
  }

  /** What leaves this process is also told to the supervisor: no counter may go back when this one dies. */
  report(): Counters {
    const counters = this.counters();
    this.#options.tell({ type: 'counted', counters });
    return counters;
  }

  clients(database: string, most: number): ClientView[] {
    const all = this.#fronts.get(database)?.clients() ?? [];
    return all.sort((a, b) => a.idleMs - b.idleMs).slice(0, most);
  }

  /** Stops accepting at once; resolves when the last client is gone. */
  drain(deadlineMs: number): Promise<void> {
    this.#draining ??= this.#drain(Date.now() + deadlineMs);
    return this.#draining;
  }

  async #drain(deadlineAt: number): Promise<void> {
    this.listeners.close();
    this.#options.tell({ type: 'draining' });
    await Promise.all([...this.#fronts.values()].map((front) => front.drain(deadlineAt)));
  }

  async #apply(snapshot: Snapshot): Promise<ListenProblem[]> {
    if (snapshot.epoch < this.#epoch) {
      throw new StaleEpoch(
        `epoch ${snapshot.epoch} is older than ${this.#epoch}, which this worker runs`,
      );
    }
    this.#epoch = snapshot.epoch;
    const routes = new Map<string, Route>();
    const problems: ListenProblem[] = [];
    const wanted = new Set(snapshot.databases.map((view) => view.id));
    for (const [id, front] of this.#fronts) {
      if (wanted.has(id)) continue;
      this.#fronts.delete(id);
      this.#gone.set(id, { ...front.counters(), connections: 0 });
      front.close();
    }
    for (const view of snapshot.databases) {
      const problem = this.#serve(view, snapshot.epoch);
      for (const listen of view.listen) {
        const address = addressOf(listen);
        if (problem !== null) problems.push({ address, reason: problem });
        const front = this.#fronts.get(view.id);
        const serves = front !== undefined && (!listen.tls || front.tlsReady);
        if (serves && this.#draining === null) routes.set(address, this.#route(view, listen));
      }
    }
    const failed = [...problems, ...(await this.listeners.route(routes))];
    for (const { address, reason } of failed) this.#tellFailure(snapshot, address, reason);
    return failed;
  }

  #serve(view: DatabaseView, epoch: number): string | null {
    let front = this.#fronts.get(view.id);
    if (front === undefined) {
      front = new Front({
        host: this.#host,
        view,
        ticketSecret: this.#ticketSecret,
        permits: this.#permits,
        nextNumber: () => this.numbers.next(),
      });
      this.#fronts.set(view.id, front);
    }
    return front.apply(view, epoch);
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

  #route(view: DatabaseView, listen: ListenAddress): Route {
    return (socket) => {
      const front = this.#fronts.get(view.id);
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
