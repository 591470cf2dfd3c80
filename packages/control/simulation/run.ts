/**
 * One simulated life of an installation, from a seed: databases are made, written to, changed and
 * deleted while engines are killed, hang and lag, calls and replies are lost, and the control process
 * dies at any step and comes back. Then the trouble ends, and everything must come to rest: every
 * operation ended, every shard served by one whole primary, nothing left of what was deleted.
 */
import { Databases } from '../databases/manager.ts';
import type { ArrangingLimits } from '../plan/model.ts';
import { openDatabase, Store } from '../store/index.ts';
import { Broken, Checks } from './checks.ts';
import { SimClock } from './clock.ts';
import { SimNode } from './node.ts';
import { Random } from './random.ts';
import { type Focus, Scenario } from './scenario.ts';
import type { Stage } from './stage.ts';
import type { Incarnation, Trouble } from './trouble.ts';
import { unrest } from './unrest.ts';
import { type ClientView, goneOn } from './views.ts';
import { World } from './world.ts';

export interface RunResult {
  readonly seed: number;
  readonly steps: number;
  readonly safeWrites: number;
  /** See `Trouble.faults`. */
  readonly faults: number;
  readonly kills: number;
  readonly crashes: number;
  /** Slots that went from one shard to another. */
  readonly slotsMoved: number;
  /** How often the user let an older copy serve. */
  readonly accepted: number;
  /** Orderly stops that came to their end. */
  readonly stops: number;
  /** Planned switches that came about. */
  readonly switches: number;
  /** Shards that were to be given a copy in the order of slots, and those that one leads. */
  readonly arranging: number;
  readonly arranged: number;
  readonly timeline: readonly string[];
  readonly error: string | null;
}

export interface RunOptions {
  readonly seed: number;
  /** Steps with trouble; the calm after it is not counted. */
  readonly steps: number;
  readonly focus?: Focus;
  /**
   * No shard has so many keys that it is arranged before it gives them away: as it was for the seeds that
   * were kept before there was such a thing.
   */
  readonly fewKeys?: boolean;
}

/** Makes the seed of another stream. */
const DEAFNESS = 0x5bd1e995;
const ARRANGING = 0x2545f491;
/** So many keys are many, for engines that never hold more than some hundreds; and most copies are there in time. */
const MANY_KEYS = 12;
const ARRANGE_MIN_MS = 500;
const ARRANGE_START_MS = 5_000;
const ARRANGE_MAX_MS = 20_000;
/** So much rarer is trouble in lives that are about scaling. */
const CALM = 30;
const CALM_MS = 200_000;
const CALM_STEPS = 400_000;
const TIMELINE_KEPT = 400;
/** So many steps in one moment of time are a loop without a pause. */
const STILL_STEPS = 5_000;
/** How often everything ends at the worst moment of a cold start, while there is trouble. */
const CUT_CHANCE = 0.3;

export async function simulate(options: RunOptions): Promise<RunResult> {
  const run = new Run(options);
  return run.go();
}

class Run {
  readonly #seed: number;
  readonly #steps: number;
  readonly #random: Random;
  readonly #clock: SimClock;
  readonly #world: World;
  readonly #db = openDatabase(':memory:');
  readonly #trouble: Trouble;
  readonly #timeline: string[] = [];
  readonly #checks: Checks;
  #store: Store;
  #life: Incarnation = { dead: true };
  #databases: Databases | null = null;
  #leaseAt = 0;
  #stillSteps = 0;
  readonly #scenario: Scenario;
  #crashes = 0;
  #stops = 0;
  readonly #arranging: ArrangingLimits;
  #arrangements = 0;
  #arranged = 0;
  #stopping = false;
  #cutChance = CUT_CHANCE;
  readonly #storm: boolean;
  #views: readonly ClientView[] = [];
  #failure: Error | null = null;

