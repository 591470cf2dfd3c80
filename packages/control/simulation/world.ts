/**
 * The machine of a simulation: its processes, files, and what engines do among themselves
 * (replication, gossip, votes). Only the node, the engines and the clock are simulated; plan,
 * executor and store are the real ones.
 */
import { createHash } from 'node:crypto';
import type { EngineLaunch, ProcessRef, SlotRange } from '../../engine/contract.ts';
import { intersect, SLOTS, subtract, union } from '../plan/slot-ranges.ts';
import type { SimClock } from './clock.ts';
import { SimEngine } from './engine.ts';
import { Handovers, holdsSlot, slotOf } from './handovers.ts';
import type { Random } from './random.ts';
import { SlotJobs } from './slot-jobs.ts';

/** How often engines exchange what they know. */
const TICK_MS = 5;
const GOSSIP_MS = 100;
/** A replica may hear of a new owner of slots this late; seen: 754 ms. */
const DEAF_MS = 1_000;
const SYNC_MIN_MS = 20;
const SYNC_MAX_MS = 600;
/** Three and more primaries elect among themselves after the node timeout (shortened here). */
const VOTE_AFTER_MS = 3_000;
const FEWEST_VOTERS = 3;

export class World {
  readonly clock: SimClock;
  readonly random: Random;
  /** Of who hears late of what: a stream of its own, for seeds that were kept before it. */
  readonly #deafness: Random;
  readonly engines: SimEngine[] = [];
  /** By data folder: what is in it; null: a folder without a data file. */
  readonly files = new Map<string, number[] | null>();
  readonly aside = new Map<string, number>();
  readonly handovers = new Handovers();
  readonly jobs = new SlotJobs(this);
  /** Which shard an engine was made for; the simulator's own knowledge. */
  shardOf: (id: string) => number | null = () => null;
  /** By data folder: the file that was loaded and set aside as read. */
  readonly consumed = new Map<string, number[]>();
  /** Ports that somebody else listens on, and until when. */
  readonly strangers = new Map<number, number>();
  /** Called before the last whole copy of a write could disappear; set by the checks. */
  onChange: (why: string) => void = () => undefined;
  #pid = 100;
  #lastGossip = 0;
  #deadSince = new Map<string, number>();

  constructor(clock: SimClock, random: Random, deafness: Random) {
    this.clock = clock;
    this.random = random;
    this.#deafness = deafness;
    this.#tick();
  }

  running(): SimEngine[] {
    return this.engines.filter((engine) => engine.alive);
  }

  byProcess(process: ProcessRef): SimEngine | undefined {
    return this.engines.find(
      (e) => e.process.pid === process.pid && e.process.startTicks === process.startTicks,
    );
  }

