/**
 * All databases of this installation: their loops, the endpoint's knowledge of them, the lease that
 * keeps engines from voting while somebody is here to decide.
 */
import type { EngineLink } from '../../engine/contract.ts';
import { CLIENT_USER } from '../auth/users.ts';
import type { EndpointFleet, WatchdogTarget } from '../endpoints/contract.ts';
import { ControlError } from '../errors.ts';
import type { InstanceStatus, Problem, ShardStatus } from '../service.ts';
import type { ClusterRecord, InstanceRecord } from '../store/records.ts';
import type { ServedCertificate } from '../tls/contract.ts';
import { adoptEngine, dropStaleFile, refuseOlderStore, tookOver } from './adopt-engine.ts';
import { Calm } from './calm.ts';
import { type ConfigAsked, ConfigChanges } from './config.ts';
import type { ExecutorDeps } from './deps.ts';
import { Heart } from './heart.ts';
import { isClustered } from './launch.ts';
import { type LimitHit, noteLimit } from './limit-events.ts';
import {
  APPLY_DEADLINE_MS,
  FENCE_DEADLINE_MS,
  LEASE_EVERY_MS,
  SERVING_POLL_MS,
  VERB_DEADLINE_MS,
} from './limits.ts';
import { DatabaseLoop } from './loop.ts';
import { problemsOf, stalledOf, unstartedOf } from './problems.ts';
import { Publisher } from './publisher.ts';
import { type Serving, servingNow } from './serving.ts';
import { shardPorts } from './shard-ports.ts';
import { shardWords } from './shard-words.ts';
import { shardStatus } from './status.ts';
import { dataBytesOf, type StopReport, type StopWish, stopAll } from './stop.ts';
import { commandsOf, usersOf } from './users.ts';
import { Views } from './views.ts';

type OfThePublisher =
  | 'calm'
  | 'publish'
  | 'publishNow'
  | 'published'
  | 'listenProblem'
  | 'prepare'
  | 'hold'
  | 'expect'
  | 'release';

export interface ManagerDeps extends Omit<ExecutorDeps, OfThePublisher> {
  readonly fleet: Pick<
    EndpointFleet,
    'publish' | 'renewLease' | 'prepare' | 'hold' | 'expect' | 'release' | 'answerConfig'
  >;
  /** Addresses that the endpoint listens on for every database. */
  readonly hosts: readonly string[];
  served(cluster: ClusterRecord): Promise<ServedCertificate>;
}

const GENERATION = 'control-generation';

export class Databases {
  readonly #deps: ManagerDeps;
  readonly #executor: ExecutorDeps;
  readonly #loops = new Map<string, DatabaseLoop>();
  readonly #publisher: Publisher;
  readonly #views: Views;
  readonly #generation: string;
  readonly #heart: Heart;
  readonly #config = new ConfigChanges();
  /** Of the lease, and the state of the records that they were read from. */
  #targets: { readonly changes: number; readonly of: readonly WatchdogTarget[] } | null = null;
  /** What stops have saved, and the state of the records that says so. */
  #saved: { readonly changes: number; readonly bytes: number } | null = null;
  #lease: { cancel(): void } | null = null;
  #stopped = false;
  #adopted = false;

  constructor(deps: ManagerDeps) {
    this.#deps = deps;
    this.#executor = {
      ...deps,
      calm: new Calm(deps.clock, () => this.#loops.values()),
      publish: () => this.#publisher.publish(),
      publishNow: (deadlineMs) => this.#publisher.publishNow(deadlineMs),
      ...shardWords(deps, () => this.#publisher.epoch),
      published: (id) => this.#published(id),
      listenProblem: (id) => this.#publisher.problem(id),
    };
    this.#heart = new Heart(deps.clock);
    this.#views = new Views(deps, this.#executor, {
      loaded: (id) => this.wake(id),
      unheld: (id) => this.#publisher.unheld(id),
    });
    const { store } = deps;
    deps.node.onExit((process) => {
      for (const loop of this.#loops.values()) loop.ended(process);
    });
    this.#generation = String(Number(store.meta(GENERATION) ?? 0) + 1);
    store.write(() => store.setMeta(GENERATION, this.#generation));
    this.#publisher = new Publisher({
      ...deps,
      databaseIds: () => store.databases().map((each) => each.id),
      load: (id) => this.#views.load(id),
      view: (id) => this.#views.now(id),
      portsChanged: (id) => this.#views.forget(id),
      published: (id) => this.wake(id),
      unreachable: (problems) => this.#unreachable(problems),
    });
  }

