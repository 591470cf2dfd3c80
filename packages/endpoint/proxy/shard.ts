/**
 * One shard as the proxy sees it: which instance serves it, whether commands may go there now, and
 * the lanes that lead there.
 *
 * A session asks `laneFor` and gets a lane or null. Null means: not now. The session then keeps its
 * unread input, joins `waiters`, and is woken when something has changed; nothing polls but the
 * deadline sweep. So a shard that is held, down, hung or far behind costs its clients time and the
 * worker nothing.
 */
import type { InstanceView, ShardView } from '../control-protocol.ts';
import { anotherBulk, idleBulk } from './bulk-lanes.ts';
import { sendElsewhere } from './elsewhere.ts';
import { handOver } from './handed-over.ts';
import { Lane, type LaneKind, type LaneState } from './lane.ts';
import { BulkTurns } from './lane-flow.ts';
import { connected, type LaneGroup, newGroup } from './lane-group.ts';
import type { LaneLogin } from './lane-login.ts';
import {
  BULK_LANES_MOST,
  LANE_RETRY_MS,
  LANES_BESIDE,
  OTHER_USERS_LANES,
  OWN_LANES,
  SILENCE_AGAIN_MS,
} from './limits.ts';
import { ReplicaWatch } from './replica-watch.ts';
import type { Session } from './session.ts';
import { ShardHold } from './shard-hold.ts';
import { silentLane } from './silence.ts';
import {
  closeIdle,
  isFull,
  keepOwn,
  keepSpare,
  leave,
  takeKept,
  takeSpare,
  withRoom,
} from './spare-lanes.ts';
import type { TrackingState } from './tracking.ts';
import type { World } from './world.ts';

export class Shard {
  readonly world: World;
  readonly index: number;
  readonly id: string;
  view: ShardView;
  /** Grows with each primary that may lack what the one before had (unconfirmed.ts). */
  lineage = 0;
  readonly waiters = new Set<Session>();
  readonly groups = new Map<string, LaneGroup>();
  /** Every lane that is not closed, of whatever kind or group. */
  readonly lanes = new Set<Lane>();
  readonly replicas: ReplicaWatch;
  /** By engine. */
  readonly #turns = new Map<string, BulkTurns>();
  /** Why the last attempt to reach it failed; '' when it answered. */
  trouble = '';
  readonly #hold = new ShardHold(this);
  #retry: NodeJS.Timeout | null = null;
  #saidSilentAt = Number.NEGATIVE_INFINITY;

  constructor(world: World, index: number, view: ShardView) {
    this.world = world;
    this.index = index;
    this.id = view.id;
    this.view = view;
    this.replicas = new ReplicaWatch(this);
    this.replicas.apply();
  }

