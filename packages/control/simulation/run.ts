/**
 * One simulated life of an installation, from a seed: databases are made, written to, changed and
 * deleted while engines are killed, hang and lag, calls and replies are lost, and the control process
 * dies at any step and comes back. Then the trouble ends, and everything must come to rest: every
 * operation ended, every shard served by one whole primary, nothing left of what was deleted.
 */
import type { DatabaseUsers } from '../auth/users.ts';
import { Databases } from '../databases/manager.ts';
import { ONLY_OLDER_COPY } from '../plan/shard.ts';
import type {
  DatabaseRecord,
  DatabaseSettings,
  InstanceRecord,
  OperationRecord,
} from '../store/index.ts';
import { openDatabase, Store } from '../store/index.ts';
import { Broken, Checks } from './checks.ts';
import { SimClock } from './clock.ts';
import type { SimEngine } from './engine.ts';
import { type Incarnation, SimNode, type Trouble } from './node.ts';
import { Random } from './random.ts';
import { newCluster, newDatabase, newOperation } from './records.ts';
import { World } from './world.ts';

export interface RunResult {
  readonly seed: number;
  readonly steps: number;
  readonly safeWrites: number;
  readonly kills: number;
  readonly crashes: number;
  /** How often the user let an older copy serve. */
  readonly accepted: number;
  readonly timeline: readonly string[];
  readonly error: string | null;
}

export interface RunOptions {
  readonly seed: number;
  /** Steps with trouble; the calm after it is not counted. */
  readonly steps: number;
}

const CALM_MS = 200_000;
const CALM_STEPS = 400_000;
const TIMELINE_KEPT = 400;

export async function simulate(options: RunOptions): Promise<RunResult> {
  const run = new Run(options);
  return run.go();
}

