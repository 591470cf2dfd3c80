/** What happens to the simulated installation: its users' wishes and writes, and its troubles. */
import { beginScaling } from '../plan/pace.ts';
import { ONLY_OLDER_COPY } from '../plan/shard.ts';
import type { DatabaseRecord, DatabaseSettings } from '../store/index.ts';
import type { SimEngine } from './engine.ts';
import { holdsSlot, slotOf } from './handovers.ts';
import { newCluster, newDatabase, newOperation } from './records.ts';
import type { Stage } from './stage.ts';

/**
 * `switches`: one planned switch after the other, and trouble in the middle of them. `storm`: many times
 * the trouble; little gets done between two faults, and much goes wrong twice. `scaling`: slots travel
 * all the time, and primaries die while not everybody has heard where they went. `strangers`: when an
 * engine dies, another program may take one of its ports.
 */
export const FOCI = ['anything', 'switches', 'storm', 'scaling', 'strangers'] as const;
export type Focus = (typeof FOCI)[number];

/** So long after slots have changed hands not everybody has heard of it. */
const NEWS_MS = 500;

export class Scenario {
  kills = 0;
  accepted = 0;
  readonly #stage: Stage;
  readonly #focus: Focus;
  readonly #meanGapMs: number;
  #value = 1;
  #nextTrouble = 0;
  #names = 0;
  /** Shards that the endpoint holds, and until when. */
  readonly #held = new Map<string, number>();
  #pending: { value: number; engine: SimEngine }[] = [];

  constructor(stage: Stage, meanGapMs: number, focus: Focus) {
    this.#stage = stage;
    this.#focus = focus;
    this.#meanGapMs = meanGapMs;
  }