  /** Named reason why nothing may be sent now, or '' when it may. */
  get obstacle(): string {
    if (this.#hold.active || this.view.state === 'held') return 'shard-held';
    if (this.view.state === 'down' || this.view.primary === null) return 'shard-down';
    return '';
  }

  apply(view: ShardView): void {
    const before = this.view.primary?.socket;
    this.view = view;
    const nodes = [view.primary, ...view.replicas].map((each) => each?.node);
    for (const node of this.#turns.keys()) if (!nodes.includes(node)) this.#turns.delete(node);
    if (before !== view.primary?.socket) {
      this.trouble = '';
      const next = view.primary?.node;
      // Loaded scripts are not replicated, and the old primary may come back without them.
      for (const lane of this.lanes) this.world.scripts.forget(lane.node);
      const warm = new Set([...this.groups.values()].flatMap((group) => group.warm));
      if (!handOver(view, this.lanes)) this.lineage++;
      for (const lane of this.lanes) if (!warm.has(lane)) this.retire(lane);
      for (const group of this.groups.values()) {
        group.small = group.warm.find((lane) => lane.node === next) ?? null;
        group.spares = [];
        group.bulk = [];
        group.own = [];
        group.replica = null;
        group.failedAt = 0;
        if (next === undefined) continue; // nobody serves yet: they are kept for whoever will
        for (const lane of group.warm) if (lane !== group.small) this.retire(lane);
        group.warm = [];
      }
    }
    this.replicas.apply();
    if (this.obstacle === '') this.wakeAll();
  }

  group(login: LaneLogin): LaneGroup {
    const owner = login.tracking === null ? '' : login.tracking.session.id;
    const kind = `${login.protocol} ${login.database} ${login.noTouch ? 1 : 0}`;
    const key = `${kind} ${owner} ${login.twin}`;
    const known = this.groups.get(key);
    if (known?.login.password === login.password && known.login.tracking === login.tracking) {
      return known;
    }
    const group = newGroup(key, login);
    this.groups.set(key, group);
    return group;
  }

  /** The small lane of a group, if a command may be put on it now. */
  smallLane(group: LaneGroup): Lane | null {
    if (this.obstacle !== '') return null;
    let lane = group.small;
    if (lane === null || lane.waits > 0 || lane.retired) {
      lane = takeSpare(group.spares) ?? this.#connect(group, 'small');
      group.small = lane;
    }
    if (lane !== null && isFull(lane)) lane = this.#beside(group) ?? lane;
    return lane?.open === true ? lane : null;
  }

  /** A small lane with room, beside the one of the moment; if there is none, there soon will be. */
  #beside(group: LaneGroup): Lane | null {
    const lane = withRoom(group.spares);
    if (lane === null && group.login.tracking === null && group.spares.length < LANES_BESIDE) {
      const fresh = this.#connect(group, 'small');
      if (fresh !== null) group.spares.push(fresh);
    }
    return lane;
  }

  turnsOf(node: string): BulkTurns {
    const turns = this.#turns.get(node) ?? new BulkTurns();
    this.#turns.set(node, turns);
    return turns;
  }

  /** A bulk lane with nothing in flight; null when all are busy (the session waits). */
  bulkLane(group: LaneGroup): Lane | null {
    if (this.obstacle !== '') return null;
    const idle = idleBulk(group.bulk);
    if (idle === null && anotherBulk(group.bulk)) {
      const lane = this.#connect(group, 'bulk');
      if (lane !== null) group.bulk.push(lane);
    }
    return idle;
  }

  /** A connection for one session alone (`blocks`: that waits there). Ready or connecting; null: not now. */
  ownLane(group: LaneGroup, blocks: boolean): Lane | null {
    if (this.obstacle !== '') return null;
    const kept = takeKept(group.own, blocks);
    if (kept !== null) return kept;
    let own = 0;
    for (const lane of this.lanes) if (lane.kind === 'own') own++;
    return own >= OWN_LANES ? null : this.#connect(group, 'own');
  }

  /** Gives an own lane back that is as it was: nothing watched, nothing in flight. */
  returnOwn(lane: Lane): void {
    lane.onReady = null;
    lane.onClosed = null;
    lane.onQuiet = null;
    const group = this.group(lane.login);
    if (lane.open && lane.inFlight === 0 && keepOwn(group.own, lane)) {
      group.own.push(lane);
      this.wakeAll();
    } else this.#leave(lane);
  }

  #connect(group: LaneGroup, kind: LaneKind): Lane | null {
    const { primary } = this.view;
    if (primary === null) return null;
    if (performance.now() - group.failedAt < LANE_RETRY_MS) {
      this.#retryLater();
      return null;
    }
    if (group.login.user !== 'default' && this.world.topology.otherLanes() >= OTHER_USERS_LANES) {
      this.world.topology.closeIdleLane();
    }
    return this.#open(group, primary, kind);
  }