class Run {
  readonly #seed: number;
  readonly #steps: number;
  readonly #random: Random;
  readonly #clock = new SimClock();
  readonly #world: World;
  readonly #db = openDatabase(':memory:');
  readonly #trouble: Trouble;
  readonly #timeline: string[] = [];
  readonly #checks: Checks;
  #store: Store;
  #life: Incarnation = { dead: true };
  #databases: Databases | null = null;
  #leaseAt = 0;
  #value = 1;
  #nextTrouble = 0;
  #meanGapMs = 0;
  #kills = 0;
  #crashes = 0;
  #accepted = 0;
  #names = 0;
  #views: readonly {
    readonly id: string;
    readonly shards: readonly { readonly primary: { readonly node: string } | null }[];
  }[] = [];
  #pending: { value: number; engine: SimEngine; shard: string }[] = [];
  #failure: Error | null = null;

  constructor({ seed, steps }: RunOptions) {
    this.#seed = seed;
    this.#steps = steps;
    this.#random = new Random(seed);
    this.#world = new World(this.#clock, this.#random);
    const rough = this.#random.next();
    this.#meanGapMs = this.#random.between(50, 3_000);
    this.#trouble = { lostCall: 0.02 * rough, lostReply: 0.02 * rough, crash: 0.002 * rough };
    this.#store = this.#openStore({ dead: false });
    this.#checks = new Checks(this.#world, () => this.#store);
  }

  async go(): Promise<RunResult> {
    let steps = 0;
    try {
      this.#begin();
      this.#create();
      for (; steps < this.#steps; steps++) {
        await this.#step();
        this.#act();
      }
      await this.#calm();
    } catch (error) {
      this.#failure ??= error as Error;
    }
    this.#life.dead = true;
    void this.#databases?.detach();
    return {
      seed: this.#seed,
      steps,
      safeWrites: this.#checks.safeWrites,
      kills: this.#kills,
      crashes: this.#crashes,
      accepted: this.#accepted,
      timeline: this.#timeline,
      error: this.#failure === null ? null : `${this.#failure.name}: ${this.#failure.message}`,
    };
  }

  async #step(): Promise<void> {
    await this.#clock.step();
    if (this.#failure !== null) throw this.#failure;
    this.#confirmWrites();
    this.#checks.afterStep('step');
    if (this.#clock.now() - this.#leaseAt > 10_000) this.#giveVote();
  }

  #say(line: string): void {
    this.#timeline.push(`${String(this.#clock.now() - 1_000_000).padStart(8)} ${line}`);
    if (this.#timeline.length > TIMELINE_KEPT) this.#timeline.shift();
  }

  // --- the control process ----------------------------------------------------------------------

  /** A store that a dead incarnation cannot write to any more. */
  #openStore(life: Incarnation): Store {
    const sealer = {
      seal: (_o: string, text: string) => text,
      open: (_o: string, text: string) => text,
    };
    const store = new Store(this.#db, sealer, () => this.#clock.now());
    const write = store.write.bind(store);
    const decide = store.decide.bind(store);
    const guarded =
      <T>(commit: (work: () => T) => T) =>
      (work: () => T): T => {
        if (life.dead) throw new Error('this control process is dead');
        return commit(work);
      };
    store.write = guarded(write) as Store['write'];
    store.decide = guarded(decide) as Store['decide'];
    store.onEvent((event) =>
      this.#say(`. ${event.reason} ${event.instance?.slice(0, 6) ?? ''} ${event.message}`),
    );
    return store;
  }

  #begin(): void {
    const life: Incarnation = { dead: false };
    this.#life = life;
    this.#store = this.#openStore(life);
    const node = new SimNode(this.#world, life, this.#trouble, {
      starting: (launch) => this.#broken(() => this.#checks.starting(launch)),
      takingOver: (engine) => this.#broken(() => this.#checks.takingOver(engine)),
      removing: (dataDir) => this.#broken(() => this.#checks.removing(dataDir)),
      unpausing: (engine) => this.#broken(() => this.#checks.unpausing(engine)),
      crash: () => this.#crash('at a call'),
      changed: (why) => this.#broken(() => this.#checks.afterStep(why)),
    });
    this.#leaseAt = this.#clock.now();
    this.#databases = new Databases({
      store: this.#store,
      node,
      clock: this.#clock,
      users: () => USERS,
      dataRoot: '/data',
      socketRoot: '/run',
      shardPorts: 8_500,
      internalPorts: 20_000,
      engineHost: '127.0.0.1',
      hosts: ['127.0.0.1'],
      tls: async () => ({ certFile: '', keyFile: '', caFile: '', generation: 1 }),
      served: async () => ({ certFile: '', keyFile: '', generation: 1, expiresAt: 0 }),
      hostName: () => 'localhost',
      randomHex: (bytes) => this.#random.hex(bytes),
      log: (_level, message, data) =>
        this.#say(`- ${message} ${JSON.stringify(data).slice(0, 160)}`),
      fleet: {
        publish: (_epoch, views) =>
          node.call('publish', 500, () => {
            this.#views = views;
            return [];
          }),
        renewLease: () => {
          if (!life.dead) this.#leaseAt = this.#clock.now();
        },
      },
    });
    void this.#databases.start().catch((error: unknown) => {
      if (life.dead) return;
      // The process would exit and its parent start another one.
      this.#say(`! start failed: ${String(error)}`);
      this.#crash('at its start');
    });
  }

  /** A check that fails inside the control process's own call must end the run, not be retried. */
  #broken(check: () => void): void {
    try {
      check();
    } catch (error) {
      if (error instanceof Broken) this.#failure ??= error;
      throw error;
    }
  }

  #crash(why: string): void {
    if (this.#life.dead) return;
    this.#crashes++;
    this.#life.dead = true;
    // What a killed process does not do any more: no timer fires, no loop turns.
    void this.#databases?.detach();
    this.#say(`! the control process dies ${why}`);
    this.#clock.later(this.#random.between(10, 15_000), () => {
      this.#say('^ the control process is back');
      this.#begin();
    });
  }

  /** The dead-man rule: nobody renewed the lease, the engines may vote. */
  #giveVote(): void {
    for (const engine of this.#world.running()) engine.mayVote = true;
  }

  // --- the scenario ---------------------------------------------------------------------------------

  /** Writes all the time; trouble at moments whose mean distance the seed chooses. */
  #act(): void {
    if (this.#random.chance(0.2)) this.#write();
    const now = this.#clock.now();
    if (now < this.#nextTrouble) return;
    this.#nextTrouble = now - Math.log(1 - this.#random.next()) * this.#meanGapMs;
    const dice = this.#random.next();
    if (dice < 0.35) this.#kill();
    else if (dice < 0.5) this.#stopOne();
    else if (dice < 0.6) this.#busyOne();
    else if (dice < 0.7) this.#crash('by SIGKILL');
    else if (dice < 0.8) this.#create();
    else if (dice < 0.9) this.#update();
    else if (dice < 0.94) this.#flush();
    else if (dice < 0.97) this.#delete();
    else this.#acceptLoss();
  }

  #write(): void {
    const view = this.#random.pick(this.#views);
    const shard = this.#random.between(0, (view?.shards.length ?? 1) - 1);
    const node = view?.shards[shard]?.primary?.node;
    const engine = this.#world.running().find((e) => e.id === node);
    if (engine === undefined || view === undefined) return;
    const value = this.#value++;
    if (this.#world.write(engine, value)) {
      this.#pending.push({ value, engine, shard: `${engine.group}/${shard}` });
    }
  }

  /** WAIT 1: the client is told once a replica has it. */
  #confirmWrites(): void {
    this.#pending = this.#pending.filter((write) => {
      if (!write.engine.alive) return false;
      const replicated = this.#world
        .replicasOf(write.engine)
        .some((replica) => replica.log.includes(write.value));
      if (replicated) this.#checks.acknowledged(write.value, write.engine, write.shard);
      return !replicated;
    });
    if (this.#pending.length > 1_000) this.#pending.splice(0, 500);
  }

  #kill(): void {
    const engine = this.#random.pick(this.#world.running());
    if (engine === undefined) return;
    this.#kills++;
    this.#say(`! ${engine.id.slice(0, 6)} (${engine.role}) is killed`);
    this.#checks.excuse(() => this.#world.end(engine));
  }

  #stopOne(): void {
    const engine = this.#random.pick(this.#world.running());
    if (engine === undefined) return;
    this.#say(`! ${engine.id.slice(0, 6)} (${engine.role}) is stopped`);
    engine.state = 'stopped';
    this.#clock.later(this.#random.between(100, 20_000), () => {
      if (engine.state === 'stopped') engine.state = 'running';
    });
  }

  #busyOne(): void {
    const engine = this.#random.pick(this.#world.running());
    if (engine === undefined) return;
    const ms = this.#random.between(100, 8_000);
    this.#say(`! ${engine.id.slice(0, 6)} (${engine.role}) is busy for ${ms} ms`);
    engine.busyUntil = this.#clock.now() + ms;
  }

  #alive(): DatabaseRecord[] {
    return this.#store.databases().filter((d) => d.provisioningState !== 'Deleting');
  }

  #create(): void {
    if (this.#life.dead || this.#alive().length >= 2) return;
    const policies: DatabaseSettings['policy'][] = ['OSSCluster', 'EnterpriseCluster', 'NoCluster'];
    const policy = this.#random.pick(policies) ?? 'NoCluster';
    const shards = policy === 'OSSCluster' ? this.#random.between(1, 4) : 1;
    const replicas = this.#random.chance(0.8) ? 1 : 0;
    const now = this.#clock.now();
    const cluster = newCluster(`c${++this.#names}`, now);
    const database = newDatabase(`d${this.#names}`, cluster.id, policy, shards, replicas, now);
    this.#say(`+ ${database.id} ${policy}, ${shards} shards, ${replicas} replicas`);
    this.#store.write(() => {
      this.#store.putCluster(cluster);
      this.#store.putDatabase(database);
      this.#store.putSecret(database.id, { admin: 'a', replication: 'r', endpoint: 'e' });
      this.#store.putSecret(`${database.id}/keys`, { primaryKey: 'p', secondaryKey: 's' });
      this.#store.putOperation(newOperation(`o${this.#names}`, 'CreateDatabase', database, now));
    });
    this.#databases?.wake(database.id);
  }

  /** Replicas on or off, or another eviction policy. */
  #update(): void {
    const database = this.#random.pick(this.#alive());
    if (this.#life.dead || database === undefined || database.provisioningState !== 'Succeeded')
      return;
    const next: DatabaseRecord = {
      ...database,
      generation: database.generation + 1,
      provisioningState: 'Updating',
      resourceState: 'Updating',
      sizing: {
        ...database.sizing,
        replicas: this.#random.chance(0.5)
          ? database.sizing.replicas === 0
            ? 1
            : 0
          : database.sizing.replicas,
        maxMemoryBytes: this.#random.between(10, 99) * 1_000_000,
      },
    };
    this.#say(`+ ${database.id} updated to ${next.sizing.replicas} replicas`);
    this.#store.write(() => {
      this.#store.putDatabase(next);
      this.#store.putOperation(
        newOperation(`o${++this.#names}`, 'UpdateDatabase', next, this.#clock.now()),
      );
    });
    this.#databases?.wake(database.id);
  }

  #delete(): void {
    const database = this.#random.pick(this.#alive());
    if (this.#life.dead || database === undefined) return;
    this.#say(`+ ${database.id} deleted`);
    this.#checks.doomed(`/data/${database.id}`);
    this.#store.write(() => {
      this.#store.putDatabase({
        ...database,
        provisioningState: 'Deleting',
        resourceState: 'Deleting',
      });
      this.#store.putOperation(
        newOperation(`o${++this.#names}`, 'DeleteDatabase', database, this.#clock.now()),
      );
    });
    this.#databases?.wake(database.id);
  }

  #flush(): void {
    const database = this.#random.pick(this.#alive());
    if (this.#life.dead || database === undefined || database.observedGeneration === 0) return;
    this.#say(`+ ${database.id} flush`);
    this.#store.write(() =>
      this.#store.putOperation(
        newOperation(`o${++this.#names}`, 'Flush', database, this.#clock.now()),
      ),
    );
    this.#databases?.wake(database.id);
  }

  /** The user's act: older copies may serve where no provably last one is left. */
  #acceptLoss(): void {
    if (this.#life.dead) return;
    for (const database of this.#alive()) {
      for (const shard of this.#store.shards(database.id)) {
        if (shard.phase !== 'down' || shard.reason.code !== ONLY_OLDER_COPY) continue;
        if (shard.lossAccepted !== null) continue;
        this.#say(`+ ${database.id}/${shard.index}: the user lets an older copy serve`);
        this.#accepted++;
        this.#checks.lossAccepted(database.id, shard.index);
        const lossAccepted = { at: this.#clock.now(), by: 'simulator' };
        this.#store.write(() => this.#store.putShard({ ...shard, lossAccepted }));
        this.#databases?.wake(database.id);
      }
    }
  }

  // --- the calm --------------------------------------------------------------------------------------

  /** No more trouble: everything must come to rest, with the user's word where only that helps. */
  async #calm(): Promise<void> {
    Object.assign(this.#trouble, { lostCall: 0, lostReply: 0, crash: 0 });
    for (const engine of this.#world.running()) {
      if (engine.state === 'stopped') engine.state = 'running';
      engine.busyUntil = 0;
    }
    const end = this.#clock.now() + CALM_MS;
    for (let i = 0; i < CALM_STEPS && this.#clock.now() < end; i++) {
      await this.#step();
      if (i % 50 === 0) this.#acceptLoss();
      if (i % 50 === 0 && this.#unrest() === null) return;
    }
    const unrest = this.#unrest();
    if (unrest === null) return;
    const waits = this.#store.databases().map((d) => `${d.id}: ${this.#databases?.waits(d.id)}`);
    throw new Broken(`no rest after ${CALM_MS / 1000} s of calm: ${unrest} (${waits.join('; ')})`);
  }

  /** What is not as it should be, or null. */
  #unrest(): string | null {
    if (this.#life.dead) return 'the control process is away';
    const open: OperationRecord[] = this.#store.openOperations();
    if (open.length > 0) return `${open[0]?.kind} of ${open[0]?.databaseId} has not ended`;
    const known = new Set<string>();
    for (const database of this.#store.databases()) {
      const instances = this.#store.instances(database.id);
      for (const instance of instances) known.add(instance.id);
      if (database.resourceState === 'CreateFailed') continue;
      for (const shard of this.#store.shards(database.id)) {
        const problem = this.#shardProblem(database, shard.index, instances);
        if (problem !== null) return `${database.id}/${shard.index}: ${problem}`;
      }
    }
    const left = this.#world.running().find((engine) => !known.has(engine.id));
    if (left !== undefined) return `a process is left of ${left.id}`;
    const folder = [...this.#world.files.keys()].find(
      (dir) => !this.#store.databases().some((d) => dir.startsWith(`/data/${d.id}/`)),
    );
    return folder === undefined ? null : `a folder is left: ${folder}`;
  }

  #shardProblem(
    database: DatabaseRecord,
    index: number,
    all: readonly InstanceRecord[],
  ): string | null {
    const shard = this.#store.shard(database.id, index);
    const members = all.filter((i) => i.shard === index);
    if (shard?.phase !== 'serving') return `phase ${shard?.phase} (${shard?.reason.code})`;
    if (members.length !== 1 + database.sizing.replicas) return `${members.length} instances`;
    const primary = this.#world.running().find((e) => e.id === shard.primary);
    if (primary?.accepts(this.#clock.now()) !== true) return 'its primary takes no writes';
    for (const member of members) {
      const engine = this.#world.running().find((e) => e.id === member.id);
      if (engine === undefined) return `${member.id.slice(0, 6)} does not run`;
      if (!member.synced) return `${member.id.slice(0, 6)} is not in sync`;
      if (engine !== primary && engine.role !== 'replica')
        return `${member.id.slice(0, 6)} is a second primary`;
    }
    return null;
  }
}

const USERS: readonly {
  name: string;
  enabled: boolean;
  passwordHashes: string[];
  rules: string[];
}[] = [{ name: 'default', enabled: true, passwordHashes: [], rules: [] }];

export type { DatabaseUsers };
