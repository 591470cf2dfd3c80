/**
 * What must hold after every step (engine rule 30). The checks know more than the control process:
 * they see every engine's data, and which writes a client was told are on two engines.
 */
import type { EngineLaunch, SlotRange } from '../../engine/contract.ts';
import { intersect, subtract } from '../plan/slot-ranges.ts';
import type { ShardRecord } from '../store/records.ts';
import type { Store } from '../store/store.ts';
import type { SimEngine } from './engine.ts';
import { holdsSlot, slotOf } from './handovers.ts';
import type { World } from './world.ts';

/** Steps that take no copy away; after these all copies are counted only now and then. */
const HARMLESS = new Set([
  'step',
  'ping',
  'facts',
  'find',
  'link',
  'configure',
  'slotMoves',
  'moveSlots',
  'dumpFunctions',
  'setUser',
  'dataFile',
  'portIsFree',
  'publish',
]);
const EVERY = 50;

export class Broken extends Error {
  override readonly name = 'Broken';
}

/** A write that its client was told is on the primary and on a replica. */
interface SafeWrite {
  readonly value: number;
  readonly group: string;
  /** Everybody who held it was killed by the scenario: its loss is nobody's mistake. */
  excused: boolean;
}

export class Checks {
  readonly #world: World;
  readonly #store: () => Store;
  readonly #safe: SafeWrite[] = [];
  readonly #doomed = new Set<string>();
  /** How many planned switches were told to a successor. */
  switches = 0;
  /** By engine that hands over: its successor's decision, while one control process sees it through. */
  readonly #handing = new Map<string, { readonly decidedAt: number }>();
  /** Standalone engines that were told to take over in a switch. */
  readonly #toldAlone = new Set<string>();
  #excusing = false;
  #steps = 0;
  readonly #shards = new Map<string, number>();

  constructor(world: World, store: () => Store) {
    this.#world = world;
    this.#store = store;
    world.onChange = (why) => this.afterStep(why);
    world.onFlush = (group) => this.#flushed(group);
    world.onHandOver = (source, target) => this.handingOver(source, target);
    world.shardOf = (id) => this.#shardOf(id);
  }

