/**
 * Keeps the endpoint told. Whole snapshots, one at a time; what changed while one was on its way
 * goes with the next. The epoch is stored before it is sent, so an endpoint that outlived us never
 * hears a number twice with two meanings.
 */
import type { DatabaseView, ListenAddress } from '../../endpoint/control-protocol.ts';
import type { EndpointFleet } from '../endpoints/contract.ts';
import type { Store } from '../store/store.ts';
import type { Clock } from './clock.ts';
import { LISTEN_RETRY_MS, LOAD_ROUNDS, PUBLISH_RETRY_MS, PUBLISH_SOON_MS } from './limits.ts';
import { fingerprint } from './view.ts';

const EPOCH = 'endpoint-epoch';

export interface PublisherDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly fleet: Pick<EndpointFleet, 'publish'>;
  /** Brings what `view` needs. Rejects when it cannot be had now (a certificate is missing). */
  load(databaseId: string): Promise<unknown>;
  /** As of now. Null: not to be served; undefined: not loaded. */
  view(databaseId: string): DatabaseView | null | undefined;
  /** Which of its shards' ports cannot be listened on is another answer now, and so its view. */
  portsChanged(databaseId: string): void;
  databaseIds(): readonly string[];
  /** What every worker applied changed for this database, or why nobody can reach it at its port. */
  published(databaseId: string): void;
  unreachable(problems: readonly Problem[]): void;
  log(level: 'warn' | 'debug', message: string, data: Record<string, unknown>): void;
}

/** A port of one shard that is not ours now. */
export interface Unheld {
  readonly shard: string;
  readonly reason: string;
}