  start(launch: EngineLaunch): SimEngine {
    const file = launch.load === 'files' ? (this.files.get(launch.dataDir) ?? []) : [];
    if (!this.files.has(launch.dataDir)) this.files.set(launch.dataDir, null);
    const process = { pid: this.#pid++, startTicks: this.clock.ticks() };
    const engine = new SimEngine(
      launch,
      process,
      launch.dataDir.split('/').slice(0, -1).join('/'),
      this.clock.ticks(),
      this.random.hex(20),
      file,
    );
    // It ends at once, before it has read anything.
    if (engine.ports.some((port) => this.isTaken(port))) {
      engine.end();
      return engine;
    }
    this.engines.push(engine);
    // Both ends of a hand-over may have died before it was recorded: whoever starts with them has them.
    if (engine.role === 'primary') this.noteHandOver(engine, engine.slots);
    return engine;
  }

  isTaken(port: number): boolean {
    return (this.strangers.get(port) ?? 0) > this.clock.ticks();
  }

  /** The process ends; what it held in memory is gone. */
  end(engine: SimEngine): void {
    engine.end();
    const index = this.engines.indexOf(engine);
    if (index >= 0) this.engines.splice(index, 1);
  }

  hashOf(log: readonly number[]): string {
    return createHash('sha256').update(JSON.stringify(log)).digest('hex');
  }

  portOf(id: string): number {
    return this.engines.find((engine) => engine.id === id)?.port ?? 0;
  }

  /** A client's write: false when it is not accepted. */
  write(engine: SimEngine, value: number): boolean {
    if (!engine.accepts(this.clock.ticks())) return false;
    if (engine.clustered && !holdsSlot(engine.slots, slotOf(value))) return false;
    this.append(engine, value);
    return true;
  }

  /** One more entry of a primary's stream. */
  append(engine: SimEngine, entry: number): void {
    engine.log.push(entry);
    for (const replica of this.replicasOf(engine)) {
      if (replica.linkUp) replica.inbox.push(entry);
    }
  }

  /** By group: the shard that each slot was handed to last; -1: never handed over. */
  readonly #handedTo = new Map<string, Int16Array>();

  noteHandOver(target: SimEngine, ranges: readonly SlotRange[]): void {
    const owners = this.#handedTo.get(target.group) ?? new Int16Array(SLOTS).fill(-1);
    for (const [first, last] of ranges) {
      owners.fill(this.shardOf(target.id) ?? -1, first, last + 1);
    }
    this.#handedTo.set(target.group, owners);
  }

  /** Its slot was handed to another shard: what is left of it here is no copy that anybody may use. */
  isStale(engine: SimEngine, value: number): boolean {
    const owner = this.#handedTo.get(engine.group)?.[slotOf(value)] ?? -1;
    const shard = this.shardOf(engine.id);
    return owner >= 0 && shard !== null && shard !== owner;
  }

  /** What it holds. */
  dataOf(engine: SimEngine): ReadonlySet<number> {
    return this.handovers.dataOf(engine.log);
  }

  /** Its replicas get them with the stream. */
  loadFunctions(engine: SimEngine, version: number): void {
    engine.functions = version;
    for (const replica of this.replicasOf(engine)) replica.functions = version;
  }

  /** Also of those who are dead: who heard of it goes on from there. */
  newestEpoch(group: string): number {
    const members = this.running().filter((e) => e.group === group);
    const told = members.flatMap((e) => [...e.told.values()].map(({ epoch }) => epoch));
    return Math.max(0, ...told, ...members.map(({ epoch }) => epoch));
  }

  /** Slots went to `owner`: a replica may have no connection there yet. In ms from now. */
  deafness(replica: SimEngine, owner: SimEngine): number {
    const late = this.#deafness.between(0, DEAF_MS);
    replica.deafen(owner.id, this.clock.ticks() + late);
    return late;
  }

  replicasOf(primary: SimEngine): SimEngine[] {
    return this.running().filter((e) => e.role === 'replica' && this.#primaryOf(e) === primary);
  }

  onHandOver: (source: SimEngine, target: SimEngine) => void = () => undefined;
  onFlush: (group: string) => void = () => undefined;

  flush(engine: SimEngine): void {
    this.onFlush(engine.group);
    this.jobs.flushed(engine);
    engine.log = [];
    for (const replica of this.replicasOf(engine)) {
      replica.log = [];
      replica.inbox = [];
    }
  }

  flushSlots(engine: SimEngine, ranges: readonly SlotRange[]): void {
    this.append(engine, this.handovers.marks({ ranges, values: [] }).went);
  }

  #primaryOf(replica: SimEngine): SimEngine | undefined {
    return this.engines.find((e) =>
      replica.clustered ? e.id === replica.followsId : e.port === replica.followsPort,
    );
  }

  #tick(): void {
    const now = this.clock.ticks();
    for (const replica of this.running())
      if (replica.role === 'replica') this.#replicate(replica, now);
    if (now - this.#lastGossip >= GOSSIP_MS) {
      this.#lastGossip = now;
      this.#gossip(now);
      this.#vote(now);
    }
    this.clock.later(TICK_MS, () => this.#tick());
  }

  #replicate(replica: SimEngine, now: number): void {
    if (!replica.answers(now)) return;
    const take = this.random.between(0, replica.inbox.length);
    replica.log.push(...replica.inbox.splice(0, take));
    const primary = this.#primaryOf(replica);
    const same = !replica.linkUp || primary?.process.pid === replica.linkPid;
    const reachable = primary?.role === 'primary' && primary.alive && same;
    if (replica.linkUp) {
      // The stream ends when it was read to its end, not when the primary dies.
      if (!reachable && replica.inbox.length === 0) replica.linkUp = false;
      return;
    }
    if (!reachable || primary === undefined || !primary.answers(now)) {
      replica.syncingUntil = 0;
      return;
    }
    replica.linkPid = primary.process.pid;
    if (replica.syncingUntil === 0) {
      if (this.#continues(replica, primary)) {
        const missing = primary.log.slice(replica.log.length);
        replica.log.push(...missing);
        replica.replicationId = primary.replicationId;
        replica.functions = primary.functions;
        replica.linkUp = true;
      } else {
        replica.syncingUntil = now + this.random.between(SYNC_MIN_MS, SYNC_MAX_MS);
      }
    } else if (!replica.syncing(now)) {
      replica.log = [...primary.log];
      replica.replicationId = primary.replicationId;
      replica.epoch = Math.max(replica.epoch, primary.epoch);
      replica.functions = primary.functions;
      replica.linkUp = true;
      replica.syncingUntil = 0;
      replica.loadedKeys = wroteMeanwhile(replica) ? 0 : this.dataOf(replica).size;
      this.onChange(`${replica.id.slice(0, 6)} took a full copy of ${primary.id.slice(0, 6)}`);
    }
  }

