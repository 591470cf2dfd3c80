/**
 * The lanes there are, which of them is best for a call, and when there should be one more. Small
 * lanes stay few: another is opened when all are full or have a large reply on their way.
 */
import { performance } from 'node:perf_hooks';
import { FactoryError, KitError, messageOf } from '../errors.ts';
import { LANE_FULL_BYTES, RECONNECT_CAP_MS } from '../limits.ts';
import { type LaneEvent, laneChannel } from '../telemetry/channels.ts';
import { Lane, type LaneKind } from './lane.ts';
import type { LanesSettings } from './options.ts';
import { KeyOrder } from './order.ts';

/** A client library's part. */
export interface Driver {
  /** Makes the client of a new lane and attaches to it; reports by the pool's methods. */
  open(lane: Lane): void;
}

export class Roster {
  readonly lanes = new Set<Lane>();
  readonly order = new KeyOrder();
  small: Lane[] = [];
  bulk: Lane[] = [];
  readonly #driver: Driver;
  readonly #settings: LanesSettings;
  readonly #opened: () => void;
  /** When the factory may be asked again for a lane that would only be better to have. */
  #spareAt = 0;
  #nextId = 0;
  #turn = 0;
  #closed = false;

  constructor(driver: Driver, settings: LanesSettings, opened: () => void) {
    this.#driver = driver;
    this.#settings = settings;
    this.#opened = opened;
  }

  /** Commands are in flight on a small lane. */
  get busy(): boolean {
    return this.small.some((lane) => lane.pending.size > 0);
  }