  /** Writes all the time; trouble at moments whose mean distance the seed chooses. */
  act(): void {
    if (this.#stage.random.chance(0.2)) this.#write();
    if (this.#focus === 'switches') this.#disturbSwitches();
    if (this.#focus === 'scaling') this.#disturbScaling();
    const now = this.#stage.clock.ticks();
    if (now < this.#nextTrouble) return;
    this.#nextTrouble = now - Math.log(1 - this.#stage.random.next()) * this.#meanGapMs;
    const dice = this.#stage.random.next();
    if (dice < (this.#focus === 'switches' ? 0.3 : 0.15)) this.#switch();
    else if (dice < 0.35) this.#kill();
    else if (dice < 0.5) this.#stopOne();
    else if (dice < 0.6) this.#busyOne();
    else if (dice < 0.7) this.#stage.crash('by SIGKILL');
    else if (dice < 0.8) this.create();
    else if (dice < 0.825) this.#maintain();
    else if (dice < 0.85) this.#update();
    else if (dice < 0.89) this.#rescale();
    else if (dice < 0.9) this.#loadFunctions();
    else if (dice < 0.94) this.#flush();
    else if (dice < 0.96) this.#delete();
    else if (dice < 0.965) this.acceptLoss();
    else this.#stage.stop();
  }

  #write(): void {
    const view = this.#stage.random.pick(this.#stage.views());
    const value = this.#value++;
    const slot = slotOf(value);
    const index =
      view?.shards.findIndex(
        (each) => view.policy === 'NoCluster' || holdsSlot(each.slots, slot),
      ) ?? -1;
    const target = view?.shards[index];
    const engine = this.#stage.world.running().find((e) => e.id === target?.primary?.node);
    if (engine === undefined || view === undefined) return;
    // Clients of an OSSCluster come past the endpoint, and no hold stops them.
    const direct = engine.clustered && this.#stage.random.chance(0.3);
    const held = (this.#held.get(`${view.id}/${index}`) ?? 0) > this.#stage.clock.ticks();
    if (!direct && (held || target?.state !== 'serving')) return;
    // An endpoint follows MOVED; a stale view only costs it a turn.
    if (!this.#stage.world.write(engine, value)) return;
    this.#stage.checks.written(value, engine);
    this.#pending.push({ value, engine });
  }

  hold(shard: string, deadlineMs: number): void {
    this.#held.set(shard, this.#stage.clock.ticks() + deadlineMs);
  }

  release(shard: string): void {
    this.#held.delete(shard);
  }

  /** A switch is over in milliseconds: trouble that comes at its own times would miss nearly all. */
  #disturbSwitches(): void {
    const { random, store, world } = this.#stage;
    if (this.#stage.away()) return;
    const underway = this.#alive().flatMap((each) =>
      store.shards(each.id).filter((shard) => shard.handover !== null),
    );
    if (underway.length === 0 && random.chance(0.02)) this.#switch();
    const shard = random.pick(underway);
    if (shard === undefined || !random.chance(0.004)) return;
    const involved = world
      .running()
      .filter((each) => each.id === shard.primary || each.id === shard.successor);
    const dice = random.next();
    if (dice < 0.3) this.#kill(random.pick(involved));
    else if (dice < 0.5) this.#stopOne(random.pick(involved));
    else if (dice < 0.6) this.#busyOne(random.pick(involved));
    else this.#stage.crash('in the middle of a switch');
  }

  /** By database: which slots are whose, and since when. */
  readonly #moved = new Map<string, { readonly slots: string; readonly at: number }>();

  #disturbScaling(): void {
    const { random, store, world, clock } = this.#stage;
    if (this.#stage.away()) return;
    const running = this.#alive().filter((each) => each.observedGeneration > 0);
    if (running.every(({ scaling }) => scaling === null) && random.chance(0.01)) this.#rescale();
    const now = clock.ticks();
    const lately = running.filter(({ id }) => {
      const slots = JSON.stringify(store.shards(id).map((shard) => shard.slots));
      const last = this.#moved.get(id);
      if (last?.slots !== slots) this.#moved.set(id, { slots, at: now });
      return last !== undefined && now - (this.#moved.get(id)?.at ?? 0) < NEWS_MS;
    });
    const arranging = running.find(({ scaling }) => scaling?.arranging != null);
    if (arranging !== undefined) this.#disturbArranging(arranging);
    const database = random.pick(lately);
    if (database === undefined || !random.chance(0.01)) return;
    const primaries = new Set(store.shards(database.id).map((shard) => shard.primary));
    const engine = random.pick(world.running().filter(({ id }) => primaries.has(id)));
    const dice = random.next();
    if (dice < 0.7) this.#kill(engine);
    else if (dice < 0.85) this.#switch();
    else this.#stage.crash('when slots had moved');
  }

  /** A shard is given a copy in the order of slots, which takes over: all that may come between. */
  #disturbArranging(database: DatabaseRecord): void {
    const { random, store, world } = this.#stage;
    if (!random.chance(0.03)) return;
    const index = database.scaling?.arranging?.shard;
    const shard = store.shards(database.id).find((each) => each.index === index);
    const members = store.instances(database.id).filter((each) => each.shard === index);
    const running = world.running().filter(({ id }) => members.some((each) => each.id === id));
    const copies = running.filter(({ id }) => id !== shard?.primary);
    const dice = random.next();
    if (dice < 0.25) this.#kill(random.pick(copies));
    else if (dice < 0.4) this.#kill(running.find(({ id }) => id === shard?.primary));
    else if (dice < 0.5) this.#stopOne(random.pick(copies));
    else if (dice < 0.6) this.#busyOne(random.pick(running));
    else if (dice < 0.75) this.#stage.crash('while a shard is put in order');
    else if (dice < 0.85) this.#rescale(database);
    else if (dice < 0.92) this.#switch(database);
    else if (dice < 0.96) this.#maintain(database);
    else this.#stage.stop();
  }

  /** A planned switch of a shard, wherever it is just then. */
  #switch(database = this.#stage.random.pick(this.#alive())): void {
    if (this.#stage.away() || database === undefined) return;
    const shard = this.#stage.random.pick(this.#stage.store.shards(database.id));
    if (shard?.phase !== 'serving' || shard.handover !== null) return;
    this.#stage.say(`+ ${database.id}/${shard.index}: a planned switch is asked for`);
    const now = this.#stage.clock.ticks();
    const operation = null;
    const wish = { to: null, operation, at: now, tries: 0, problem: null, notBefore: 0 };
    this.#stage.store.write(() => this.#stage.store.putShard({ ...shard, handover: wish }));
    this.#stage.wake(database.id);
  }

  /** WAIT 1: the client is told once a replica has it. */
  confirmWrites(): void {
    this.#pending = this.#pending.filter((write) => {
      if (!write.engine.alive) return false;
      // Handed over since: what this engine's replicas have read of it says nothing any more.
      if (!this.#stage.world.dataOf(write.engine).has(write.value)) return false;
      const replicated = this.#stage.world
        .replicasOf(write.engine)
        .some((replica) => replica.log.includes(write.value));
      if (replicated) this.#stage.checks.acknowledged(write.value, write.engine);
      return !replicated;
    });
    if (this.#pending.length > 1_000) this.#pending.splice(0, 500);
  }

  #kill(engine = this.#stage.random.pick(this.#stage.world.running())): void {
    if (engine === undefined) return;
    this.kills++;
    this.#stage.fault();
    this.#stage.say(`! ${engine.id.slice(0, 6)} (${engine.role}) is killed`);
    this.#stage.checks.excuse(() => this.#stage.world.end(engine));
    if (this.#focus === 'strangers') this.#takePort(engine);
  }

  #takePort({ ports }: SimEngine): void {
    const { random, world, clock } = this.#stage;
    const port = random.pick(ports.filter((each) => each > 0));
    if (port === undefined || random.chance(0.3)) return;
    const ms = random.chance(0.5) ? random.between(100, 20_000) : Number.POSITIVE_INFINITY;
    this.#stage.say(`! port ${port} is taken by a stranger, for ${ms} ms`);
    this.#stage.fault();
    world.strangers.set(port, clock.ticks() + ms);
  }

  #stopOne(engine = this.#stage.random.pick(this.#stage.world.running())): void {
    if (engine === undefined) return;
    this.#stage.say(`! ${engine.id.slice(0, 6)} (${engine.role}) is stopped`);
    this.#stage.fault();
    engine.state = 'stopped';
    const longestMs = this.#focus === 'storm' ? 3_000 : 20_000;
    this.#stage.clock.later(this.#stage.random.between(100, longestMs), () => {
      if (engine.state === 'stopped') engine.state = 'running';
    });
  }

  #busyOne(engine = this.#stage.random.pick(this.#stage.world.running())): void {
    if (engine === undefined) return;
    const ms = this.#stage.random.between(100, 8_000);
    this.#stage.say(`! ${engine.id.slice(0, 6)} (${engine.role}) is busy for ${ms} ms`);
    this.#stage.fault();
    engine.busyUntil = this.#stage.clock.ticks() + ms;
  }

  #alive(): DatabaseRecord[] {
    return this.#stage.store.databases().filter((d) => d.provisioningState !== 'Deleting');
  }

