/**
 * Which connection each call takes.
 *
 * The simple answers fail: one connection puts a 10-byte reply behind a 10 MB one; a pool that hands
 * a connection to each caller loses pipelining, which is most of the speed; round robin over several
 * shared connections loses the order of commands on a key, and puts every n-th small command behind
 * the large one again. So calls are told apart by what they will bring. Small ones share as few
 * connections as keep short queues (one, mostly: one socket is one system call a tick). Large ones,
 * known by declaration, by their request's size or from earlier replies, go to bulk lanes. A reply
 * that turns out large on a small lane makes that lane a bulk lane from then on, another takes its
 * place, and reads that already stood behind it are asked again there. Blocking commands get a
 * connection each, subscriptions one of their own. Order per key is kept (order.ts).
 *
 * The pool knows no client library: a driver opens lanes and tells what happens on them.
 */
import { performance } from 'node:perf_hooks';
import { CircuitOpenError, KitError, refusedHere, tooManyWait } from '../errors.ts';
import { WAITING_CALLS_MAX } from '../limits.ts';
import { CircuitBreaker } from '../retries/breaker.ts';
import { RetryPolicy } from '../retries/policy.ts';
import type { Recorder } from '../telemetry/recorder.ts';
import type { Sent, Wire } from '../wire/wire.ts';
import { Barrier } from './barrier.ts';
import { BlockingQueue } from './blocking.ts';
import { Call } from './call.ts';
import { Everywhere } from './everywhere.ts';
import { callGivenUp, callLost, callRefused, heed, laneEnded } from './fate.ts';
import { Janitor } from './janitor.ts';
import { endLane, type Lane } from './lane.ts';
import { LargeSketch } from './learn.ts';
import { measure } from './measure.ts';
import { OfflineQueue } from './offline.ts';
import type { LanesSettings } from './options.ts';
import type { KeyOrder } from './order.ts';
import type { Placeable } from './placeable.ts';
import { rescueBehind } from './rescue.ts';
import { type Driver, isData, Roster } from './roster.ts';
import { Watching, watchLost } from './watching.ts';

export class Pool {
  readonly settings: LanesSettings;
  readonly sketch: LargeSketch;
  readonly policy: RetryPolicy;
  readonly breaker: CircuitBreaker | undefined;
  readonly offline: OfflineQueue;
  readonly recorder: Recorder | undefined;
  endpoint = '';
  readonly roster: Roster;
  readonly #janitor: Janitor;
  readonly #everywhere = new Everywhere();
  readonly #barrier: Barrier;
  readonly #blocking: BlockingQueue;
  /** Wait in the order table for their key. */
  readonly #parked = new Set<Placeable>();
  #session: Lane | undefined;
  /** Where WATCH was sent, for the transaction that follows it. */
  readonly watching = new Watching();
  #closing = false;

