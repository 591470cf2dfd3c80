/**
 * Keeps the endpoint told. Whole snapshots, one at a time; what changed while one was on its way
 * goes with the next. The epoch is stored before it is sent, so an endpoint that outlived us never
 * hears a number twice with two meanings.
 */
import type { DatabaseView } from '../../endpoint/control-protocol.ts';
import type { EndpointFleet } from '../endpoints/contract.ts';
import type { Store } from '../store/store.ts';
import type { Clock } from './clock.ts';
import { LISTEN_RETRY_MS, PUBLISH_RETRY_MS, PUBLISH_SOON_MS } from './limits.ts';
import { fingerprint } from './view.ts';

const EPOCH = 'endpoint-epoch';

export interface PublisherDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly fleet: Pick<EndpointFleet, 'publish'>;
  /** Null: not to be served. Rejects when it cannot be said now (a certificate is missing). */
  view(databaseId: string): Promise<DatabaseView | null>;
  databaseIds(): readonly string[];
  /** What every worker applied changed for this database. */
  published(databaseId: string): void;
  unreachable(problems: readonly Problem[]): void;
  log(level: 'warn' | 'debug', message: string, data: Record<string, unknown>): void;
}

export class Publisher {
  readonly #deps: PublisherDeps;
  /** By database: what every worker serves now. */
  #served = new Map<string, string>();
  #epoch: number;
  /** Their port cannot be listened on now. */
  #unserved: ReadonlyMap<string, string> = new Map();
  #retry = false;
  #lastProblems = '';
  #running: Promise<void> | null = null;
  /** Publications asked for so far; how many of these are applied, or were not needed. */
  #asked = 0;
  #sent = 0;
  /** Who waits for a publication, and which one. */
  #waiting: {
    readonly mine: number;
    readonly done: (told: boolean) => void;
  }[] = [];
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
      const timer = this.#deps.clock.later(deadlineMs, () => resolve(false));
      const done = (told: boolean): void => {
        timer.cancel();
        resolve(told);
      };
      this.#waiting.push({ mine, done });
    });
  }

  #told(): void {
    const waiting = this.#waiting;
    this.#waiting = waiting.filter(({ mine }) => mine > this.#sent);
    for (const { mine, done } of waiting) if (mine <= this.#sent) done(true);
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
    return (this.#served.get(databaseId) ?? fingerprint(null)) === fingerprint(view);
  }

  /** Why its address cannot be listened on now; null when it can. */
  problem(databaseId: string): string | null {
    return this.#unserved.get(databaseId) ?? null;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#soon?.cancel();
    await this.#running;
    for (const { done } of this.#waiting.splice(0)) done(false);
  }

  /** The same problems are told once, not at every try. */
  #tell(problems: readonly Problem[]): void {
    const text = JSON.stringify(problems);
    if (problems.length > 0 && text !== this.#lastProblems) this.#deps.unreachable(problems);
    this.#lastProblems = text;
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

  /** Of one moment, which is that of the sending: nothing that is sent next may be older than it. */
  async #views(): Promise<DatabaseView[]> {
    const { store } = this.#deps;
    for (;;) {
      const { changes } = store;
      const views: DatabaseView[] = [];
      for (const id of this.#deps.databaseIds()) {
        const view = await this.#deps.view(id);
        if (view !== null) views.push(view);
      }
      if (changes === store.changes) return views;
    }
  }

  async #send(): Promise<void> {
    const { store, fleet } = this.#deps;
    const views = await this.#views();
    const next = new Map(views.map((view) => [view.id, fingerprint(view)]));
    const retry = this.#retry;
    this.#retry = false;
    const reachable = new Map([...next].filter(([id]) => !this.#unserved.has(id)));
    if (this.#epoch > 0 && !retry && same(reachable, this.#served)) return;
    const epoch = this.#epoch + 1;
    store.decide(() => store.setMeta(EPOCH, String(epoch)));
    this.#epoch = epoch;
    const problems = await fleet.publish(epoch, views);
    const before = this.#served;
    // What cannot be reached is not served, whatever the records say: it is tried again.
    this.#unserved = new Map(
      views.flatMap((view) => {
        const reason = whyUnreachable(view, problems);
        return reason === null ? [] : [[view.id, reason] as const];
      }),
    );
    for (const id of this.#unserved.keys()) next.delete(id);
    this.#served = next;
    this.#tell(problems);
    if (this.#unserved.size > 0) {
      this.#deps.clock.later(LISTEN_RETRY_MS, () => {
        this.#retry = true;
        this.publish();
      });
    }
    for (const id of new Set([...before.keys(), ...next.keys()])) {
      if (before.get(id) !== next.get(id)) this.#deps.published(id);
    }
  }
}

type Problem = { readonly address: string; readonly reason: string };

/** The first host (loopback) is what is printed to the user; others may be missing (no IPv6). */
function whyUnreachable(view: DatabaseView, problems: readonly Problem[]): string | null {
  const host = view.listen[0]?.host;
  const own = view.listen.filter((listen) => listen.host === host);
  for (const { port } of own) {
    const address = `${host}:${port}`;
    const problem = problems.find((each) => each.address === address);
    if (problem !== undefined) return `${address}: ${problem.reason}`;
  }
  return null;
}

function same(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  return a.size === b.size && [...a].every(([key, value]) => b.get(key) === value);
}
