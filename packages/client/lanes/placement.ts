/**
 * Which lane a call takes, or what it waits for.
 *
 * Data goes to a small or a bulk lane, and follows to the lane that its keys are busy on (order.ts). What
 * cannot go at once waits in one of four places, each bounded: for its key to be quiet, for a barrier to
 * be over, for a blocking lane to be free, for a connection. A lane that has to be opened for a call is
 * made by the application's factory, which may throw: then the call fails with that as its cause.
 */
import {
  closedError,
  FactoryError,
  type KitError,
  notInBatch,
  refusedHere,
  tooManyWait,
} from '../errors.ts';
import { WAITING_CALLS_MAX } from '../limits.ts';
import { Barrier } from './barrier.ts';
import { BlockingQueue } from './blocking.ts';
import { Call } from './call.ts';
import { asksForConfirmation, confirmOnAll } from './confirm.ts';
import { Everywhere } from './everywhere.ts';
import type { Lane } from './lane.ts';
import type { OfflineQueue } from './offline.ts';
import type { Placeable } from './placeable.ts';
import type { Pool } from './pool.ts';
import { isData, type Roster } from './roster.ts';
import { Watching, watchLost } from './watching.ts';

export class Placement {
  readonly #pool: Pool;
  readonly #roster: Roster;
  readonly #offline: OfflineQueue;
  readonly #everywhere = new Everywhere();
  readonly #barrier: Barrier;
  readonly #blocking: BlockingQueue;
  /** Wait in the order table for their key. */
  readonly #parked = new Set<Placeable>();
  /** Where WATCH was sent, for the transaction that follows it. */
  readonly #watching = new Watching();
  #session: Lane | undefined;