export class Publisher {
  readonly #deps: PublisherDeps;
  /** By database: what every worker was told last. They serve it, but for what is unserved. */
  #published: ReadonlyMap<string, string> = new Map();
  #epoch: number;
  /** Their port cannot be listened on now. */
  #unserved: ReadonlyMap<string, string> = new Map();
  /** By database and port: why one shard cannot be reached at its own port now. */
  #unheld: ReadonlyMap<string, ReadonlyMap<number, Unheld>> = new Map();
  /** It may be something else that is served: what comes next is sent, whatever it is. */
  #unsure = false;
  #again: { cancel(): void } | null = null;
  #lastProblems = '';
  #running: Promise<void> | null = null;
  /** Publications asked for so far; how many of these are applied, or were not needed. */
  #asked = 0;
  #sent = 0;
  /** Who waits for a publication, and which one. */
  readonly #waiting = new Set<{
    readonly mine: number;
    readonly done: (told: boolean) => void;
  }>();
  #soon: { cancel(): void } | null = null;
  #stopped = false;

  constructor(deps: PublisherDeps) {
    this.#deps = deps;
    this.#epoch = Number(deps.store.meta(EPOCH) ?? 0);
  }

  get epoch(): number {
    return this.#epoch;
  }

  /** Something that clients see changed. Many calls are one publication. */
  publish(): void {
    this.#soon?.cancel();
    this.#soon = null;
    this.#asked += 1;
    this.#go();
  }

  /** The same for what may be about to change again: with the next publication, or a moment later. */
  publishSoon(): void {
    if (this.#stopped) return;
    this.#soon ??= this.#deps.clock.later(PUBLISH_SOON_MS, () => this.publish());
  }

  /** Publishes, and answers before the deadline whether every worker runs what is recorded now. */
  async publishNow(deadlineMs: number): Promise<boolean> {
    this.publish();
    const mine = this.#asked;
    return new Promise((resolve) => {
      const done = (told: boolean): void => {
        timer.cancel();
        this.#waiting.delete(waiting);
        resolve(told);
      };
      const timer = this.#deps.clock.later(deadlineMs, () => done(false));
      const waiting = { mine, done };
      this.#waiting.add(waiting);
    });
  }

  #told(): void {
    for (const { mine, done } of this.#waiting) if (mine <= this.#sent) done(true);
  }

  #go(): void {
    if (this.#stopped) return;
    this.#running ??= this.#run().finally(() => {
      this.#running = null;
      if (this.#asked > this.#sent) this.#go();
    });
  }

  /** Whether what is served is this view. */
  serves(databaseId: string, view: DatabaseView | null): boolean {
    const served = this.#unserved.has(databaseId) ? undefined : this.#published.get(databaseId);
    return (served ?? fingerprint(null)) === fingerprint(view);
  }

  /** Why its address cannot be listened on now; null when it can. */
  problem(databaseId: string): string | null {
    return this.#unserved.get(databaseId) ?? null;
  }

  /** Ports of its shards that cannot be listened on now: whoever wants such a shard is sent elsewhere. */
  unheld(databaseId: string): ReadonlyMap<number, Unheld> {
    return this.#unheld.get(databaseId) ?? NONE;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#soon?.cancel();
    await this.#running;
    this.#again?.cancel();
    for (const { done } of this.#waiting) done(false);
  }

  /** The same problems are told once, not at every try. */
  #tell(problems: readonly Problem[]): void {
    const text = JSON.stringify(problems);
    if (problems.length > 0 && text !== this.#lastProblems) this.#deps.unreachable(problems);
    this.#lastProblems = text;
  }

  /** Where this changes, views do: they are sent once more. */
  #setUnheld(views: readonly DatabaseView[], problems: readonly Problem[]): void {
    const before = this.#unheld;
    const now = views.map((view) => [view.id, unheldPorts(view, problems)] as const);
    this.#unheld = new Map(now.filter(([, ports]) => ports.size > 0));
    let changed = false;
    for (const id of new Set([...before.keys(), ...this.#unheld.keys()])) {
      const ports = [...(before.get(id)?.keys() ?? [])].join();
      if ([...this.unheld(id).keys()].join() === ports) continue;
      changed = true;
      this.#deps.portsChanged(id);
    }
    if (changed) this.publish();
  }

  async #run(): Promise<void> {
    while (this.#asked > this.#sent && !this.#stopped) {
      const asked = this.#asked;
      try {
        await this.#send();
        this.#sent = asked;
        this.#told();
      } catch (error) {
        this.#deps.log('warn', 'the endpoint could not be told', { error: String(error) });
        await this.#deps.clock.sleep(PUBLISH_RETRY_MS);
      }
    }
  }

  /**
   * Of one moment, which is that of the sending: nothing that is sent next may be older than it. What
   * takes time is had before; then all are made in one turn.
   */
  async #views(): Promise<DatabaseView[]> {
    for (let round = 0; round < LOAD_ROUNDS; round++) {
      await Promise.all(this.#deps.databaseIds().map((id) => this.#deps.load(id)));
      const views = this.#deps.databaseIds().map((id) => this.#deps.view(id));
      if (views.every((view) => view !== undefined)) return views.filter((view) => view !== null);
    }
    throw new Error('certificates are renewed again and again');
  }

  async #send(): Promise<void> {
    const { store, fleet } = this.#deps;
    const views = await this.#views();
    const next = new Map(views.map((view) => [view.id, fingerprint(view)]));
    if (this.#epoch > 0 && !this.#unsure && same(next, this.#published)) return;
    const epoch = this.#epoch + 1;
    store.decide(() => store.setMeta(EPOCH, String(epoch)));
    this.#epoch = epoch;
    // Of one that fails some workers may have heard, and ports that were taken are not known to be free.
    this.#unsure = true;
    const problems = await fleet.publish(epoch, views);
    this.#unsure = false;
    const ids = new Set([...this.#published.keys(), ...next.keys()]);
    const before = new Map([...ids].map((id) => [id, this.#standing(id)]));
    this.#published = next;
    // What cannot be reached is not served, whatever the records say: it is tried again.
    this.#unserved = new Map(
      views.flatMap((view) => {
        const reason = whyUnreachable(view, problems);
        return reason === null ? [] : [[view.id, reason] as const];
      }),
    );
    this.#tell(problems);
    this.#setUnheld(views, problems);
    if (this.#unserved.size + this.#unheld.size > 0) {
      this.#again?.cancel();
      this.#again = this.#deps.clock.later(LISTEN_RETRY_MS, () => {
        this.#unsure = true;
        this.publish();
      });
    }
    for (const id of ids) if (before.get(id) !== this.#standing(id)) this.#deps.published(id);
  }

  /** Why it is not served, or what is; undefined: nothing was published of it. */
  #standing(databaseId: string): string | undefined {
    return this.#unserved.get(databaseId) ?? this.#published.get(databaseId);
  }
}

const NONE: ReadonlyMap<number, Unheld> = new Map();

type Problem = { readonly address: string; readonly reason: string };

/** The first host (loopback) is what is printed to the user; others may be missing (no IPv6). */
function whyUnreachable(view: DatabaseView, problems: readonly Problem[]): string | null {
  const [own] = view.listen;
  return own === undefined ? null : problemOf(own, problems);
}

/** The same of the ports that shards have for themselves: the cache's own serves all of them as well. */
function unheldPorts(
  view: DatabaseView,
  problems: readonly Problem[],
): ReadonlyMap<number, Unheld> {
  const host = view.listen[0]?.host;
  const unheld = new Map<number, Unheld>();
  for (const listen of view.listen) {
    if (listen.shard === undefined || listen.host !== host) continue;
    const reason = problemOf(listen, problems);
    if (reason !== null) unheld.set(listen.port, { shard: listen.shard, reason });
  }
  return unheld;
}

function problemOf({ host, port }: ListenAddress, problems: readonly Problem[]): string | null {
  const address = `${host}:${port}`;
  const problem = problems.find((each) => each.address === address);
  return problem === undefined ? null : `${address}: ${problem.reason}`;
}

function same(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  return a.size === b.size && [...a].every(([key, value]) => b.get(key) === value);
}