  /**
   * Takes over what runs, then looks after every database there is. Answers how many engines run.
   * Throws ControlError `store-older`: then nothing was ended.
   */
  async start(): Promise<{ readonly adopted: number }> {
    const { store, node } = this.#deps;
    let adopted = 0;
    const running = await node.find();
    refuseOlderStore(store, running);
    for (const found of running) {
      if (!adoptEngine(store, found)) await node.kill(found.process, FENCE_DEADLINE_MS);
      else {
        adopted++;
        await dropStaleFile(this.#deps, found);
      }
    }
    this.#adopted = true;
    if (adopted > 0) tookOver(store, adopted);
    for (const database of store.databases()) this.wake(database.id);
    this.#publisher.publish();
    this.#heart.start();
    this.#renewLease();
    return { adopted };
  }

  /** Resolves when all databases that should serve do, or at the deadline. */
  async serving(deadlineMs: number, changed: (now: Serving) => void): Promise<void> {
    const { store, clock } = this.#deps;
    const deadline = clock.ticks() + deadlineMs;
    let last: Serving | null = null;
    for (;;) {
      const now = servingNow(store, (id) => this.#loops.get(id)?.failure?.message);
      if (now.count !== last?.count || now.why !== last.why) changed(now);
      last = now;
      if (now.settled || clock.ticks() > deadline || this.#stopped) return;
      await clock.sleep(SERVING_POLL_MS);
    }
  }

  /** Nothing turns before what runs is known: a loop would start what is there, and end it first. */
  wake(id: string): void {
    if (this.#stopped || !this.#adopted) return;
    let loop = this.#loops.get(id);
    if (loop === undefined) {
      loop = new DatabaseLoop(
        this.#executor,
        id,
        () => this.#checkLease(),
        this.#heart,
        () => this.#forget(id),
      );
      this.#loops.set(id, loop);
    }
    loop.wake();
  }

  /** The endpoint misses answers of a shard, or lost its connection. */
  suspect(shard: string): void {
    const [id = '', index] = shard.split('/');
    const primary = this.#deps.store.shard(id, Number(index))?.primary ?? '';
    const loop = this.#loops.get(id);
    if (loop !== undefined && loop.sighting(primary) !== null) loop.watch(primary).suspect();
    else this.wake(id);
  }

  /** What runs in the background about this database; for `show` and for tests. */
  waits(id: string): readonly string[] {
    return this.#loops.get(id)?.waits.map((wait) => wait.reason) ?? [];
  }

  shards(id: string): ShardStatus[] {
    const { store } = this.#deps;
    const loop = this.#loops.get(id);
    const instances = store.instances(id);
    const ports = shardPorts(store, id);
    const sighting = (each: string) => loop?.sighting(each) ?? null;
    return store
      .shards(id)
      .map((shard) => shardStatus(shard, instances, sighting, ports.get(shard.index) ?? null));
  }

  /** Everything that is seen of its engines, now and not at their next beats. */
  async lookAt(id: string): Promise<void> {
    const loop = this.#loops.get(id);
    const ids = loop?.instances().map((instance) => instance.id) ?? [];
    await Promise.all(ids.map((each) => loop?.sighting(each) && loop.watch(each).look()));
  }

  /** Each running engine is asked; one that does not answer is left out. */
  async askEngines<T>(
    id: string,
    ask: (link: EngineLink) => Promise<T>,
  ): Promise<{ instance: InstanceRecord; role: InstanceStatus['role']; result: T }[]> {
    const loop = this.#loops.get(id);
    if (loop === undefined) return [];
    const running = loop.instances().filter(({ phase }) => phase === 'running');
    const answers = await Promise.allSettled(
      running.map(async (instance) => {
        const watch = loop.watch(instance.id);
        const role: InstanceStatus['role'] = watch.sighting().facts?.role ?? 'unknown';
        const result: T = await ask(watch.link);
        return { instance, role, result };
      }),
    );
    return answers.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
  }

  limitHit(limit: LimitHit): void {
    noteLimit(this.#deps.store, limit);
  }

  /** A client's CONFIG SET, as a worker of the endpoint tells it. */
  async setConfig(asked: ConfigAsked): Promise<void> {
    const error = await this.#config.change(this.#loops.get(asked.database), asked.settings);
    await this.#deps.fleet.answerConfig(asked.database, asked.serial, error);
  }

  problems(id: string): Problem[] {
    const loop = this.#loops.get(id);
    return problemsOf({
      shards: this.#deps.store.shards(id),
      listenProblem: this.#publisher.problem(id),
      unheld: [...this.#publisher.unheld(id).values()],
      failure: loop?.failure ?? null,
      stalled: loop === undefined ? [] : stalledOf(loop),
      unstarted: loop === undefined ? [] : unstartedOf(loop, this.#deps.clock.ticks()),
    });
  }

  /** What our engines hold of this machine now: resident memory, and data files of the last stop. */
  footprint(): { readonly memoryBytes: number; readonly diskBytes: number } {
    let memoryBytes = 0;
    for (const loop of this.#loops.values()) memoryBytes += loop.residentBytes();
    const { store } = this.#deps;
    if (this.#saved?.changes !== store.changes) {
      const shards = store.databases().flatMap((database) => store.shards(database.id));
      const bytes = shards.reduce((sum, shard) => sum + (shard.saved?.bytes ?? 0), 0);
      this.#saved = { changes: store.changes, bytes };
    }
    return { memoryBytes, diskBytes: this.#saved.bytes };
  }

  /** What an orderly stop has to write at most: the data of every primary. */
  dataBytes(): number {
    return dataBytesOf(this.#loops.values());
  }

  /** Users and keys as recorded, on every running engine and at the endpoint, before it resolves. */
  async applyUsers(id: string, options: { readonly disconnect: boolean }): Promise<void> {
    const loop = this.#loops.get(id);
    if (loop === undefined) return;
    const missed: string[] = [];
    await Promise.all(
      loop
        .instances()
        .filter((instance) => instance.phase === 'running')
        .map(async (instance) => {
          try {
            const { link } = loop.watch(instance.id);
            const users = usersOf(loop, true, await commandsOf(loop, instance.id));
            for (const user of users) await link.setUser(user, VERB_DEADLINE_MS);
            if (options.disconnect) await link.disconnect(CLIENT_USER, APPLY_DEADLINE_MS);
          } catch {
            missed.push(instance.id.slice(0, 8));
          }
        }),
    );
    const told = await this.#publisher.publishNow(APPLY_DEADLINE_MS);
    if (missed.length > 0) {
      loop.reconfigure();
      throw new ControlError(
        'EnginesNotAnswering',
        409,
        `These engines did not answer: ${missed.join(', ')}.`,
      );
    }
    if (!told) {
      throw new ControlError('EndpointNotAnswering', 409, 'The endpoint did not answer.');
    }
  }

  /** Certificates were renewed or replaced: the endpoint and the engines load them. */
  certificatesChanged(clusterId: string | null): void {
    for (const loop of this.#loops.values()) {
      const cluster = this.#deps.store.databaseById(loop.id)?.clusterId ?? null;
      if (clusterId !== null && cluster !== clusterId) continue;
      this.#views.certificateChanged(loop.id, cluster);
      loop.reconfigure();
    }
    this.#publisher.publish();
  }

  /** Whether the endpoint serves what the records say, at the latest at the deadline. */
  async publishedWithin(id: string, deadlineMs: number): Promise<boolean> {
    const { clock } = this.#deps;
    const deadline = clock.ticks() + deadlineMs;
    while (!this.#published(id)) {
      if (clock.ticks() > deadline || this.#stopped) return false;
      await clock.sleep(SERVING_POLL_MS);
    }
    return true;
  }

  /** The control process leaves; engines stay as they are. */
  async detach(): Promise<void> {
    this.#stopped = true;
    this.#heart.stop();
    this.#lease?.cancel();
    await Promise.all([
      ...[...this.#loops.values()].map((loop) => loop.stop()),
      this.#publisher.stop(),
    ]);
  }

  /** Saves and ends every database. The endpoint must be closed before. */
  async stop(wish: StopWish, onSaved: () => void = () => undefined): Promise<StopReport> {
    this.#stopped = true;
    this.#lease?.cancel();
    await this.#publisher.stop();
    const report = await stopAll([...this.#loops.values()], wish, onSaved);
    // Until here: a primary that hangs now is noticed, and its replica saves what it holds.
    this.#heart.stop();
    return report;
  }

  #forget(id: string): void {
    this.#loops.delete(id);
    this.#views.forget(id);
    this.#publisher.publish();
  }

  /** One control process a data folder: a later one has raised the number. */
  #checkLease(): void {
    if (this.#deps.store.meta(GENERATION) === this.#generation) return;
    throw new ControlError('lease-lost', 409, 'Another control process has taken over.');
  }

  #published(id: string): boolean {
    const view = this.#views.now(id);
    if (view !== undefined && this.#publisher.serves(id, view)) return true;
    // In a failover the view that clients wait for is the next one.
    const settled = view?.shards.every(({ state }) => state === 'serving') !== false;
    if (settled) this.#publisher.publish();
    else this.#publisher.publishSoon();
    return false;
  }

  #unreachable(problems: readonly { readonly address: string; readonly reason: string }[]): void {
    for (const { address, reason } of problems) {
      this.#deps.store.tell({
        reason: 'listen-failed',
        severity: 'error',
        message: `The endpoint cannot listen on ${address}: ${reason}`,
        clusterId: null,
        databaseId: null,
        shard: null,
        instance: null,
        data: { address, reason },
      });
    }
  }

  #renewLease(): void {
    const { changes } = this.#deps.store;
    if (this.#targets?.changes !== changes) this.#targets = { changes, of: this.#watched() };
    this.#deps.fleet.renewLease(this.#targets.of);
    this.#lease = this.#deps.clock.later(LEASE_EVERY_MS, () => this.#renewLease());
  }

  #watched(): WatchdogTarget[] {
    const targets: WatchdogTarget[] = [];
    for (const loop of this.#loops.values()) {
      const database = this.#deps.store.databaseById(loop.id);
      if (database === null || !isClustered(database)) continue;
      const { admin } = loop.secrets();
      for (const { phase, socket, process } of loop.instances()) {
        if (phase !== 'running') continue;
        const known = process === null ? {} : { process };
        targets.push({ socket, user: 'admin', password: admin, ...known });
      }
    }
    return targets;
  }
}