  smallLane(): Lane {
    const lanes = this.small;
    const only = lanes[0];
    if (
      lanes.length === 1 &&
      only !== undefined &&
      only.load < LANE_FULL_BYTES &&
      !only.congested
    ) {
      return only;
    }
    let best: Lane | undefined;
    let full = true;
    for (let i = 0; i < lanes.length; i += 1) {
      const lane = lanes[(i + this.#turn) % lanes.length] as Lane;
      if (lane.state !== 'ready' && best !== undefined) continue;
      const congested = lane.congested;
      if (!congested && lane.load < LANE_FULL_BYTES) {
        full = false;
        if (this.#settings.choose === 'round-robin') {
          this.#turn = (i + this.#turn + 1) % lanes.length;
          return lane;
        }
      }
      if (best === undefined || best.state !== 'ready' || weigh(lane) < weigh(best)) best = lane;
    }
    if (best === undefined) return this.open('small', 'none is left');
    if (full && lanes.length < this.#settings.smallMax) this.#spare('small', 'the others are full');
    return best;
  }

  bulkLane(): Lane {
    let best: Lane | undefined;
    for (const lane of this.bulk) {
      if (lane.state === 'ready' && lane.pending.size === 0) return lane;
      if (best === undefined || weigh(lane) < weigh(best)) best = lane;
    }
    if (this.bulk.length < this.#settings.bulkMax) {
      const opened = this.#spare('bulk', 'large values are on their way');
      if (opened !== undefined) return opened;
    }
    return best ?? this.smallLane();
  }

  only(kind: LaneKind): Lane {
    if (this.#settings.single) return this.smallLane();
    for (const lane of this.lanes) if (lane.kind === kind) return lane;
    return this.open(kind, 'a subscription needs a connection of its own');
  }

  readyLane(kind?: LaneKind): Lane | undefined {
    let best: Lane | undefined;
    for (const lane of this.lanes) {
      if (lane.state !== 'ready' || !isData(lane) || (kind !== undefined && lane.kind !== kind))
        continue;
      if (best === undefined || weigh(lane) < weigh(best)) best = lane;
    }
    return best;
  }

  /** A lane that would be better to have; without it things go on. */
  #spare(kind: LaneKind, reason: string): Lane | undefined {
    const now = performance.now();
    if (this.#closed || now < this.#spareAt) return undefined;
    try {
      return this.open(kind, reason);
    } catch (error) {
      if (!(error instanceof FactoryError)) throw error;
      this.#spareAt = now + RECONNECT_CAP_MS;
      return undefined;
    }
  }

  /** Throws a FactoryError where the application's factory makes no client. */
  open(kind: LaneKind, reason: string): Lane {
    if (this.#closed) throw new KitError('ERR_CLIENT_CLOSED', 'the client was closed');
    const lane = new Lane(this.#nextId, kind, performance.now());
    this.#nextId += 1;
    this.lanes.add(lane);
    if (kind === 'small') this.small.push(lane);
    if (kind === 'bulk') this.bulk.push(lane);
    if (this.small.length + this.bulk.length > 1) this.track();
    this.announce(lane, 'opened', reason);
    try {
      this.#driver.open(lane);
    } catch (error) {
      // A lane without a client would be waited for for ever.
      lane.state = 'ended';
      this.remove(lane);
      this.announce(lane, 'ended', messageOf(error));
      throw error;
    }
    this.#opened();
    return lane;
  }

  /** Turns the order table on, with what is in flight already. */
  track(): void {
    if (this.order.on) return;
    this.order.on = true;
    for (const lane of this.lanes) {
      if (isData(lane)) for (const call of lane.pending) this.order.enter(call, lane);
    }
  }

  announce(lane: Lane, what: LaneEvent['what'], reason: string): void {
    if (laneChannel.hasSubscribers) laneChannel.publish({ lane: lane.label, what, reason });
  }

  /** A small lane becomes a bulk lane if there is room for one; another takes its place. */
  becomeBulk(lane: Lane, reason: string): void {
    if (this.bulk.length >= this.#settings.bulkMax || this.#closed) return;
    const last = this.small.length <= this.#settings.smallMin;
    if (last && this.#spare('small', 'one becomes a bulk lane') === undefined) return;
    this.small = this.small.filter((one) => one !== lane);
    lane.kind = 'bulk';
    this.bulk.push(lane);
    this.announce(lane, 'became-bulk', reason);
  }

  #becomeSmall(lane: Lane): void {
    this.bulk = this.bulk.filter((one) => one !== lane);
    lane.kind = 'small';
    this.small.push(lane);
    this.announce(lane, 'became-small', 'idle');
  }

  /** Closes lanes above the minimum that nobody used for a while; the order table may go off again. */
  shrink(now: number, keep: Lane | undefined): void {
    for (const lane of [...this.lanes]) {
      if (lane.pending.size > 0 || now - lane.usedAt < this.#settings.idleMs) continue;
      if (lane.kind === 'subscriber' || lane === keep) continue;
      // The first one may be the application's own object (node-redis): closed, it would refuse everything.
      if (lane.id === 0) {
        if (lane.kind === 'bulk') this.#becomeSmall(lane);
        continue;
      }
      if (lane.kind === 'small' && this.small.length <= this.#settings.smallMin) continue;
      lane.state = 'ended';
      this.remove(lane);
      this.announce(lane, 'closed', 'idle');
      // A connection that is broken already has nothing to say at its end.
      lane.client?.close().catch(() => lane.client?.destroy('idle'));
    }
    if (this.order.on && this.order.size === 0 && this.small.length + this.bulk.length <= 1) {
      this.order.on = false;
    }
  }

  remove(lane: Lane): void {
    this.lanes.delete(lane);
    this.small = this.small.filter((one) => one !== lane);
    this.bulk = this.bulk.filter((one) => one !== lane);
  }

  /** No lane opens any more. */
  close(): void {
    this.#closed = true;
  }
}

export function isData(lane: Lane): boolean {
  return lane.kind === 'small' || lane.kind === 'bulk';
}

/** A lane with a large reply on its way weighs as much as what is still to come. */
function weigh(lane: Lane): number {
  return lane.congested ? lane.load + LANE_FULL_BYTES * 16 : lane.load;
}
