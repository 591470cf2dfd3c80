/**
 * Which lanes a session uses, and what it has in flight where.
 *
 * One rule keeps a client's commands in order: while anything of it is in flight on a shard, it stays
 * on the lane that carries it. With nothing in flight it is free: it takes the shared lane of the
 * moment, or a bulk lane for what is large. Different shards are independent; the order of *replies*
 * is kept by the session, whatever the order of answers.
 */
import type { Command } from '../../resp/table/index.ts';
import { handedOver } from './handed-over.ts';
import type { Lane } from './lane.ts';
import type { LaneGroup } from './lane-group.ts';
import {
  BULK_PART,
  CLIENT_HIGH_WATER,
  READS_BEHIND_BYTES,
  READS_BYTES,
  READS_FIRST,
  READS_MOST,
} from './limits.ts';
import type { Session } from './session.ts';
import type { Shard } from './shard.ts';
import { Unconfirmed } from './unconfirmed.ts';

export class SessionLanes {
  readonly #session: Session;
  #lanes: (Lane | null)[] = [];
  #groups: (LaneGroup | null)[] = [];
  readonly #inFlight: number[] = [];
  /** Saves what is below a look for each write: the lane of the last one, and what was asked there since. */
  #lastWrite: Lane | null = null;
  #lastAsked = 0;
  /** null: it wrote nothing. */
  #unconfirmed: Unconfirmed<Lane> | null = null;
  /** The connection to an engine that is this session's alone: blocking commands, WATCH. */
  own: Lane | null = null;
  /** By shard: large replies asked for behind another since nothing was in flight. */
  readonly #largeInRow: number[] = [];
  /** In flight on all shards. */
  total = 0;
  /** Commands sent since nothing was in flight, and with how many of them it asks for more reads. */
  #inRow = 0;
  #most = READS_FIRST;
  /** All that the client had been sent when the row began. */
  #rowAt = 0;
  /** Its reads may go to replicas. */
  replicaReads = false;
  /** By shard, performance.now(): no write of this session was acknowledged later. Infinity: one may be. */
  readonly #wroteAt: number[] = [];
  /** The slot map that what is in flight was routed by. */
  #mapVersion = -1;

  constructor(session: Session) {
    this.#session = session;
  }