  /** The same history, and nothing in it that the primary does not have. */
  #continues(replica: SimEngine, primary: SimEngine): boolean {
    if (replica.log.length === 0 && replica.replicationId !== primary.replicationId) return false;
    if (replica.replicationId === primary.replicationId)
      return replica.log.length <= primary.log.length;
    return replica.replicationId === primary.secondId && replica.log.length <= primary.secondOffset;
  }

  /**
   * Of two that claim the same slots the higher epoch wins, then the higher id. The loser lets these
   * go; one of the same shard that has none left obeys.
   */
  #gossip(now: number): void {
    const nodes = this.running().filter((e) => e.clustered && e.answers(now));
    for (const node of nodes) {
      for (const other of nodes) {
        if (other === node || !node.knows.has(other.id) || other.group !== node.group) continue;
        other.knows.add(node.id);
        for (const id of other.knows) if (id !== node.id && this.portOf(id) > 0) node.knows.add(id);
        if (node.wouldHear(other, now)) node.sameShard.add(other.id);
        // What one claimed stands until another one claims it.
        if (other.role !== 'primary' || node.isDeafTo(other.id, now)) continue;
        node.hear(other);
        if (other.slots.length === 0) continue;
        if (node.role === 'primary') this.#yield(node, other);
        else if (node.followsId !== other.id) {
          const mine = nodes.find((e) => e.id === node.followsId);
          if (mine !== undefined && mine.role === 'replica' && mine.followsId === other.id) {
            node.follow(other.id, 0);
          }
        }
      }
    }
  }

  #yield(node: SimEngine, other: SimEngine): void {
    const lost = intersect(node.slots, other.slots);
    if (lost.length === 0 || !beats(other, node)) return;
    node.slots = subtract(node.slots, lost);
    if (node.slots.length === 0 && node.sameShard.has(other.id)) {
      node.follow(other.id, 0);
      node.epoch = other.epoch;
      return;
    }
    // Keys of slots that went to somebody else go with them.
    const { went } = this.handovers.marks({ ranges: lost, values: [] });
    this.append(node, went);
  }

  /** The engines' own election: only with a majority of primaries, and only where it is allowed. */
  #vote(now: number): void {
    for (const replica of this.running()) {
      if (!replica.clustered || replica.role !== 'replica' || !replica.mayVote) continue;
      if (!replica.answers(now) || replica.linkUp || replica.log.length === 0) continue;
      const primary = this.#primaryOf(replica);
      if (primary?.answers(now) === true) {
        this.#deadSince.delete(replica.id);
        continue;
      }
      const since = this.#deadSince.get(replica.id) ?? now;
      this.#deadSince.set(replica.id, since);
      if (now - since < VOTE_AFTER_MS) continue;
      const voters = this.running().filter(
        (e) => e.group === replica.group && e.role === 'primary' && e.answers(now),
      );
      if (voters.length + 1 < FEWEST_VOTERS) continue;
      this.takeover(replica);
    }
  }

  /** CLUSTER FAILOVER TAKEOVER: checks nothing at all. */
  takeover(engine: SimEngine): void {
    if (engine.role === 'primary') return;
    const primary = engine.followsId;
    const claimed = engine.told.get(primary ?? '')?.slots ?? [];
    const left = engine.nodes().find((node) => node.id === primary)?.slots ?? [];
    const believed = left.length > 0 ? left : claimed;
    // A slot that is nobody's, and of which it has keys, it takes as well.
    const taken = engine.nodes().flatMap((node) => node.slots);
    const found = [...this.dataOf(engine)].map(slotOf).filter((slot) => !holdsSlot(taken, slot));
    const owned = union(
      believed,
      found.map((slot): SlotRange => [slot, slot]),
    );
    engine.becomePrimary(this.random.hex(20));
    engine.slots = owned;
    engine.epoch = Math.max(this.newestEpoch(engine.group), engine.epoch) + 1;
  }
}

/** While one in eight is copied clients write more than there was before. */
function wroteMeanwhile({ id }: SimEngine): boolean {
  return /^[01]/.test(id);
}

function beats(a: SimEngine, b: SimEngine): boolean {
  return a.epoch > b.epoch || (a.epoch === b.epoch && a.id > b.id);
}
