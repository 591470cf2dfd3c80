/**
 * One database: gather what is recorded and seen, ask the plan, do what it says, again.
 *
 * Actions run side by side; each names what it works on (a shard or an instance) and nothing else
 * starts on that until it ended, so a slow start never delays a failover beside it. The loop never
 * waits for an action: its end wakes the loop like any other event.
 */
import type { ProcessRef } from '../../engine/contract.ts';
import type { Action, MoveSighting, Plan, Sighting, View, Wait } from '../plan/model.ts';
import { plan } from '../plan/plan.ts';
import type { DatabaseRecord, InstanceRecord } from '../store/records.ts';
import { isDiskFull } from '../store/tables.ts';
import { DatabaseRecords } from './database-records.ts';
import type { ExecutorDeps } from './deps.ts';
import { easeCopies } from './ease-copies.ts';
import { FailoverTimes } from './failover-times.ts';
import type { Heart } from './heart.ts';
import { votingOff } from './launch.ts';
import { BETWEEN_STEPS_MS, RETRY_MS } from './limits.ts';
import { MoveWatch } from './move-watch.ts';
import { Patience } from './patience.ts';
import { perform } from './perform.ts';
import { codeOf, type Failure } from './problems.ts';
import { followOperations } from './progress.ts';
import { Samples } from './samples.ts';
import { SETTLE_PORTS, ShardPorts } from './shard-ports.ts';
import { subjectOf } from './subject.ts';
import { watchCopies } from './sync-alarm.ts';
import { tellTimes } from './tell-times.ts';
import { Watch } from './watch.ts';
import type { WatchEvents } from './watch-events.ts';
import { weighEngines } from './weigh-engines.ts';

export class DatabaseLoop extends DatabaseRecords {
  /** Generation of the lock on the data folder: checked in the transaction of each promotion. */
  readonly lease: () => void;
  readonly heart: Heart;
  readonly times: FailoverTimes;
  readonly #gone: () => void;
  readonly #began: number;
  /** Shards whose writes a switch is pausing: nobody else may end that pause. */
  readonly pausing = new Set<number>();
  /** Who was introduced to whom a moment ago: when, in ms of the clock that goes only forward. */
  readonly introduced = new Map<string, number>();
  readonly #watches = new Map<string, Watch>();
  readonly #busy = new Map<string, Promise<void>>();
  /** Looks at the batch of slots under way; null when there is none. */
  #move: MoveWatch | null = null;
  #stopSoon = false;
  #waits: readonly Wait[] = [];
  readonly #patience = new Patience();
  readonly #shardPorts = new ShardPorts(this, (work) => this.once(SETTLE_PORTS, work));
  #timer: { cancel(): void } | null = null;
  #scheduled = false;
  #between: { cancel(): void } | null = null;
  #refreshing = false;
  #stopped = false;
  /** Steps that fail, by what they work on, until one on the same succeeds. */
  readonly failing = new Map<string, Failure>();
  readonly #samples = new Samples(this);
  /** When this process first saw an operation, in ticks: their age, whatever the time of day does. */
  readonly #operations = new Map<string, number>();

  constructor(deps: ExecutorDeps, id: string, lease: () => void, heart: Heart, gone: () => void) {
    super(deps, id);
    this.lease = lease;
    this.heart = heart;
    this.#gone = gone;
    this.#began = deps.clock.ticks();
    this.times = new FailoverTimes(() => deps.clock.ticks());
  }