  constructor({ seed, steps, focus, fewKeys = false }: RunOptions) {
    this.#seed = seed;
    this.#steps = steps;
    this.#random = new Random(seed);
    // A stream of its own: seeds that were kept go on to mean the same.
    this.#clock = new SimClock(new Random(~seed));
    this.#world = new World(this.#clock, this.#random, new Random(seed ^ DEAFNESS));
    const arranging = new Random(seed ^ ARRANGING);
    this.#arranging = {
      fromKeys: fewKeys ? Number.POSITIVE_INFINITY : arranging.between(1, MANY_KEYS),
      startMs: arranging.between(ARRANGE_MIN_MS, ARRANGE_START_MS),
      deadlineMs: arranging.between(ARRANGE_MIN_MS, ARRANGE_MAX_MS),
    };
    const rough = this.#random.next();
    const storm = focus === 'storm';
    this.#storm = storm;
    const gapMs = this.#random.between(20, storm ? 100 : 1_500);
    // Slots travel only where nothing else is wrong: its own trouble comes at its own moments.
    const meanGapMs = focus === 'scaling' ? gapMs * CALM : gapMs;
    const lost = (storm ? 0.3 : 0.02) * rough;
    this.#trouble = { lostCall: lost, lostReply: lost, crash: lost / 10, faults: 0 };
    this.#store = this.#openStore({ dead: false });
    this.#checks = new Checks(this.#world, () => this.#store);
    this.#scenario = new Scenario(this.#stage(), meanGapMs, focus ?? 'anything');
  }

  #stage(): Stage {
    const store = () => this.#store;
    return {
      random: this.#random,
      clock: this.#clock,
      world: this.#world,
      checks: this.#checks,
      get store() {
        return store();
      },
      away: () => this.#life.dead || this.#stopping,
      views: () => this.#views,
      wake: (id) => this.#databases?.wake(id),
      crash: (why) => this.#crash(why),
      fault: () => {
        this.#trouble.faults++;
      },
      stop: () => this.#stop(),
      say: (line) => this.#say(line),
    };
  }

  async go(): Promise<RunResult> {
    let steps = 0;
    try {
      this.#begin();
      this.#scenario.create();
      for (; steps < this.#steps; steps++) {
        await this.#step();
        this.#scenario.act();
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
      faults: this.#trouble.faults,
      kills: this.#scenario.kills,
      crashes: this.#crashes,
      slotsMoved: this.#world.jobs.handedOver,
      accepted: this.#scenario.accepted,
      stops: this.#stops,
      switches: this.#checks.switches,
      arranging: this.#arrangements,
      arranged: this.#arranged,
      timeline: this.#timeline,
      error: this.#failure === null ? null : `${this.#failure.name}: ${this.#failure.message}`,
    };
  }

  async #step(): Promise<void> {
    const before = this.#clock.ticks();
    await this.#clock.step();
    this.#stillSteps = this.#clock.ticks() === before ? this.#stillSteps + 1 : 0;
    if (this.#stillSteps > STILL_STEPS) throw new Broken('the control process spins');
    if (this.#failure !== null) throw this.#failure;
    this.#scenario.confirmWrites();
    this.#checks.afterStep('step');
    if (this.#clock.ticks() - this.#leaseAt > 10_000) this.#giveVote();
  }

  #say(line: string): void {
    this.#timeline.push(`${String(this.#clock.ticks() - 1_000_000).padStart(8)} ${line}`);
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
    store.onEvent((event) => {
      if (event.reason === 'shard-arranging') this.#arrangements++;
      if (event.reason === 'shard-arranged') this.#arranged++;
      this.#say(`. ${event.reason} ${event.instance?.slice(0, 6) ?? ''} ${event.message}`);
    });
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
      claiming: (engine, ranges) => this.#broken(() => this.#checks.claiming(engine, ranges)),
      crash: () => this.#crash('at a call'),
      changed: (why) => {
        this.#broken(() => this.#checks.afterStep(why));
        if (why === 'consume' && this.#random.chance(this.#cutChance)) this.#cut();
      },
    });
    this.#leaseAt = this.#clock.ticks();
    this.#databases = new Databases({
      store: this.#store,
      node,
      clock: this.#clock,
      ports: {
        listening: () => new Set(this.#world.strangers.keys()),
        describe: () => 'a stranger',
      },
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
      arranging: this.#arranging,
      freeMemory: () => Number.POSITIVE_INFINITY,
      freeDisk: () => Number.POSITIVE_INFINITY,
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
          if (!life.dead) this.#leaseAt = this.#clock.ticks();
        },
        hold: (shard, deadlineMs) =>
          node.call('hold', deadlineMs, () => this.#scenario.hold(shard, deadlineMs)),
        prepare: async () => undefined,
        // Undone by any end of the hold but the release that says the same.
        expect: async () => undefined,
        answerConfig: async () => undefined,
        release: (shard, _epoch, successor) =>
          node.call('release', 500, () => {
            this.#views = goneOn(this.#views, shard, successor);
            this.#scenario.release(shard);
          }),
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
    this.#trouble.faults++;
    this.#life.dead = true;
    this.#stopping = false;
    this.#checks.controlDied();
    // What a killed process does not do any more: no timer fires, no loop turns.
    void this.#databases?.detach();
    this.#say(`! the control process dies ${why}`);
    this.#backLater();
  }

  #backLater(): void {
    this.#clock.later(this.#random.between(10, this.#storm ? 500 : 15_000), () => {
      this.#say('^ the control process is back');
      this.#begin();
    });
  }

  /** Between two instructions of a cold start everything ends, as when the machine does. */
  #cut(): void {
    this.#say('! everything ends');
    this.#checks.excuse(() => {
      for (const engine of this.#world.running()) this.#world.end(engine);
    });
    this.#crash('with everything');
  }

  #stop(): void {
    const [life, databases] = [this.#life, this.#databases];
    if (life.dead || this.#stopping || databases === null) return;
    this.#stopping = true;
    this.#say('+ an orderly stop');
    // Every other one may be refused; either way this process ends, and another one follows.
    databases
      .stop({ save: true, mayRefuse: this.#stops % 2 === 1 })
      .then(({ notes, held }) => {
        if (life.dead) return;
        this.#say(`+ stopped ${[...notes, ...held].join('; ')}`);
        const broken = held.find((why) => why.includes('could not be stopped in order'));
        if (broken !== undefined) this.#failure ??= new Broken(broken);
        this.#stops++;
        this.#stopping = false;
        life.dead = true;
        this.#backLater();
      })
      .catch((error: unknown) => {
        if (!life.dead) this.#failure ??= error as Error;
      });
  }

  /** The dead-man rule: nobody renewed the lease, the engines may vote. */
  #giveVote(): void {
    for (const engine of this.#world.running()) engine.mayVote = true;
  }

  // --- the calm --------------------------------------------------------------------------------------

  /** No more trouble: everything must come to rest, with the user's word where only that helps. */
  async #calm(): Promise<void> {
    Object.assign(this.#trouble, { lostCall: 0, lostReply: 0, crash: 0 });
    this.#cutChance = 0;
    for (const engine of this.#world.running()) {
      if (engine.state === 'stopped') engine.state = 'running';
      engine.busyUntil = 0;
    }
    const end = this.#clock.ticks() + CALM_MS;
    for (let i = 0; i < CALM_STEPS && this.#clock.ticks() < end; i++) {
      await this.#step();
      if (i % 50 === 0) this.#scenario.acceptLoss();
      if (i % 50 === 0 && this.#unrest() === null) return;
    }
    const unrest = this.#unrest();
    if (unrest === null) return;
    const waits = this.#store.databases().map((d) => `${d.id}: ${this.#databases?.waits(d.id)}`);
    throw new Broken(`no rest after ${CALM_MS / 1000} s of calm: ${unrest} (${waits.join('; ')})`);
  }

  #unrest(): string | null {
    return this.#life.dead ? 'the control process is away' : unrest(this.#store, this.#world);
  }
}

const USERS: readonly {
  name: string;
  enabled: boolean;
  passwordHashes: string[];
  rules: string[];
}[] = [{ name: 'default', enabled: true, passwordHashes: [], rules: [] }];