  constructor(pool: Pool) {
    const { roster } = pool;
    this.#pool = pool;
    this.#roster = roster;
    this.#offline = pool.offline;
    this.#blocking = new BlockingQueue(
      roster,
      pool.settings.blockingMax,
      (item, lane) => this.#send(item, lane),
      (item) => this.#wait(this.#blocking.items, item),
    );
    this.#barrier = new Barrier(
      () => this.#quiet,
      () => roster.readyLane('small') ?? roster.readyLane(),
      (item, lane) => this.#send(item, lane),
      (item) => this.place(item),
    );
  }

  /** Nothing is on its way, and nothing that was asked for before a barrier waits to be. */
  get #quiet(): boolean {
    if (this.#parked.size > 0 || this.#offline.holdsData) return false;
    for (const lane of this.#roster.lanes) if (isData(lane) && lane.pending.size > 0) return false;
    return true;
  }

  get waiting(): readonly Placeable[] {
    return [...this.#barrier.waiting, ...this.#blocking.items, ...this.#parked];
  }

  /** Nothing is held up, and there is no state that what comes would have to go to. */
  get calm(): boolean {
    return this.#session === undefined && !this.#barrier.on;
  }

  /** While there is one, everything goes to this lane: MULTI without a pipeline. */
  get session(): Lane | undefined {
    return this.#session;
  }

  /** Lanes that open later get this command too: a login that changed, a name. */
  remember(args: readonly string[]): void {
    this.#everywhere.remember(args);
  }

  place(item: Placeable): void {
    if (this.#parked.size > 0) this.#parked.delete(item);
    if (item.settled) return;
    if (this.#pool.closed) {
      return item.fail(closedError(item.label));
    }
    if (this.#barrier.holds(item)) {
      const { held } = this.#barrier;
      if (held.length < WAITING_CALLS_MAX) return this.#barrier.hold(item);
      return item.fail(tooManyWait(item.label, held.length));
    }
    try {
      this.#decide(item);
    } catch (error) {
      if (!(error instanceof FactoryError)) throw error;
      item.fail(error);
    }
  }

  #decide(item: Placeable): void {
    const roster = this.#roster;
    if (!(item instanceof Call)) {
      const wrong = this.#wrongInBatch(item);
      if (wrong !== undefined) return item.fail(wrong);
    }
    if (item.place === 'data' || item.place === 'free') return this.#placeData(item);
    if (this.#pool.settings.single && (item.place === 'blocking' || item.place === 'subscribe')) {
      return this.#placeData(item);
    }
    switch (item.place) {
      case 'barrier':
        return this.#placeBarrier(item);
      case 'blocking':
        if (this.#session !== undefined) return this.#toLane(item, this.#session);
        return this.#placeBlocking(item);
      case 'subscribe':
        return this.#toLane(item, roster.only('subscriber'));
      case 'session':
        return this.#toLane(item, this.#session ?? roster.smallLane());
      case 'everywhere':
        return this.#toLane(
          item,
          this.#everywhere.spread(item, roster.lanes, this.#session ?? roster.smallLane()),
        );
      case 'refused':
        return item.fail(refusedHere(item.label));
    }
  }

  #wrongInBatch(batch: Placeable): KitError | undefined {
    if (this.#pool.settings.single) return undefined;
    for (const { place, label } of batch.calls) {
      if (place === 'refused') return refusedHere(label);
      if (place === 'subscribe' || place === 'everywhere') return notInBatch(label, batch.label);
    }
    return undefined;
  }

  #placeData(item: Placeable): void {
    if (this.#session !== undefined) return this.#toLane(item, this.#session);
    const watched = item.transaction === true ? this.#watching.take() : undefined;
    if (watched === 'lost') return item.fail(watchLost(item.label));
    if (watched !== undefined) return this.#toLane(item, watched);
    const { chain } = item;
    if (chain?.lane !== undefined && chain.pending > 0) return this.#follow(item, chain.lane);
    const large = item instanceof Call ? item.large : item.calls.some((call) => call.large);
    if (!this.#roster.order.on) {
      return this.#toLane(item, large ? this.#roster.bulkLane() : this.#roster.smallLane());
    }
    const keys = item.keys();
    const where = this.#roster.order.where(keys, item.read);
    if (where === 'free')
      return this.#toLane(item, large ? this.#roster.bulkLane() : this.#roster.smallLane());
    if (where !== 'wait' && where.state === 'ready' && (!large || where.kind === 'bulk')) {
      return this.#toLane(item, where);
    }
    const only = keys[0];
    // Who is one of a chain holds the next of it up, too: that is what a barrier does.
    const parks = keys.length === 1 && item.chain === undefined;
    if (parks && only !== undefined && this.#park(item, only)) return;
    this.#placeBarrier(item);
  }

  /** Behind the others of its chain; where its keys are busy on another lane, after both. */
  #follow(item: Placeable, lane: Lane): void {
    const { order } = this.#roster;
    const where = order.on ? order.where(item.keys(), item.read) : 'free';
    if (where !== 'free' && where !== lane) return this.#placeBarrier(item);
    if (lane.state === 'opening') return this.#waitOn(item, lane);
    this.#toLane(item, lane);
  }

  /** It counts as being on that lane already, so that nobody on its keys overtakes. */
  #waitOn(item: Placeable, lane: Lane): void {
    this.#pool.register(item, lane);
    lane.unsent.push(item);
  }

  /** Waits until the key is quiet; false when it is. */
  #park(item: Placeable, key: string): boolean {
    if (this.#parked.size >= WAITING_CALLS_MAX) {
      item.fail(tooManyWait(item.label, this.#parked.size));
      return true;
    }
    if (!this.#roster.order.wait(item, key)) return false;
    this.#parked.add(item);
    return true;
  }

  #placeBarrier(item: Placeable): void {
    if (this.#session !== undefined) return this.#toLane(item, this.#session);
    // Without a connection all wait for one, in order.
    if (!this.#roster.order.on || this.#roster.readyLane() === undefined)
      return this.#toLane(item, this.#roster.smallLane());
    this.#barrier.begin(item);
    this.#barrier.step();
  }

  #placeBlocking(item: Placeable): void {
    // Commands before it may be on its keys: from now on the table knows.
    if (this.#roster.busy) this.#roster.track();
    const busy = item
      .keys()
      .find((key) => this.#roster.order.on && this.#roster.order.where([key], false) !== 'free');
    if (busy !== undefined && this.#park(item, busy)) return;
    this.#blocking.place(item);
  }

  #wait(queue: Placeable[], item: Placeable): void {
    if (queue.length >= WAITING_CALLS_MAX) {
      item.fail(tooManyWait(item.label, queue.length));
      return;
    }
    queue.push(item);
  }

  #toLane(item: Placeable, lane: Lane): void {
    if (lane.state === 'ready') return this.#send(item, lane);
    if (!isData(lane) || this.#session !== undefined) return this.#waitForOne(item);
    let other = this.#roster.readyLane(lane.kind);
    if (other === undefined) {
      other = this.#roster.readyLane();
      // Better wait for the lane that opens than stand behind a large reply, or be one in front of
      // small ones.
      const worse = lane.kind === 'bulk' || other?.congested === true;
      if (lane.state === 'opening' && worse && other !== undefined) return this.#waitOn(item, lane);
    }
    if (other === undefined) this.#waitForOne(item);
    else this.#send(item, other);
  }

  /** For a connection: those that take their time to come back have it no longer. */
  #waitForOne(item: Placeable): void {
    this.#offline.add(item);
    for (const lane of this.#roster.lanes) lane.hurry();
  }

  #send(item: Placeable, lane: Lane): void {
    this.#pool.register(item, lane);
    if (item.place === 'session') this.#remainOn(item, lane);
    if (item instanceof Call && asksForConfirmation(item.name))
      confirmOnAll(item, lane, this.#roster.lanes);
    item.send(lane);
  }

  /** MULTI without a pipeline, WATCH: state of one connection, so what follows stays on it. */
  #remainOn(item: Placeable, lane: Lane): void {
    const [call] = item.calls;
    if (call === undefined || item.transaction === true) return;
    call.inTransaction = true;
    if (call.name === 'watch') this.#watching.set(lane);
    else if (call.name === 'multi') this.#session = lane;
    else {
      this.#watching.set(undefined);
      if (call.name !== 'unwatch') this.#session = undefined;
    }
  }

  // What happens on the lanes.

  ready(lane: Lane): void {
    this.#everywhere.replay(lane);
    if (lane.kind === 'blocking') this.#blocking.next(lane);
  }

  /** Its connection is gone, for now or for good. */
  gone(lane: Lane): void {
    if (this.#session === lane) this.#session = undefined;
    this.#barrier.step();
  }

  released(call: Call, lane: Lane): void {
    this.#barrier.released(call);
    if (lane.kind === 'blocking' && lane.pending.size === 0) this.#blocking.next(lane);
  }

  /** A blocking lane went: those that wait need another. */
  moreBlocking(): void {
    this.#blocking.more();
  }

  /** Something that waited was given up, or a lane is ready: the barrier may go on. */
  step(): void {
    this.#barrier.step();
  }
}