  /** Something changed: look soon, once for many calls; while a step runs for which clients wait, at its end. */
  wake(stepEnded = false): void {
    if (!stepEnded && this.#clientsWait) {
      this.#between ??= this.deps.clock.later(BETWEEN_STEPS_MS, () => this.wake(true));
      return;
    }
    this.#between?.cancel();
    this.#between = null;
    if (this.#scheduled || this.#stopped) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      if (!this.#stopped) this.#turn();
    });
  }

  get #clientsWait(): boolean {
    return this.#busy.size > 0 && (this.times.any || this.pausing.size > 0);
  }

  /** Applies settings and users to every engine again: certificates or keys changed. */
  reconfigure(): void {
    for (const watch of this.#watches.values()) watch.configuredAt(-1);
    this.wake();
  }

  /** No batch of slots and no planned switch is begun any more; what is under way is let end. */
  stopSoon(): void {
    this.#stopSoon = true;
  }

  /** Nothing new is begun: what looks like a death from now on is the stop. */
  freeze(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#between?.cancel();
  }

  /** Resolves when no step is running; after `freeze` none begins. */
  async idle(): Promise<void> {
    await Promise.allSettled(this.#busy.values());
  }

  /** Stops looking; what runs in the background is awaited. Processes stay. */
  async stop(): Promise<void> {
    this.freeze();
    this.#move?.stop();
    for (const watch of this.#watches.values()) watch.stop();
    await this.idle();
  }

  get waits(): readonly Wait[] {
    return this.#waits;
  }

  /** The step that has failed for the longest time; null when none does. */
  get failure(): Failure | null {
    let oldest: Failure | null = null;
    for (const each of this.failing.values()) {
      if (oldest === null || each.since < oldest.since) oldest = each;
    }
    return oldest;
  }

  /** Everything is as desired: what failed on the way is history. */
  settled(): void {
    this.failing.clear();
    this.#operations.clear();
  }

  /** For how long this process has known an open operation. */
  ageOf(operationId: string): number {
    const now = this.deps.clock.ticks();
    const since = this.#operations.get(operationId) ?? now;
    this.#operations.set(operationId, since);
    return now - since;
  }

  residentBytes(): number {
    return [...this.#watches.values()].reduce((sum, { memory }) => sum + memory, 0);
  }

  /** How it is seen now; null when it is not watched. */
  sighting(id: string): (Sighting & { readonly residentBytes: number }) | null {
    const watch = this.#watches.get(id);
    return watch === undefined ? null : { ...watch.sighting(), residentBytes: watch.memory };
  }

  /** What is seen of the batch of slots under way; null when there is none. */
  moveSighting(): MoveSighting | null {
    return this.#move?.sighting() ?? null;
  }

  watch(id: string): Watch {
    const watch = this.#watches.get(id);
    if (watch === undefined) throw new Error(`instance ${id} is not watched`);
    return watch;
  }

  // --- the turn ------------------------------------------------------------------------------------

  #turn(): void {
    const database = this.deps.store.databaseById(this.id);
    if (database === null) {
      this.#stopped = true;
      this.#move?.stop();
      for (const watch of this.#watches.values()) watch.stop();
      return this.#gone();
    }
    if (!this.#isOurs(database)) return;
    const view = this.#gather(database);
    const planned = plan(view);
    this.#waits = planned.waits;
    weighEngines(this.deps, view);
    for (const action of planned.actions) this.#begin(action);
    this.#recorded('follow operations', () => followOperations(this, view, planned));
    watchCopies(this, view);
    easeCopies(this.deps, view);
    tellTimes(this);
    // Asked whether it is served as recorded, the endpoint is told so.
    if (!this.#clientsWait) this.deps.published(this.id);
    this.#schedule(planned);
  }

  /** Not while it is queued behind its cluster, nor when it was rolled back and is only shown. */
  #isOurs(database: DatabaseRecord): boolean {
    const open = this.deps.store.openOperations(this.id);
    if (open.some((o) => o.kind === 'CreateDatabase' && o.status === 'Pending')) return false;
    const rolledBack =
      database.resourceState === 'CreateFailed' && database.provisioningState !== 'Deleting';
    return !rolledBack || this.shards().length > 0 || this.instances().length > 0;
  }

  #gather(database: DatabaseRecord): View {
    const instances = this.instances();
    this.#syncWatches(database, instances);
    this.#syncMove(database);
    const seen = new Map(instances.map((i) => [i.id, this.watch(i.id).sighting()]));
    const ported = this.#shardPorts.settle(database);
    const { published } = this.deps;
    const { id } = this;
    return {
      now: this.deps.clock.ticks(),
      began: this.#began,
      ownDelayMs: this.heart.lateMs,
      wanted: wantedOf(database),
      database,
      shards: this.shards(),
      instances,
      seen,
      // Only when it is asked for: it is made of every key and secret, and clients may be waiting.
      get published() {
        return ported && published(id);
      },
      move: this.moveSighting(),
      arranging: this.deps.arranging,
      stopping: this.#stopSoon,
    };
  }

  /** A batch is looked at from the moment it is recorded, also by a process that finds it so. */
  #syncMove({ scaling }: DatabaseRecord): void {
    const move = scaling?.move ?? null;
    if (this.#move?.move.askedAt === move?.askedAt) return;
    this.#move?.stop();
    this.#move = move === null ? null : new MoveWatch(this, move);
  }

  #syncWatches(database: DatabaseRecord, instances: readonly InstanceRecord[]): void {
    for (const instance of instances) {
      const watch = this.#watches.get(instance.id);
      if (watch === undefined) this.#watches.set(instance.id, this.#newWatch(database, instance));
      else watch.update(instance);
      if (instance.phase === 'running') this.watch(instance.id).inspect();
    }
    const known = new Set(instances.map((i) => i.id));
    for (const [id, watch] of this.#watches) {
      if (known.has(id)) continue;
      watch.stop();
      this.#watches.delete(id);
      this.#samples.forget(id);
    }
  }

  #newWatch(database: DatabaseRecord, instance: InstanceRecord): Watch {
    const login = { user: 'admin', password: this.secrets().admin };
    const events: WatchEvents = {
      changed: () => this.wake(),
      alarm: () => this.#alarm(instance.id),
      calm: () => this.#calm(instance.id),
      sampled: (facts) =>
        this.#recorded(`sample ${instance.id}`, () => this.#samples.take(instance.id, facts)),
      falseAlarm: (reason) => {
        this.#calm(instance.id);
        const message = `A control connection was closed (${reason}), but the engine lives.`;
        const about = { shard: instance.shard, instance: instance.id };
        this.tell('false-alarm', 'info', message, about);
      },
    };
    return new Watch(this.deps, instance, login, votingOff(database), events, this.heart);
  }

  /** A process of ours ended: told by the system, before any connection tells it. */
  ended({ pid, startTicks }: ProcessRef): void {
    if (this.#stopped) return;
    const same = (p: ProcessRef | null) => p?.pid === pid && p.startTicks === startTicks;
    const instance = this.instances().find((i) => same(i.process));
    if (instance === undefined) return;
    this.#alarm(instance.id);
    this.wake();
  }

  #alarm(id: string): void {
    const shard = this.#servedBy(id);
    if (shard !== null) this.times.alarm(shard);
  }

  #calm(id: string): void {
    const shard = this.#servedBy(id);
    if (shard !== null) this.times.falseAlarm(shard);
  }

  /** The shard of which this is the recorded and undisputed primary. */
  #servedBy(id: string): number | null {
    const instance = this.deps.store.instance(id);
    if (instance === null) return null;
    const { phase, primary } = this.shard(instance.shard);
    return phase === 'serving' && primary === id ? instance.shard : null;
  }

  #begin(action: Action): void {
    this.once(subjectOf(action), () => perform(this, action), action);
  }

  /** Runs `work` unless something runs under this key; its end wakes the loop. */
  once(key: string, work: () => Promise<void>, about: object = { kind: key }): void {
    if (this.#busy.has(key)) return;
    const running = work()
      .then(
        () => void this.failing.delete(key),
        (error: unknown) => this.#failed(key, about, error),
      )
      .finally(() => {
        this.#busy.delete(key);
        this.wake(true);
      });
    this.#busy.set(key, running);
  }

  /** What a full disk keeps from being recorded is a step that fails, and no reason to end or to doubt an engine. */
  #recorded(key: string, work: () => void): void {
    try {
      work();
      this.failing.delete(key);
    } catch (error) {
      if (!isDiskFull(error)) throw error;
      this.once(key, () => Promise.reject(error));
    }
  }

  /** True when nothing runs under this key any more, false when it still does at the deadline. */
  async quiet(key: string, deadlineMs: number): Promise<boolean> {
    const running = this.#busy.get(key);
    if (running === undefined) return true;
    const late = this.deps.clock.sleep(deadlineMs).then(() => false);
    return Promise.race([running.then(() => true), late]);
  }

  async #failed(key: string, about: object, error: unknown): Promise<void> {
    const message = error instanceof Error ? error.message : String(error);
    const code = codeOf(error);
    const since = this.failing.get(key)?.since ?? this.deps.clock.ticks();
    this.failing.set(key, { code, message, since });
    this.deps.log('warn', 'a step failed', { database: this.id, ...about, code, message });
    // The same state gives the same plan: without a pause a broken machine would spin.
    if (!this.#stopped) await this.deps.clock.sleep(RETRY_MS);
  }

  #schedule(planned: Plan): void {
    this.#timer?.cancel();
    const soonest = this.#patience.next(planned.waits, this.deps.clock.ticks());
    if (soonest === Number.POSITIVE_INFINITY) return;
    if (soonest === 0) void this.#recheck(planned);
    else this.#timer = this.deps.clock.later(soonest, () => void this.#recheck(planned));
  }

  async #recheck({ waits }: Plan): Promise<void> {
    if (this.#refreshing || this.#stopped) return;
    this.#refreshing = true;
    try {
      const asked = new Map(waits.flatMap((w) => w.refresh.map((id) => [id, w.draining])));
      const answers = [...asked].map(([id, draining]) => this.#watches.get(id)?.refresh(draining));
      await Promise.all(answers);
    } finally {
      this.#refreshing = false;
      this.wake();
    }
  }
}

export function wantedOf(database: DatabaseRecord): View['wanted'] {
  const going = database.provisioningState === 'Deleting';
  return going || database.resourceState === 'CreateFailed' ? 'nothing' : 'running';
}