  constructor(driver: Driver, settings: LanesSettings, recorder: Recorder | undefined) {
    this.settings = settings;
    this.roster = new Roster(driver, settings, () => this.#janitor.wake());
    this.recorder = recorder;
    this.sketch = new LargeSketch(settings.large);
    this.policy = new RetryPolicy(settings.retries);
    this.offline = new OfflineQueue(settings.offline);
    const breaker = settings.retries === false ? false : settings.retries?.breaker;
    this.breaker = breaker === false ? undefined : new CircuitBreaker(breaker);
    this.#janitor = new Janitor(this);
    this.#blocking = new BlockingQueue(
      this.roster,
      settings.blockingMax,
      (item, lane) => this.#toLane(item, lane),
      (item) => this.#wait(this.#blocking.items, item),
    );
    this.#barrier = new Barrier(
      () => ![...this.lanes].some((lane) => isData(lane) && lane.pending.size > 0),
      (item) => this.#toLane(item, this.roster.smallLane()),
      (item) => this.place(item),
    );
  }

  get closed(): boolean {
    return this.#closing;
  }

  get lanes(): ReadonlySet<Lane> {
    return this.roster.lanes;
  }

  get order(): KeyOrder {
    return this.roster.order;
  }

  get waiting(): readonly Placeable[] {
    return [...this.#barrier.waiting, ...this.#blocking.items, ...this.#parked];
  }

  /** Lanes that open later get this command too: a login that changed, a name. */
  remember(args: readonly string[]): void {
    this.#everywhere.remember(args);
  }

  /** The lane of subscriptions. */
  subscriber(): Lane {
    return this.roster.only('subscriber');
  }

  /** Opens the lanes there are from the start. */
  start(): void {
    for (let i = 0; i < this.settings.smallMin; i += 1) this.roster.open('small', 'start');
  }

  /** Entry of a new call: deadline, circuit breaker, signal; then a lane. */
  submit(call: Call): void {
    measure(call, this.settings, this.sketch);
    if (this.breaker !== undefined && this.breaker.state !== 'closed') {
      const ms = this.breaker.refusedFor(call.queuedAt);
      if (ms > 0) return call.fail(new CircuitOpenError(this.endpoint, ms));
    }
    heed(this, call);
    this.#janitor.wake();
    this.place(call);
  }

  /** Entry of a batch: each call has its own deadline, and they share a lane. */
  submitBatch(batch: Placeable): void {
    for (const call of batch.calls) measure(call, this.settings, this.sketch);
    this.#janitor.wake();
    this.place(batch);
  }

  /** A call that is on its lane already. */
  adopt(call: Call, lane: Lane): void {
    measure(call, this.settings, this.sketch);
    this.#enter(call, lane);
  }

  place(item: Placeable): void {
    if (this.#parked.size > 0) this.#parked.delete(item);
    if (item.settled) return;
    if (this.#closing)
      return item.fail(new KitError('ERR_CLIENT_CLOSED', `${item.label}: the client was closed`));
    if (this.#barrier.on) return this.#wait(this.#barrier.held, item);
    if (item.place === 'data' || item.place === 'free') return this.#placeData(item);
    if (this.settings.single && (item.place === 'blocking' || item.place === 'subscribe')) {
      return this.#placeData(item);
    }
    switch (item.place) {
      case 'barrier':
        return this.#placeBarrier(item);
      case 'blocking':
        if (this.#session !== undefined) return this.#toLane(item, this.#session);
        return this.#placeBlocking(item);
      case 'subscribe':
        return this.#toLane(item, this.roster.only('subscriber'));
      case 'session':
        return this.#toLane(item, this.#session ?? this.roster.smallLane());
      case 'everywhere':
        return this.#toLane(
          item,
          this.#everywhere.spread(item, this.lanes, this.#session ?? this.roster.smallLane()),
        );
      case 'refused':
        return item.fail(refusedHere(item.label));
    }
  }

  /** While set, everything goes to this lane: MULTI without a pipeline. */
  pin(lane: Lane | undefined): void {
    this.#session = lane;
  }

  #placeData(item: Placeable): void {
    if (this.#session !== undefined) return this.#toLane(item, this.#session);
    const watched = item.transaction === true ? this.watching.take() : undefined;
    if (watched === 'lost') return item.fail(watchLost(item.label));
    if (watched !== undefined) return this.#toLane(item, watched);
    const chain = item.chain;
    if (chain?.lane !== undefined && chain.pending > 0) return this.#toLane(item, chain.lane);
    const large = item instanceof Call ? item.large : item.calls.some((call) => call.large);
    if (!this.order.on) {
      return this.#toLane(item, large ? this.roster.bulkLane() : this.roster.smallLane());
    }
    const keys = item.keys();
    const where = this.order.where(keys, item.read);
    if (where === 'free')
      return this.#toLane(item, large ? this.roster.bulkLane() : this.roster.smallLane());
    if (where !== 'wait' && where.state === 'ready' && (!large || where.kind === 'bulk')) {
      return this.#toLane(item, where);
    }
    const only = keys[0];
    if (keys.length === 1 && only !== undefined && this.#park(item, only)) return;
    this.#placeBarrier(item);
  }

  /** Waits until the key is quiet; false when it is. */
  #park(item: Placeable, key: string): boolean {
    if (!this.order.wait(item, key)) return false;
    this.#parked.add(item);
    return true;
  }

  #placeBarrier(item: Placeable): void {
    if (this.#session !== undefined) return this.#toLane(item, this.#session);
    if (!this.order.on) return this.#toLane(item, this.roster.smallLane());
    this.#barrier.begin(item);
    this.#barrier.step();
  }

  #placeBlocking(item: Placeable): void {
    // Commands before it may be on its keys: from now on the table knows.
    if (this.roster.busy) this.roster.track();
    const busy = item
      .keys()
      .find((key) => this.order.on && this.order.where([key], false) !== 'free');
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
    if (!isData(lane) || this.#session !== undefined) return this.offline.add(item);
    let other = this.roster.readyLane(lane.kind);
    if (other === undefined) {
      other = this.roster.readyLane();
      // Better wait for the lane that opens than stand behind a large reply, or be one in front of
      // small ones. It counts as being on that lane already, so that nobody on its keys overtakes.
      const worse = lane.kind === 'bulk' || other?.congested === true;
      if (lane.state === 'opening' && worse && other !== undefined) {
        this.#register(item, lane);
        lane.unsent.push(item);
        return;
      }
    }
    if (other === undefined) this.offline.add(item);
    else this.#send(item, other);
  }

  #send(item: Placeable, lane: Lane): void {
    this.#register(item, lane);
    item.send(lane);
  }

  #register(item: Placeable, lane: Lane): void {
    const { chain } = item;
    if (chain !== undefined) {
      chain.lane = lane;
      chain.pending += item.calls.length;
    }
    if (item instanceof Call) this.#enter(item, lane);
    else for (const call of item.calls) this.#enter(call, lane);
  }

  #enter(call: Call, lane: Lane): void {
    call.lane = lane;
    call.attempts += 1;
    lane.pending.add(call);
    lane.load += call.weight;
    if (this.order.on && isData(lane)) this.order.enter(call, lane);
  }

  // What the driver reports.

  ready(lane: Lane): void {
    if (lane.state === 'ended') return;
    lane.state = 'ready';
    lane.readyAt = performance.now();
    lane.losses = 0;
    this.roster.announce(lane, 'ready', 'connected');
    this.#everywhere.replay(lane);
    if (lane.kind === 'blocking') return this.#blocking.next(lane);
    for (const item of lane.unsent.splice(0)) {
      if (item.settled) for (const call of item.calls) this.release(call, lane);
      else item.send(lane);
    }
    for (const item of this.offline.take()) this.place(item);
    this.#barrier.step();
  }

  answered(call: Call, now: number): void {
    const lane = call.lane;
    if (lane === undefined) return;
    this.breaker?.succeeded(now);
    this.policy.budget.earn();
    const large = call.bytesIn >= this.settings.largeBytes;
    if (large || !this.sketch.empty) this.sketch.saw(call.name, call.key, call.bytesIn, large);
    this.recorder?.answered(call, lane, now);
    lane.usedAt = now;
    this.release(call, lane);
  }

  /** The call is no longer on the lane, whatever became of it. */
  release(call: Call, lane: Lane): void {
    if (call.lane !== lane || !lane.pending.delete(call)) return;
    lane.load -= call.weight;
    if (call.chain !== undefined) call.chain.pending -= 1;
    if (call.onAbort !== undefined)
      call.calling?.signal?.removeEventListener('abort', call.onAbort);
    const free = call.tracked ? this.order.leave(call) : undefined;
    if (free !== undefined) for (const item of free) this.place(item);
    this.#barrier.released(call);
    if (lane.kind === 'blocking' && lane.pending.size === 0) this.#blocking.next(lane);
  }

  /** The reply of `sent` on `lane` has just turned out to be large. */
  becameLarge(sent: Sent, wire: Wire<Sent>, lane: Lane): void {
    this.sketch.saw(sent.name, sent.key, sent.announced, true);
    if (lane.kind !== 'small' || this.settings.bulkMax === 0) return;
    this.roster.track();
    if (this.#session !== lane) this.roster.becomeBulk(lane, `${sent.name} brought a large reply`);
    const other = this.roster.small.find((one) => one !== lane && !one.congested);
    if (other !== undefined) rescueBehind(wire, other);
  }

  /** The connection of a call is gone. `written`: it may have run. */
  lost(call: Call, lane: Lane, written: boolean, cause: unknown): void {
    callLost(this, call, lane, written, cause);
  }

  /** An error reply. True: the pool takes care of it. */
  refused(call: Call, lane: Lane, error: unknown): boolean {
    return callRefused(this, call, lane, error);
  }

  down(lane: Lane, reason: string): void {
    if (lane.state === 'ended') return;
    lane.state = 'down';
    lane.losses += 1;
    this.roster.announce(lane, 'lost', reason);
    if (this.#session === lane) this.#session = undefined;
    this.#barrier.step();
    this.#giveBack(lane);
  }

  /** What waited for the lane to open takes what there is. */
  #giveBack(lane: Lane): void {
    for (const item of lane.unsent.splice(0)) {
      for (const call of item.calls) {
        this.release(call, lane);
        heed(this, call);
      }
      this.place(item);
    }
  }

  /** The caller no longer waits. */
  giveUp(call: Call, error: unknown): void {
    if (callGivenUp(this, call, error)) this.#blocking.more();
  }

  /** Its client will not connect again: forget it, and replace it if it is needed. */
  ended(lane: Lane, reason: string): void {
    if (lane.state === 'ended') return;
    lane.state = 'ended';
    this.roster.remove(lane);
    if (this.#session === lane) this.#session = undefined;
    this.roster.announce(lane, 'ended', reason);
    this.#giveBack(lane);
    laneEnded(this, lane, reason);
  }

  /** Closes lanes that nobody used for a while. */
  shrink(now: number): void {
    this.roster.shrink(now, this.#session);
  }

  /** Refuses new calls; those that were never sent fail, those in flight are waited for. */
  async close(): Promise<void> {
    this.#refuseAll('close() was called');
    await Promise.all([...this.lanes].map((lane) => endLane(lane)));
    this.roster.clear();
  }

  destroy(reason: string): void {
    this.#refuseAll(reason);
    for (const lane of this.lanes) lane.client?.destroy(reason);
    this.roster.clear();
  }

  #refuseAll(reason: string): void {
    this.#closing = true;
    this.#janitor.stop();
    const error = new KitError('ERR_CLIENT_CLOSED', `the client was closed: ${reason}`);
    for (const item of [...this.waiting, ...this.offline.take()]) item.fail(error);
  }
}