  create(): void {
    if (this.#stage.away() || this.#alive().length >= 2) return;
    const policies: DatabaseSettings['policy'][] = ['OSSCluster', 'EnterpriseCluster', 'NoCluster'];
    const policy = this.#stage.random.pick(policies) ?? 'NoCluster';
    const shards = policy !== 'NoCluster' ? this.#stage.random.between(1, 4) : 1;
    const replicas = this.#stage.random.chance(0.8) ? 1 : 0;
    const now = this.#stage.clock.now();
    const cluster = newCluster(`c${++this.#names}`, now);
    const database = newDatabase(`d${this.#names}`, cluster.id, policy, shards, replicas, now);
    this.#stage.say(`+ ${database.id} ${policy}, ${shards} shards, ${replicas} replicas`);
    this.#stage.store.write(() => {
      this.#stage.store.putCluster(cluster);
      this.#stage.store.putDatabase(database);
      this.#stage.store.putSecret(database.id, { admin: 'a', replication: 'r', endpoint: 'e' });
      this.#stage.store.putSecret(`${database.id}/keys`, { primaryKey: 'p', secondaryKey: 's' });
      this.#stage.store.putOperation(
        newOperation(`o${this.#names}`, 'CreateDatabase', database, now),
      );
    });
    this.#stage.wake(database.id);
  }

  /** Replicas on or off, or another eviction policy. */
  #update(): void {
    const database = this.#stage.random.pick(this.#alive());
    if (this.#stage.away() || database === undefined || database.provisioningState !== 'Succeeded')
      return;
    const next: DatabaseRecord = {
      ...database,
      generation: database.generation + 1,
      provisioningState: 'Updating',
      resourceState: 'Updating',
      sizing: {
        ...database.sizing,
        replicas: this.#stage.random.chance(0.5)
          ? this.#stage.random.between(0, 2)
          : database.sizing.replicas,
        maxMemoryBytes: this.#stage.random.between(10, 99) * 1_000_000,
      },
    };
    this.#stage.say(`+ ${database.id} updated to ${next.sizing.replicas} replicas`);
    this.#stage.store.write(() => {
      this.#stage.store.putDatabase(next);
      this.#stage.store.putOperation(
        newOperation(`o${++this.#names}`, 'UpdateDatabase', next, this.#stage.clock.now()),
      );
    });
    this.#stage.wake(database.id);
  }

  /** Every process is to be made anew. */
  #maintain(database = this.#stage.random.pick(this.#alive())): void {
    const { clock, store } = this.#stage;
    if (this.#stage.away() || database?.provisioningState !== 'Succeeded') return;
    if (database.maintenance !== null) return;
    const operation = newOperation(`o${++this.#names}`, 'Maintain', database, clock.now());
    const pending = store.instances(database.id).map((each) => each.id);
    this.#stage.say(`+ ${database.id} is maintained: ${pending.length} processes`);
    store.write(() => {
      store.putDatabase({ ...database, maintenance: { operation: operation.id, pending } });
      store.putOperation({ ...operation, input: { processes: pending.length } });
    });
    this.#stage.wake(database.id);
  }

  /** Another number of shards; or the way back while one is under way. */
  #rescale(database = this.#stage.random.pick(this.#alive())): void {
    const { random, clock, store } = this.#stage;
    if (this.#stage.away() || database === undefined || database.observedGeneration === 0) return;
    if (database.settings.policy === 'NoCluster') return;
    const { scaling, sizing } = database;
    if (scaling === null && database.provisioningState !== 'Succeeded') return;
    const shards = scaling === null ? random.between(1, 5) : scaling.from.shards;
    if (shards === sizing.shards) return;
    const next: DatabaseRecord = {
      ...database,
      generation: database.generation + 1,
      provisioningState: 'Updating',
      resourceState: 'Scaling',
      sizing: { ...sizing, shards },
      scaling:
        scaling === null
          ? beginScaling(sizing, clock.now())
          : { ...scaling, from: sizing, canceled: true },
    };
    this.#stage.say(`+ ${database.id} scaled from ${sizing.shards} to ${shards} shards`);
    store.write(() => {
      store.putDatabase(next);
      store.putOperation(newOperation(`o${++this.#names}`, 'UpdateDatabase', next, clock.now()));
    });
    this.#stage.wake(database.id);
  }

  /** A client loads functions: the endpoint sends them to every shard it knows. */
  #loadFunctions(): void {
    const { world, clock } = this.#stage;
    const view = this.#stage.random.pick(this.#stage.views());
    const nodes = view?.shards.map((shard) => shard.primary?.node) ?? [];
    const engines = world.running().filter((e) => nodes.includes(e.id));
    const all = engines.length === nodes.length && engines.every((e) => e.accepts(clock.ticks()));
    if (!all) return;
    for (const engine of engines) world.loadFunctions(engine, this.#value);
    this.#stage.say(`+ ${view?.id} loads functions`);
  }

  #delete(): void {
    const database = this.#stage.random.pick(this.#alive());
    if (this.#stage.away() || database === undefined) return;
    this.#stage.say(`+ ${database.id} deleted`);
    this.#stage.checks.doomed(`/data/${database.id}`);
    this.#stage.store.write(() => {
      this.#stage.store.putDatabase({
        ...database,
        provisioningState: 'Deleting',
        resourceState: 'Deleting',
      });
      this.#stage.store.putOperation(
        newOperation(`o${++this.#names}`, 'DeleteDatabase', database, this.#stage.clock.now()),
      );
    });
    this.#stage.wake(database.id);
  }

  #flush(): void {
    const database = this.#stage.random.pick(this.#alive());
    if (this.#stage.away() || database === undefined || database.observedGeneration === 0) return;
    this.#stage.say(`+ ${database.id} flush`);
    this.#stage.store.write(() =>
      this.#stage.store.putOperation(
        newOperation(`o${++this.#names}`, 'Flush', database, this.#stage.clock.now()),
      ),
    );
    this.#stage.wake(database.id);
  }

  /** The user's act: older copies may serve where no provably last one is left. */
  acceptLoss(): void {
    if (this.#stage.away()) return;
    for (const database of this.#alive()) {
      for (const shard of this.#stage.store.shards(database.id)) {
        if (shard.phase !== 'down' || shard.reason.code !== ONLY_OLDER_COPY) continue;
        if (shard.lossAccepted !== null) continue;
        this.#stage.say(`+ ${database.id}/${shard.index}: the user lets an older copy serve`);
        this.accepted++;
        this.#stage.checks.lossAccepted(database.id, shard.index);
        const lossAccepted = { at: this.#stage.clock.now(), by: 'simulator' };
        this.#stage.store.write(() => this.#stage.store.putShard({ ...shard, lossAccepted }));
        this.#stage.wake(database.id);
      }
    }
  }
}
