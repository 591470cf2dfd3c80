/**
 * One database in several workers, seen by clients as one: the questions that this path asks the same
 * path of the other workers, what it answers to theirs, and what they tell each other. How it travels,
 * and what happens when a worker is mute, is in `../neighbours.ts`.
 *
 * Where shards have addresses of their own, a database is several paths in each worker. What is about
 * its connections is asked of all of them: of those beside this one directly, of other workers by
 * their path of the whole database, which answers for those beside it.
 */
import { type Choice, chosenBy, describe } from './client-choice.ts';
import { unblockHere } from './client-unblock.ts';
import { globMatches } from './glob.ts';
import type { ProxyPath } from './proxy.ts';
import type { Kind } from './subscriptions.ts';
import type { OwnedSlots } from './topology.ts';

type Question =
  | { readonly kind: 'clients' | 'kill'; readonly choice: Choice }
  | { readonly kind: 'unblock'; readonly id: number; readonly how: string }
  | { readonly kind: 'receivers'; readonly channel: string; readonly sharded: boolean }
  | { readonly kind: 'counts'; readonly of: Kind; readonly names: readonly string[] }
  | { readonly kind: 'names'; readonly of: Kind; readonly pattern: string }
  | { readonly kind: 'listens'; readonly shard: string; readonly node: string }
  | { readonly kind: 'hears'; readonly slot: number; readonly node: string }
  | { readonly kind: 'connected' };

type Notice =
  | { readonly kind: 'login-failed' | 'login-succeeded'; readonly host: string }
  | { readonly kind: 'script'; readonly body: string }
  | { readonly kind: 'scripts-flushed' }
  | { readonly kind: 'slots'; readonly owned: readonly OwnedSlots[]; readonly epoch: number }
  | { readonly kind: 'monitors'; readonly count: number }
  | { readonly kind: 'monitored'; readonly lines: string };

/** About every connection of the database, whatever address it came to. */
const WIDE: ReadonlySet<Question['kind']> = new Set([
  'clients',
  'kill',
  'unblock',
  'connected',
  'listens',
  'hears',
]);

export class AcrossWorkers {
  readonly #proxy: ProxyPath;

  constructor(proxy: ProxyPath) {
    this.#proxy = proxy;
  }

  /** This worker is the only one. */
  get alone(): boolean {
    return this.#proxy.world.host.neighbours.count === 0;
  }

  /** Nobody of this database is anywhere else: not in another worker, not at another address. */
  get single(): boolean {
    return this.alone && this.#proxy.paths.size === 1;
  }

  /** Answers of the others; of those that answer in time. */
  async ask(question: Question): Promise<readonly unknown[]> {
    const proxy = this.#proxy;
    const { host } = proxy.world;
    const wide = WIDE.has(question.kind);
    const beside = wide ? [...proxy.paths].filter((path) => path !== proxy) : [];
    const asker = wide ? proxy.whole : proxy;
    const [own, { answers }] = await Promise.all([
      Promise.all(beside.map((path) => path.across.here(question))),
      host.neighbours.ask(asker.world.name, question),
    ]);
    return [...own, ...answers.filter((answer) => answer !== null)];
  }

  /** The others' answers, which are numbers, added up. */
  async sum(question: Question): Promise<number> {
    const answers = await this.ask(question);
    return answers.reduce<number>((sum, answer) => sum + Number(answer), 0);
  }

  tell(notice: Notice, to?: number): boolean {
    const { host, name } = this.#proxy.world;
    return host.neighbours.tell(name, notice, to);
  }

  /** Names that somebody in any worker listens to. */
  async names(of: Kind, pattern: string): Promise<Set<string>> {
    const answers = await this.ask({ kind: 'names', of, pattern });
    return new Set([...this.#names(of, pattern), ...(answers as string[][]).flat()]);
  }

  /** Listeners of each of these names, in all workers. */
  async counts(of: Kind, names: readonly string[]): Promise<number[]> {
    const answers = (await this.ask({ kind: 'counts', of, names })) as number[][];
    return this.#counts(of, names).map((own, i) =>
      answers.reduce((sum, counts) => sum + (counts[i] ?? 0), own),
    );
  }

  /** By the same path of another worker; about connections, for all paths of this one. */
  async asked(asked: object): Promise<unknown> {
    const question = asked as Question;
    if (!WIDE.has(question.kind)) return this.here(question);
    const all = await Promise.all([...this.#proxy.paths].map((path) => path.across.here(question)));
    if (question.kind === 'clients') return all.flat();
    return all.reduce<number>((sum, count) => sum + Number(count), 0);
  }

  here(question: Question): unknown {
    const proxy = this.#proxy;
    switch (question.kind) {
      case 'clients':
        return chosenBy(proxy, question.choice, null).map((session) => [
          session.client.number,
          describe(session),
        ]);
      case 'kill': {
        const chosen = chosenBy(proxy, question.choice, null);
        for (const session of chosen) session.end('client-kill');
        return chosen.length;
      }
      case 'unblock':
        return unblockHere(proxy, question.id, question.how);
      case 'receivers':
        return proxy.subscriptions.receivers(question.channel, question.sharded);
      case 'counts':
        return this.#counts(question.of, question.names);
      case 'names':
        return this.#names(question.of, question.pattern);
      case 'listens':
        return proxy.listenersFirst.answer(question.shard, question.node);
      case 'hears':
        return proxy.shardedFirst.answer(question.slot, question.node);
      case 'connected':
        return proxy.sessions.size;
    }
  }

  told(told: object, from: number): void {
    const notice = told as Notice;
    const { logins, scripts, monitors } = this.#proxy;
    switch (notice.kind) {
      case 'login-failed':
        logins.note(notice.host);
        break;
      case 'login-succeeded':
        logins.forgive(notice.host);
        break;
      case 'script':
        scripts.keep(Buffer.from(notice.body, 'base64'));
        break;
      case 'scripts-flushed':
        scripts.flush();
        break;
      case 'slots':
        this.#proxy.world.topology.told(notice.owned, notice.epoch);
        break;
      case 'monitors':
        monitors.elsewhere(from, notice.count);
        break;
      case 'monitored':
        monitors.show(notice.lines);
        break;
    }
  }

  /** Another worker is there: what it cannot know yet. */
  joined(pid: number, eldest: boolean): void {
    const { monitors, scripts, whole } = this.#proxy;
    if (this.#proxy === whole && monitors.size > 0)
      this.tell({ kind: 'monitors', count: monitors.size }, pid);
    if (!eldest) return;
    for (const body of scripts.bodies()) {
      this.tell({ kind: 'script', body: body.toString('base64') }, pid);
    }
  }

  #names(of: Kind, pattern: string): string[] {
    const names = [...this.#proxy.subscriptions.names(of).keys()];
    return names.filter((name) => globMatches(pattern, name));
  }

  #counts(of: Kind, names: readonly string[]): number[] {
    const listeners = this.#proxy.subscriptions.names(of);
    return names.map((name) => listeners.get(name)?.size ?? 0);
  }
}