  /** An instance stays in its shard; asked for each write of each check. */
  #shardOf(id: string): number | null {
    const known = this.#shards.get(id);
    if (known !== undefined) return known;
    const shard = this.#store().instance(id)?.shard ?? null;
    if (shard !== null) this.#shards.set(id, shard);
    return shard;
  }

  get safeWrites(): number {
    return this.#safe.filter((write) => !write.excused).length;
  }

  /** Remembers a write that primary and replica have. */
  acknowledged(value: number, engine: SimEngine): void {
    const excused = this.#doomed.has(engine.group);
    this.#safe.push({ value, group: engine.group, excused });
  }

  /** The database is being deleted: what is written to it from now on may go too. */
  doomed(group: string): void {
    this.#doomed.add(group);
    this.#flushed(group);
  }

  /** FLUSHALL ran: what was there may go. */
  #flushed(group: string): void {
    for (const write of this.#safe) if (write.group === group) write.excused = true;
  }

  /**
   * The user lets an older copy serve: what any living copy of that shard lacks may go. What all of
   * them hold may not.
   */
  lossAccepted(databaseId: string, index: number): void {
    const ids = this.#store()
      .instances(databaseId)
      .filter((instance) => instance.shard === index)
      .map((instance) => instance.id);
    const copies = this.#world
      .running()
      .filter((engine) => ids.includes(engine.id) && engine.log.length > 0);
    for (const write of this.#safe) {
      if (!this.#belongs(write, databaseId, index)) continue;
      if (copies.some((copy) => !this.#world.dataOf(copy).has(write.value))) write.excused = true;
    }
  }

  /** Its slot is this shard's by the records, and not on its way to another one. */
  #belongs(write: SafeWrite, databaseId: string, index: number): boolean {
    if (write.group !== `/data/${databaseId}`) return false;
    const database = this.#store().databaseById(databaseId);
    if (database?.settings.policy === 'NoCluster') return true;
    const slots = this.#store().shard(databaseId, index)?.slots ?? [];
    const moving = database?.scaling?.move?.ranges ?? [];
    return holdsSlot(subtract(slots, moving), slotOf(write.value));
  }

  /** The scenario itself takes engines away; a write whose last holder goes is excused. */
  excuse(work: () => void): void {
    this.#excusing = true;
    try {
      work();
      this.afterStep('fault');
    } finally {
      this.#excusing = false;
    }
  }

  afterStep(why: string): void {
    if (!HARMLESS.has(why) || ++this.#steps % EVERY === 0) this.#copiesKept(why);
    this.#onePrimary(why);
    this.#oneProcessPerFolder(why);
  }

  /** Never delete or overwrite the last complete copy, in memory or in a file that is current. */
  #copiesKept(why: string): void {
    const held = new Map<string, Set<number>>();
    const { handovers } = this.#world;
    const add = (group: string, values: Iterable<number>, engine?: SimEngine) => {
      const set = held.get(group) ?? new Set<number>();
      for (const value of values) {
        if (engine === undefined || !this.#world.isStale(engine, value)) set.add(value);
      }
      held.set(group, set);
    };
    for (const engine of this.#world.running()) {
      add(engine.group, this.#world.dataOf(engine), engine);
      add(engine.group, handovers.broughtBy(engine.inbox), engine);
    }
    for (const [dataDir, log] of [...this.#world.files, ...this.#world.consumed]) {
      if (log === null || !this.#isCurrent(dataDir, log)) continue;
      add(dataDir.split('/').slice(0, -1).join('/'), handovers.dataOf(log));
    }
    for (const write of this.#safe) {
      if (write.excused || held.get(write.group)?.has(write.value) === true) continue;
      if (!this.#excusing) {
        throw new Broken(`write ${write.value}, on two engines, was lost by: ${why}`);
      }
      write.excused = true;
    }
  }

  /**
   * A file counts when it is recorded; one that was set aside as read, until its shard is recorded to
   * serve. What a stop wrote that died before its record is nothing that anybody may rely on.
   */
  #isCurrent(dataDir: string, log: readonly number[]): boolean {
    const sha256 = this.#world.hashOf(log);
    return this.#store()
      .databases()
      .flatMap((database) => this.#store().shards(database.id))
      .some(
        ({ saved }) =>
          saved?.sha256 === sha256 && this.#store().instance(saved.instance)?.dataDir === dataDir,
      );
  }

  /** Never two that take writes for one slot in the same epoch. */
  #onePrimary(why: string): void {
    const now = this.#world.clock.ticks();
    const seen: SimEngine[] = [];
    for (const engine of this.#world.running()) {
      if (engine.role !== 'primary' || !engine.accepts(now) || this.#isNobodys(engine)) continue;
      const other = seen.find(
        (e) =>
          e.group === engine.group &&
          e.epoch === engine.epoch &&
          (!e.clustered || intersect(e.slots, engine.slots).length > 0),
      );
      if (other !== undefined) {
        throw new Broken(`two primaries in one epoch after ${why}: ${engine.id} and ${other.id}`);
      }
      seen.push(engine);
    }
  }

  /**
   * Standalone engines know no epochs. When the control process dies between telling the successor
   * and telling the old primary, that one's pause ends, and the switch is undone later: until then the
   * successor is a primary too, and nobody's. Clients come through the endpoint only, which sends it
   * nothing before the switch is recorded as done (`written` looks at that).
   */
  #isNobodys(engine: SimEngine): boolean {
    return this.#toldAlone.has(engine.id) && this.#shardRecordOf(engine)?.primary !== engine.id;
  }

  #shardRecordOf(engine: SimEngine): ShardRecord | null {
    const instance = this.#store().instance(engine.id);
    return instance && this.#store().shard(instance.databaseId, instance.shard);
  }

  /** Never slots for a shard that lacks the functions of the one they come from. */
  handingOver(source: SimEngine, target: SimEngine): void {
    if (source.functions <= 0 || target.functions !== 0) return;
    throw new Broken(`${target.id} gets slots and has no functions, which ${source.id} has`);
  }

  /** Never take slots that somebody alive owns. */
  claiming(engine: SimEngine, ranges: readonly SlotRange[]): void {
    const owner = this.#world
      .running()
      .find(
        (e) =>
          e !== engine &&
          e.group === engine.group &&
          e.role === 'primary' &&
          intersect(e.slots, ranges).length > 0,
      );
    if (owner !== undefined) throw new Broken(`${engine.id} claims slots that ${owner.id} owns`);
  }

  #oneProcessPerFolder(why: string): void {
    const folders = new Set<string>();
    for (const engine of this.#world.running()) {
      if (folders.has(engine.dataDir)) throw new Broken(`two processes on one folder after ${why}`);
      folders.add(engine.dataDir);
    }
  }

  /** Never start unfenced: only a new shard, or a decided cold start, begins as primary. */
  starting(launch: EngineLaunch): void {
    const instance = this.#store().instance(launch.instance);
    if (instance === null) throw new Broken(`start of ${launch.instance}, which is not recorded`);
    const shard = this.#store().shard(instance.databaseId, instance.shard);
    const { role } = launch;
    const asPrimary =
      role.kind === 'alone' ||
      (role.kind === 'cluster' &&
        role.members.some((m) => m.id === role.myself && m.primaryId === null));
    if (!asPrimary) {
      const held = shard !== null && shard.phase !== 'new';
      if (held && instance.phase === 'dead' && this.#world.files.has(launch.dataDir)) {
        throw new Broken(`${launch.instance} follows with the files of its earlier life`);
      }
      return;
    }
    const first = shard?.phase === 'new';
    const cold = shard?.phase === 'down' && shard.primary === instance.id;
    if (!first && !cold) {
      throw new Broken(`${launch.instance} started as primary while its shard is ${shard?.phase}`);
    }
  }

  /** Never TAKEOVER without a committed decision, nor beside a primary that may still speak, nor of one that gives way. */
  takingOver(engine: SimEngine): void {
    const shard = this.#shardRecordOf(engine);
    const decided = shard?.phase === 'promoting' || shard?.phase === 'switching';
    if (!decided || shard.successor !== engine.id) {
      throw new Broken(`${engine.id} was told to take over without a committed decision`);
    }
    if (engine.light) throw new Broken(`${engine.id} was told to take over while it gives way`);
    if (shard.primary === null || shard.primary === engine.id) return;
    const old = this.#world.running().find((each) => each.id === shard.primary);
    if (shard.phase === 'switching') return this.#handingOver(shard, old, engine);
    if (old !== undefined) {
      throw new Broken(`${engine.id} was told to take over while ${old.id} still has a process`);
    }
    for (const write of this.#safe) {
      if (write.excused || !this.#belongs(write, shard.databaseId, shard.index)) continue;
      if (!this.#world.dataOf(engine).has(write.value) && this.#heldBy(write)) {
        throw new Broken(`${engine.id} takes over without write ${write.value}, which another has`);
      }
    }
  }

  /** A living primary hands over: it knows its successor, is paused for long enough, and that one has all it has. */
  #handingOver(shard: ShardRecord, old: SimEngine | undefined, engine: SimEngine): void {
    if (old === undefined || old.role !== 'primary') return;
    const left = old.pausedUntil - this.#world.clock.ticks();
    if (left <= 0) throw new Broken(`${engine.id} was told to take over from an unpaused primary`);
    if (engine.clustered && !old.sameShard.has(engine.id)) {
      throw new Broken(`${engine.id} was told to take over from a primary that does not know it`);
    }
    const missing = old.log.find((value) => !engine.log.includes(value));
    if (missing !== undefined) {
      throw new Broken(`${engine.id} was told to take over without write ${missing}`);
    }
    this.switches++;
    if (!engine.clustered) this.#toldAlone.add(engine.id);
    this.#handing.set(old.id, { decidedAt: shard.decidedAt });
  }

  /** The control process died: what it had begun may run past its deadlines. */
  controlDied(): void {
    this.#handing.clear();
  }

  /** A client was told that its write is done. */
  written(value: number, engine: SimEngine): void {
    if (this.#isNobodys(engine)) {
      throw new Broken(`write ${value} was sent to ${engine.id} before its switch was recorded`);
    }
    if (!this.#handing.has(engine.id)) return;
    const shard = this.#shardRecordOf(engine);
    if (shard?.phase !== 'switching' || shard.primary !== engine.id) {
      this.#handing.delete(engine.id);
      return;
    }
    const next = this.#world.running().find((each) => each.id === shard.successor);
    if (next?.role === 'primary') {
      throw new Broken(`write ${value} was taken by ${engine.id}, which handed over already`);
    }
  }

  #heldBy(write: SafeWrite): boolean {
    return this.#world
      .running()
      .some(
        (e) =>
          e.group === write.group &&
          (this.#world.dataOf(e).has(write.value) || e.inbox.includes(write.value)),
      );
  }

  /** Never UNPAUSE a master after its successor was named. */
  unpausing(engine: SimEngine): void {
    const shard = this.#shardRecordOf(engine);
    const named = shard?.successor ?? shard?.primary ?? engine.id;
    if (engine.role === 'primary' && named !== engine.id) {
      throw new Broken(`${engine.id} was unpaused as primary after ${named} was named`);
    }
  }

  /** Never remove the files of an instance that still has a process. */
  removing(dataDir: string): void {
    if (this.#world.running().some((engine) => engine.dataDir === dataDir)) {
      throw new Broken(`files of a running engine removed: ${dataDir}`);
    }
  }
}