  #open(group: LaneGroup, at: InstanceView, kind: LaneKind): Lane {
    const lane = new Lane(this.world, this, at, group.login, kind);
    this.lanes.add(lane);
    lane.onReady = () => {
      this.trouble = '';
      this.wakeAll();
    };
    return lane;
  }

  /**
   * A connection to the primary was lost, or clients are held: it may be dead, or about to be replaced.
   * Until it is known who follows it, there is time to connect and log in to each replica; then the
   * first command needs not wait for that.
   */
  #warm(group: LaneGroup): void {
    for (const replica of this.view.replicas) {
      if (group.warm.some((lane) => lane.node === replica.node)) continue;
      group.warm.push(this.#open(group, replica, 'small'));
    }
  }

  #retryLater(): void {
    if (this.#retry !== null) return;
    this.#retry = setTimeout(() => {
      this.#retry = null;
      this.wakeAll();
    }, LANE_RETRY_MS);
  }

  laneClosed(lane: Lane, reason: string, was: LaneState): void {
    this.lanes.delete(lane);
    if (lane.copy !== 'primary') {
      this.replicas.laneClosed(lane);
      return;
    }
    lane.login.tracking?.laneLost();
    for (const group of this.groups.values()) {
      if (group.small === lane) group.small = null;
      group.spares = group.spares.filter((other) => other !== lane);
      group.bulk = group.bulk.filter((other) => other !== lane);
      group.own = group.own.filter((other) => other !== lane);
      if (group.warm.includes(lane)) {
        group.warm = group.warm.filter((other) => other !== lane);
        return;
      }
      if (was === 'ready' && lane.kind === 'small' && !lane.retired && group.login === lane.login) {
        this.#warm(group);
      }
      if (was === 'connecting' && group.login === lane.login) group.failedAt = performance.now();
    }
    // Somebody may wait for one, because there were as many as there may be.
    if (lane.kind === 'own') this.wakeAll();
    if (lane.retired || reason === 'not needed' || reason === 'idle') {
      this.#hold.check();
      return;
    }
    const known = this.trouble === reason;
    this.trouble = reason;
    this.world.scripts.forget(lane.node);
    // Each attempt to reach a shard that is away fails the same way: said once.
    if (was === 'ready' || !known) this.#emit('shard-lost', lane.node, reason);
    this.#hold.check();
    this.#retryLater();
  }

  laneTurnedBulk(lane: Lane): void {
    const group = this.group(lane.login);
    if (lane.copy !== 'primary') {
      this.replicas.laneClosed(lane);
      this.retire(lane);
      return;
    }
    const beside = group.spares.includes(lane);
    group.spares = group.spares.filter((other) => other !== lane);
    if (group.small !== lane && !beside) return;
    if (!beside) group.small = takeSpare(group.spares) ?? this.#connect(group, 'small');
    const spare = group.spares.length > 0 ? null : this.#connect(group, 'small');
    if (spare !== null) group.spares.push(spare);
    sendElsewhere(lane);
    if (group.bulk.length < BULK_LANES_MOST) {
      group.bulk.push(lane);
      return;
    }
    lane.flow.hurry();
    this.retire(lane);
  }

  /** No WAIT stands in this lane any more: it is a spare one. */
  waitOver(lane: Lane): void {
    if (lane.retired || lane.kind !== 'small') return this.laneQuiet(lane);
    const group = this.group(lane.login);
    const over = group.small === lane ? null : keepSpare(group.spares, lane);
    if (over !== null) this.#leave(over);
    this.wakeAll();
  }

  laneQuiet(lane: Lane): void {
    if (lane.retired && lane.waits === 0) lane.close('not needed');
    if (lane.kind === 'bulk' || lane.waits > 0) this.wakeAll();
    this.#hold.check();
  }

  #leave(lane: Lane): void {
    leave(lane, () => this.retire(lane));
  }

  /** Nothing new is put on it; it closes when it is quiet. */
  retire(lane: Lane): void {
    lane.retired = true;
    if (lane.inFlight === 0) lane.close('not needed');
  }

  wakeAll(): void {
    if (this.waiters.size > 0) {
      const sessions = [...this.waiters];
      this.waiters.clear();
      for (const session of sessions) this.world.wake(session);
    }
    this.world.retries.run();
  }

  /** Commands in flight to the primary, without those that may wait in the engine for minutes. */
  get inFlight(): number {
    let total = 0;
    for (const lane of this.lanes) {
      if (lane.copy !== 'primary' || lane.kind === 'own' || lane.waits > 0) continue;
      total += lane.inFlight;
    }
    return total;
  }

  #warmAll(): void {
    for (const group of this.groups.values()) {
      if (group.small !== null && group.login.tracking === null) this.#warm(group);
    }
  }

  /** Clients are about to be held. Resolves when there are lanes to the replicas. */
  async prepare(): Promise<void> {
    this.#warmAll();
    await Promise.all([...this.groups.values()].flatMap(({ warm }) => warm.map(connected)));
  }

  /** By a word of the control process, which is about to say more. */
  get held(): boolean {
    return this.#hold.active;
  }

  /** Resolves when nothing is in flight; rejects at the deadline, having released itself. */
  hold(deadlineAt: number): Promise<void> {
    this.#warmAll();
    return this.#hold.begin(deadlineAt);
  }

  /** Also what the snapshot calls held: the one that says so is followed by this. */
  release(): void {
    const held = this.view.state === 'held';
    if (held) this.view = { ...this.view, state: 'serving' };
    if ((this.#hold.end() || held) && this.obstacle === '') this.wakeAll();
  }

  /**
   * Says once that the engine owes an answer for long. It may only be slow; or dead without our
   * connections being closed, because a child that writes a snapshot holds them open.
   */
  listenForSilence(): void {
    const { now } = this.world;
    if (now - this.#saidSilentAt < SILENCE_AGAIN_MS) return;
    const silent = silentLane(this.lanes, now);
    if (silent === null) return;
    this.#saidSilentAt = now;
    this.#emit('shard-mute', silent.node, 'an answer is overdue');
  }

  #emit(kind: 'shard-lost' | 'shard-mute', node: string, detail: string): void {
    const { host } = this.world;
    host.emit({ type: 'event', at: host.now(), kind, shard: this.id, node, detail });
  }

  sweep(): void {
    closeIdle(this.lanes, (own) => this.group(own.login).own.includes(own));
  }

  /** The lanes of a tracking session that is over. */
  dropTracking(tracking: TrackingState): void {
    for (const [key, group] of this.groups) {
      if (group.login.tracking === tracking) this.groups.delete(key);
    }
    for (const lane of [...this.lanes]) {
      if (lane.login.tracking === tracking) lane.close('not needed');
    }
  }

  close(): void {
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.replicas.close();
    this.release();
    for (const lane of [...this.lanes]) {
      lane.retired = true;
      lane.close('endpoint closed');
    }
  }
}