  /**
   * May commands be routed by this version of the slot map? Not while others are under way by an
   * older one: the old owner of a slot may not have come to them yet, and the new one would be first.
   */
  follow(mapVersion: number): boolean {
    if (this.#mapVersion === mapVersion) return true;
    if (this.total > 0) return false;
    this.#mapVersion = mapVersion;
    // Its writes may be another shard's now.
    this.#wroteAt.fill(performance.now());
    return true;
  }

  /** The short way: a lane for a plain command of this shard, or null. */
  plain(shardIndex: number): Lane | null {
    const shard = this.#session.proxy.world.topology.shards[shardIndex];
    if (shard === undefined) return null;
    if ((this.#inFlight[shardIndex] ?? 0) > 0) {
      const lane = this.#lanes[shardIndex];
      return lane?.open === true && shard.obstacle === '' ? lane : null;
    }
    const lane = shard.smallLane(this.groupOf(shard));
    this.#lanes[shardIndex] = lane;
    return lane;
  }

  /** A lane for the next command, or null: not now. */
  take(shard: Shard, large: boolean, command: Command | null = null): Lane | null {
    if (shard.obstacle !== '') return null;
    const { index } = shard;
    const mayRead = this.replicaReads && !large && command !== null && readsFromReplica(command);
    if ((this.#inFlight[index] ?? 0) > 0) {
      const current = this.#lanes[index] ?? null;
      if (current === null || !current.open) return null;
      if (current.copy !== 'primary' && !mayRead) return null;
      return large && current.kind === 'small' ? null : current;
    }
    const group = this.groupOf(shard);
    if (mayRead) {
      const replica = shard.replicas.lane(group, this.#settledWrites(index));
      if (replica !== null) {
        this.#lanes[index] = replica;
        return replica;
      }
    }
    const lane = large ? shard.bulkLane(group) : shard.smallLane(group);
    this.#lanes[index] = lane;
    return lane;
  }

  /**
   * One more large reply might be more than the engine keeps for a connection: first, the others are
   * read, all of them, because it counts what it has kept since nothing was left.
   */
  crowded({ index }: Shard): boolean {
    const count = this.on(index);
    const lane = this.#lanes[index];
    if (count === 0) this.#largeInRow[index] = 0;
    if (count === 0 || lane?.kind !== 'bulk') return false;
    const { state } = this.#session;
    const bytes = Math.max(state.largeReply, lane.head?.large ?? 0);
    const behind = (this.#largeInRow[index] ?? 0) + 1;
    if (bytes === 0 || (behind + 1) * bytes > state.most * BULK_PART) return true;
    this.#largeInRow[index] = behind;
    return false;
  }

  groupOf(shard: Shard): LaneGroup {
    const known = this.#groups[shard.index];
    if (known !== undefined && known !== null) return known;
    const group = shard.group(this.#session.state.login);
    this.#groups[shard.index] = group;
    return group;
  }

  /** Another user, protocol or database: other lanes. */
  forget(): void {
    this.#lanes = [];
    this.#groups = [];
    this.#lastWrite = null;
  }

  /** Unanswered on this shard. */
  on(shard: number): number {
    return this.#inFlight[shard] ?? 0;
  }

  /** So many more commands may be sent before a read has to wait until nothing is in flight. */
  get readsAhead(): number {
    return this.total === 0 ? this.#most : this.#most - this.#inRow;
  }

  flying(shard: number, count: number): void {
    if (this.total === 0) {
      this.#inRow = 0;
      this.#rowAt = this.#session.output.total;
    }
    this.#inRow += count;
    this.total += count;
    this.#inFlight[shard] = (this.#inFlight[shard] ?? 0) + count;
  }

  landed(shard: number, count: number): void {
    this.total -= count;
    this.#inFlight[shard] = (this.#inFlight[shard] ?? 0) - count;
    if (this.total > 0 || this.#inRow < this.#most) return;
    const { output, state } = this.#session;
    const bytes = output.total - this.#rowAt;
    // Who does not read is sent what he asks for, but nobody else is to wait for much of it.
    const behind = output.unwritten > CLIENT_HIGH_WATER;
    const share = behind ? READS_BEHIND_BYTES : READS_BYTES;
    const most = bytes <= share ? 2 * this.#most : Math.floor((share / bytes) * this.#inRow);
    const least = behind ? 1 : READS_FIRST;
    this.#most = state.largeReply > 0 ? least : Math.max(least, Math.min(most, READS_MOST));
  }

  wrote(lane: Lane, command: Command): void {
    if (this.replicaReads) this.#dirty(lane.shard, command);
    if (lane === this.#lastWrite && lane.owed.asked === this.#lastAsked) return;
    if (!command.write && command.fate.kind !== 'script') return;
    this.#writes(lane);
  }

  #writes(lane: Lane): void {
    if (this.#session.gone) return;
    this.#lastWrite = lane;
    this.#lastAsked = lane.owed.asked;
    this.#unconfirmed ??= new Unconfirmed(standsIn);
    this.#unconfirmed.wrote(lane);
  }

  /** The same, of several commands in one piece. */
  wroteOn(lane: Lane): void {
    this.#writes(lane);
    if (this.replicaReads) this.#mark(lane.shard);
  }

  /** By a connection of its own. */
  wroteHidden(shard: Shard): void {
    if (this.replicaReads) this.#mark(shard);
  }

  #dirty(shard: Shard, command: Command): void {
    if (!readsFromReplica(command)) this.#mark(shard);
  }

  #mark(shard: Shard): void {
    while (this.#wroteAt.length <= shard.index) this.#wroteAt.push(0);
    this.#wroteAt[shard.index] = Number.POSITIVE_INFINITY;
  }

  /** From now on, or no longer. What it wrote before is not known one by one. */
  readFromReplicas(allowed: boolean): void {
    if (allowed && !this.replicaReads) {
      const { length } = this.#session.proxy.world.topology.shards;
      for (let i = 0; i < length; i++) this.#wroteAt[i] = Number.POSITIVE_INFINITY;
    }
    this.replicaReads = allowed;
  }

  /** With nothing in flight there: since when the session has written nothing. */
  #settledWrites(shard: number): number {
    const at = this.#wroteAt[shard];
    if (at === undefined) return 0;
    if (at < Number.POSITIVE_INFINITY) return at;
    const now = performance.now();
    this.#wroteAt[shard] = now;
    return now;
  }

  /** What a WAIT is about; null: nothing. */
  get unconfirmed(): Unconfirmed<Lane> | null {
    // The next write counts, on whatever lane.
    this.#lastWrite = null;
    return this.#unconfirmed;
  }

  /**
   * A connection of its own to this shard, or null after having stalled the session. Its earlier
   * commands must be answered first: they are on other lanes. `blocks`: it is to wait there.
   */
  takeOwn(shard: Shard, blocks: boolean): Lane | null {
    const session = this.#session;
    if (this.total > 0) {
      session.stall('order');
      return null;
    }
    if (this.own !== null && (this.own.shard !== shard || this.own.state === 'closed')) {
      this.own.close('not needed');
      this.own = null;
    }
    if (this.own === null) {
      const lane = shard.ownLane(this.groupOf(shard), blocks);
      if (lane === null) {
        session.stallFor(shard);
        return null;
      }
      this.own = lane;
      lane.onReady = () => session.proxy.world.wake(session);
      lane.onClosed = () => session.proxy.world.wake(session);
    }
    if (!this.own.open) {
      session.stallFor(shard);
      return null;
    }
    session.waits.served(shard, session.proxy.world.now);
    return this.own;
  }

  /** The client is gone. */
  leave(): void {
    this.releaseOwn(false);
    this.#unconfirmed?.clear();
  }

  /** The own connection is not needed any more: kept for the next session, if it is clean. */
  releaseOwn(clean: boolean): void {
    const lane = this.own;
    this.own = null;
    if (lane === null) return;
    if (clean) lane.shard.returnOwn(lane);
    else lane.close('not needed');
  }
}

/** Its engine was replaced on purpose; or what only it could tell exactly is asked of no replica. */
function standsIn(lane: Lane, exact: boolean): boolean {
  return handedOver(lane) || (exact && lane.shard.view.replicas.length === 0);
}

/** Reads by key, and nothing that runs a script or waits: those are where the writes are. */
function readsFromReplica(command: Command): boolean {
  return command.readonly && (command.fate.kind === 'keyed' || command.fate.kind === 'split');
}
