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
import { deadlineOf } from '../deadlines/classes.ts';
import { aborted, CircuitOpenError, KitError, UnknownOutcomeError } from '../errors.ts';
import {
  LANE_FULL_BYTES,
  RECONNECT_BASE_MS,
  RECONNECT_CAP_MS,
  SMALL_REPLY_BYTES,
  WAITING_CALLS_MAX,
} from '../limits.ts';
import { fullJitter } from '../retries/backoff.ts';
import { CircuitBreaker } from '../retries/breaker.ts';
import { RetryPolicy, saysNotRun } from '../retries/policy.ts';
import { laneChannel, retryChannel } from '../telemetry/channels.ts';
import { shown } from '../telemetry/explain.ts';
import type { Recorder } from '../telemetry/recorder.ts';
import type { Sent, Wire } from '../wire/wire.ts';
import { Call, type Chain } from './call.ts';
import { Janitor } from './janitor.ts';
import { Lane, type LaneKind } from './lane.ts';
import { LargeSketch } from './learn.ts';
import { OfflineQueue } from './offline.ts';
import type { LanesSettings } from './options.ts';
import { KeyOrder } from './order.ts';
import { rescueBehind } from './rescue.ts';

/** Something that goes to one lane as a whole: a call, or a batch of them. */
export interface Placeable {
  readonly label: string;
  readonly place: Call['place'];
  readonly bytesOut: number;
  readonly read: boolean;
  readonly calls: readonly Call[];
  readonly chain: Chain | undefined;
  readonly deadlineAt: number;
  readonly queuedAt: number;
  readonly settled: boolean;
  keys(): readonly string[];
  send(lane: Lane): void;
  fail(error: unknown): void;
}

/** A client library's part. */
export interface Driver {
  /** Makes the client of a new lane and attaches to it; reports by the pool's methods. */
  open(lane: Lane): void;
}

export class Pool {
  readonly settings: LanesSettings;
  readonly sketch: LargeSketch;
  readonly order = new KeyOrder();
  readonly policy: RetryPolicy;
  readonly breaker: CircuitBreaker | undefined;
  readonly offline: OfflineQueue;
  readonly recorder: Recorder | undefined;
  readonly lanes = new Set<Lane>();
  endpoint = '';
  #small: Lane[] = [];
  #bulk: Lane[] = [];
  readonly #driver: Driver;
  readonly #janitor: Janitor;
  /** Commands that every lane must have seen: SELECT, CLIENT SETNAME, ... */
  readonly #everywhere = new Map<string, readonly (string | Buffer)[]>();
  #barrier: { item: Placeable; sent: boolean; left: number } | undefined;
  #held: Placeable[] = [];
  #forBlocking: Placeable[] = [];
  /** Wait in the order table for their key. */
  readonly #parked = new Set<Placeable>();
  #session: Lane | undefined;
  #nextId = 0;
  #turn = 0;
  #closing = false;

  constructor(driver: Driver, settings: LanesSettings, recorder: Recorder | undefined) {
    this.#driver = driver;
    this.settings = settings;
    this.recorder = recorder;
    this.sketch = new LargeSketch(settings.large);
    this.policy = new RetryPolicy(settings.retries);
    this.offline = new OfflineQueue(settings.offline);
    const breaker = settings.retries === false ? false : settings.retries?.breaker;
    this.breaker = breaker === false ? undefined : new CircuitBreaker(breaker);
    this.#janitor = new Janitor(this);
  }

  get closed(): boolean {
    return this.#closing;
  }

  get small(): readonly Lane[] {
    return this.#small;
  }

  get waiting(): readonly Placeable[] {
    const barrier = this.#barrier;
    const first = barrier !== undefined && !barrier.sent ? [barrier.item] : [];
    return [...first, ...this.#held, ...this.#forBlocking, ...this.#parked];
  }

  /** Lanes that open later get this command too: a login that changed, a name. */
  remember(args: readonly string[]): void {
    const name = String(args[0]).toLowerCase();
    this.#everywhere.set(
      name === 'client' ? `${name} ${String(args[1]).toLowerCase()}` : name,
      args,
    );
  }

  /** The lane of subscriptions. */
  subscriber(): Lane {
    return this.#only('subscriber');
  }

  /** Opens the lanes there are from the start. */
  start(): void {
    for (let i = 0; i < this.settings.smallMin; i += 1) this.open('small', 'start');
  }

  /** Entry of a new call: deadline, circuit breaker, signal; then a lane. */
  submit(call: Call): void {
    this.#measure(call);
    if (this.breaker !== undefined && this.breaker.state !== 'closed') {
      const ms = this.breaker.refusedFor(call.queuedAt);
      if (ms > 0) return call.fail(new CircuitOpenError(this.endpoint, ms));
    }
    const signal = call.calling?.signal;
    if (signal !== undefined) {
      if (signal.aborted) return call.fail(aborted(call.name, signal.reason));
      call.onAbort = () => this.giveUp(call, aborted(call.label, signal.reason));
      signal.addEventListener('abort', call.onAbort, { once: true });
    }
    this.#janitor.wake();
    this.place(call);
  }

  /** Entry of a batch: each call has its own deadline, and they share a lane. */
  submitBatch(batch: Placeable): void {
    for (const call of batch.calls) this.#measure(call);
    this.#janitor.wake();
    this.place(batch);
  }

  /** A call that is on its lane already. */
  adopt(call: Call, lane: Lane): void {
    this.#measure(call);
    this.#enter(call, lane);
  }

  place(item: Placeable): void {
    if (this.#parked.size > 0) this.#parked.delete(item);
    if (item.settled) return;
    if (this.#closing)
      return item.fail(new KitError('ERR_CLIENT_CLOSED', `${item.label}: the client was closed`));
    if (this.#barrier !== undefined) return this.#wait(this.#held, item);
    if (item.place === 'data' || item.place === 'free') return this.#placeData(item);
    if (this.settings.single && (item.place === 'blocking' || item.place === 'subscribe')) {
      return this.#placeData(item);
    }
    switch (item.place) {
      case 'barrier':
        return this.#placeBarrier(item);
      case 'blocking':
        return this.#placeBlocking(item);
      case 'subscribe':
        return this.#toLane(item, this.#only('subscriber'));
      case 'session':
        return this.#toLane(item, this.#session ?? this.#smallLane());
      case 'everywhere':
        return this.#placeEverywhere(item);
      case 'refused':
        return item.fail(
          new KitError(
            'ERR_CLIENT_UNSUPPORTED',
            `${item.label} changes what one connection is, and calls here share several: use a client of its own`,
          ),
        );
    }
  }

  /** While set, everything goes to this lane: MULTI without a pipeline. */
  pin(lane: Lane | undefined): void {
    this.#session = lane;
  }

  #measure(call: Call): void {
    const { deadlines } = this.settings;
    const known = this.sketch.empty ? 0 : this.sketch.expected(call.name, call.key);
    call.large =
      known > 0 || call.bytesOut >= this.settings.largeBytes || call.calling?.large === true;
    call.weight = call.bytesOut + Math.max(known, SMALL_REPLY_BYTES);
    if (deadlines !== undefined) call.deadlineAt = call.queuedAt + deadlineOf(call, deadlines);
  }

  #placeData(item: Placeable): void {
    if (this.#session !== undefined) return this.#toLane(item, this.#session);
    const chain = item.chain;
    if (chain?.lane !== undefined && chain.pending > 0) return this.#toLane(item, chain.lane);
    const large = item instanceof Call ? item.large : item.calls.some(isLarge);
    if (!this.order.on) {
      return this.#toLane(item, large ? this.#bulkLane() : this.#smallLane());
    }
    const keys = item.keys();
    const where = this.order.where(keys, item.read);
    if (where === 'free') return this.#toLane(item, large ? this.#bulkLane() : this.#smallLane());
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
    if (!this.order.on) return this.#toLane(item, this.#smallLane());
    this.#barrier = { item, sent: false, left: item.calls.length };
    this.#tryBarrier();
  }

  #tryBarrier(): void {
    const barrier = this.#barrier;
    if (barrier === undefined || barrier.sent) return;
    for (const lane of this.lanes) if (isData(lane) && lane.pending.size > 0) return;
    barrier.sent = true;
    if (barrier.item.settled) return this.#endBarrier();
    this.#toLane(barrier.item, this.#smallLane());
  }

  #endBarrier(): void {
    this.#barrier = undefined;
    const held = this.#held;
    this.#held = [];
    for (const item of held) this.place(item);
  }

  #placeBlocking(item: Placeable): void {
    if (this.#session !== undefined) return this.#toLane(item, this.#session);
    const key = item
      .keys()
      .find((one) => this.order.on && this.order.where([one], false) !== 'free');
    if (key !== undefined && this.#park(item, key)) return;
    if (!this.order.on && this.#small[0] !== undefined && this.#small[0].pending.size > 0) {
      // Commands before it may be on its key: from now on the table knows.
      this.track();
      return this.#placeBlocking(item);
    }
    let count = 0;
    for (const lane of this.lanes) {
      if (lane.kind !== 'blocking') continue;
      count += 1;
      if (lane.pending.size === 0 && lane.state === 'ready') return this.#toLane(item, lane);
    }
    if (count >= this.settings.blockingMax) return this.#wait(this.#forBlocking, item);
    this.#wait(this.#forBlocking, item);
    this.open('blocking', 'a blocking command needs a connection of its own');
  }

  #placeEverywhere(item: Placeable): void {
    const call = item.calls[0];
    if (call === undefined) return;
    const args = [call.name, ...call.args.slice(call.from).map(asArgument)];
    const sub = call.name === 'client' ? ` ${String(args[1]).toLowerCase()}` : '';
    this.#everywhere.set(call.name + sub, args);
    const first = this.#session ?? this.#smallLane();
    for (const lane of this.lanes) {
      // A lane that refuses it says so by the errors of the commands that follow.
      if (lane !== first && lane.state === 'ready') lane.client?.command(args).catch(() => {});
    }
    this.#toLane(item, first);
  }

  #wait(queue: Placeable[], item: Placeable): void {
    if (queue.length >= WAITING_CALLS_MAX) {
      item.fail(
        new KitError('ERR_CLIENT_QUEUE_FULL', `${item.label}: ${queue.length} calls wait already`),
      );
      return;
    }
    queue.push(item);
  }

  #toLane(item: Placeable, lane: Lane): void {
    if (lane.state === 'ready') return this.#send(item, lane);
    if (!isData(lane) || this.#session !== undefined) return this.#toOffline(item);
    let other = this.#readyLane(lane.kind);
    if (other === undefined) {
      other = this.#readyLane();
      // Better wait for the lane that opens than stand behind a large reply, or be one in front of
      // small ones. It counts as being on that lane already, so that nobody on its keys overtakes.
      const worse = lane.kind === 'bulk' || other?.congested === true;
      if (lane.state === 'opening' && worse && other !== undefined) {
        this.#register(item, lane);
        lane.unsent.push(item);
        return;
      }
    }
    if (other === undefined) this.#toOffline(item);
    else this.#send(item, other);
  }

  #send(item: Placeable, lane: Lane): void {
    this.#register(item, lane);
    item.send(lane);
  }

  #toOffline(item: Placeable): void {
    const error = this.offline.add(item, performance.now());
    if (error !== undefined) item.fail(error);
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

  #smallLane(): Lane {
    const lanes = this.#small;
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
        if (this.settings.choose === 'round-robin') {
          this.#turn = (i + this.#turn + 1) % lanes.length;
          return lane;
        }
      }
      if (best === undefined || best.state !== 'ready' || weigh(lane) < weigh(best)) best = lane;
    }
    if (full && lanes.length < this.settings.smallMax && !this.#closing) {
      const opened = this.open(
        'small',
        best === undefined ? 'none is left' : 'the others are full',
      );
      return best ?? opened;
    }
    return best ?? this.open('small', 'none is left');
  }

  #bulkLane(): Lane {
    let best: Lane | undefined;
    for (const lane of this.#bulk) {
      if (lane.state === 'ready' && lane.pending.size === 0) return lane;
      if (best === undefined || weigh(lane) < weigh(best)) best = lane;
    }
    if (this.#bulk.length < this.settings.bulkMax) {
      return this.open('bulk', 'large values are on their way');
    }
    return best ?? this.#smallLane();
  }

  #only(kind: LaneKind): Lane {
    if (this.settings.single) return this.#smallLane();
    for (const lane of this.lanes) if (lane.kind === kind) return lane;
    return this.open(kind, 'a subscription needs a connection of its own');
  }

  #readyLane(kind?: LaneKind): Lane | undefined {
    let best: Lane | undefined;
    for (const lane of this.lanes) {
      if (lane.state !== 'ready' || !isData(lane) || (kind !== undefined && lane.kind !== kind))
        continue;
      if (best === undefined || weigh(lane) < weigh(best)) best = lane;
    }
    return best;
  }

  open(kind: LaneKind, reason: string): Lane {
    const lane = new Lane(this.#nextId, kind, performance.now());
    this.#nextId += 1;
    this.lanes.add(lane);
    if (kind === 'small') this.#small.push(lane);
    if (kind === 'bulk') this.#bulk.push(lane);
    if (this.#small.length + this.#bulk.length > 1) this.track();
    this.announce(lane, 'opened', reason);
    this.#driver.open(lane);
    this.#janitor.wake();
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

  announce(
    lane: Lane,
    what: 'opened' | 'ready' | 'lost' | 'ended' | 'closed' | 'became-bulk',
    reason: string,
  ): void {
    if (laneChannel.hasSubscribers) laneChannel.publish({ lane: lane.label, what, reason });
  }

  // What the driver reports.

  ready(lane: Lane): void {
    if (lane.state === 'ended') return;
    lane.state = 'ready';
    lane.readyAt = performance.now();
    lane.losses = 0;
    this.announce(lane, 'ready', 'connected');
    for (const args of this.#everywhere.values()) lane.client?.command(args).catch(() => {});
    if (lane.kind === 'blocking') return this.#nextBlocking(lane);
    for (const item of lane.unsent.splice(0)) {
      if (item.settled) for (const call of item.calls) this.release(call, lane);
      else item.send(lane);
    }
    for (const item of this.offline.take()) this.place(item);
    this.#tryBarrier();
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
    const barrier = this.#barrier;
    if (barrier !== undefined) {
      if (barrier.sent && barrier.item.calls.includes(call)) {
        barrier.left -= 1;
        if (barrier.left <= 0) this.#endBarrier();
      } else this.#tryBarrier();
    }
    if (lane.kind === 'blocking' && lane.pending.size === 0) this.#nextBlocking(lane);
  }

  /**
   * The caller no longer waits. A blocking command must not stay behind at the server, where it would
   * take an element that nobody gets: its connection ends with it.
   */
  giveUp(call: Call, error: unknown): void {
    call.fail(error);
    const { lane } = call;
    if (lane?.kind !== 'blocking' || !call.listed) return;
    lane.state = 'ended';
    this.lanes.delete(lane);
    this.release(call, lane);
    lane.client?.destroy('its caller gave up');
    this.announce(lane, 'closed', 'its caller gave up');
    if (this.#forBlocking.length > 0) this.open('blocking', 'calls wait for one');
  }

  #nextBlocking(lane: Lane): void {
    if (lane.state !== 'ready') return;
    for (
      let item = this.#forBlocking.shift();
      item !== undefined;
      item = this.#forBlocking.shift()
    ) {
      if (item.settled) continue;
      this.#toLane(item, lane);
      return;
    }
  }

  /** The reply of `sent` on `lane` has just turned out to be large. */
  becameLarge(sent: Sent, wire: Wire<Sent>, lane: Lane): void {
    this.sketch.saw(sent.name, sent.key, sent.announced, true);
    if (lane.kind !== 'small' || this.settings.bulkMax === 0) return;
    this.track();
    if (this.#bulk.length < this.settings.bulkMax && this.#session !== lane) {
      this.#small = this.#small.filter((one) => one !== lane);
      lane.kind = 'bulk';
      this.#bulk.push(lane);
      this.announce(lane, 'became-bulk', `${sent.name} brought a large reply`);
      if (this.#small.length < this.settings.smallMin) this.open('small', 'one became a bulk lane');
    }
    const other = this.#small.find((one) => one !== lane && !one.congested);
    if (other !== undefined) rescueBehind(wire, other);
  }

  /** The connection of these calls is gone. `written`: they may have run. */
  lost(call: Call, lane: Lane, written: boolean, cause: unknown): void {
    this.release(call, lane);
    if (call.settled) return;
    this.breaker?.failed(performance.now());
    if (written && !this.policy.repeatable(call)) {
      call.fail(new UnknownOutcomeError(call.name.toUpperCase(), shown(call.key), cause));
      return;
    }
    if (!this.again(call, cause, !written)) call.fail(cause);
  }

  /** An error reply. True: the pool takes care of it. */
  refused(call: Call, lane: Lane, error: unknown): boolean {
    if (!saysNotRun(error) || call.settled || call.inTransaction) return false;
    this.breaker?.failed(performance.now());
    this.release(call, lane);
    return this.again(call, error, false);
  }

  /** Makes the call once more, later. False: no attempt left. */
  again(call: Call, cause: unknown, neverSent: boolean): boolean {
    const delayMs = this.policy.next(call);
    if (delayMs === undefined) return false;
    if (retryChannel.hasSubscribers) {
      retryChannel.publish({
        command: call.name,
        key: call.key,
        attempt: call.attempts,
        delayMs,
        reason: cause,
      });
    }
    const other = this.#readyLane();
    const elsewhere = call.attempts === 1 && other !== undefined && other !== call.lane;
    if (neverSent || (elsewhere && !saysNotRun(cause))) this.place(call);
    else setTimeout(() => this.place(call), delayMs);
    return true;
  }

  down(lane: Lane, reason: string): void {
    if (lane.state === 'ended') return;
    lane.state = 'down';
    lane.losses += 1;
    this.announce(lane, 'lost', reason);
    if (this.#session === lane) this.#session = undefined;
    this.#tryBarrier();
    this.#giveBack(lane);
  }

  /** What waited for the lane to open takes what there is. */
  #giveBack(lane: Lane): void {
    for (const item of lane.unsent.splice(0)) {
      for (const call of item.calls) this.release(call, lane);
      this.place(item);
    }
  }

  /** Its client will not connect again: forget it, and replace it if it is needed. */
  ended(lane: Lane, reason: string): void {
    if (lane.state === 'ended') return;
    lane.state = 'ended';
    this.lanes.delete(lane);
    this.#small = this.#small.filter((one) => one !== lane);
    this.#bulk = this.#bulk.filter((one) => one !== lane);
    if (this.#session === lane) this.#session = undefined;
    this.announce(lane, 'ended', reason);
    this.#giveBack(lane);
    const gone = new KitError('ERR_CLIENT_OFFLINE', `the connection ended: ${reason}`);
    for (const call of [...lane.pending]) this.lost(call, lane, call.writtenAt > 0, gone);
    if (this.#closing || this.#small.length >= this.settings.smallMin) return;
    const delayMs = fullJitter(lane.losses + 1, RECONNECT_BASE_MS, RECONNECT_CAP_MS);
    setTimeout(() => {
      if (!this.#closing && this.#small.length < this.settings.smallMin) {
        this.open('small', 'replaces one that ended').losses = lane.losses + 1;
      }
    }, delayMs);
  }

  /** Closes lanes above the minimum that nobody used for a while; the order table may go off again. */
  shrink(now: number): void {
    for (const lane of [...this.lanes]) {
      if (lane.pending.size > 0 || now - lane.usedAt < this.settings.idleMs) continue;
      if (lane.kind === 'subscriber') continue;
      if (
        lane.kind === 'small' &&
        (this.#small.length <= this.settings.smallMin || lane === this.#session)
      )
        continue;
      this.closeLane(lane, 'idle');
    }
    if (this.order.on && this.order.size === 0 && this.#small.length + this.#bulk.length <= 1) {
      this.order.on = false;
    }
  }

  closeLane(lane: Lane, reason: string): void {
    lane.state = 'ended';
    this.lanes.delete(lane);
    this.#small = this.#small.filter((one) => one !== lane);
    this.#bulk = this.#bulk.filter((one) => one !== lane);
    this.announce(lane, 'closed', reason);
    // A connection that is broken already has nothing to say at its end.
    lane.client?.close().catch(() => lane.client?.destroy(reason));
  }

  /** Refuses new calls; those that were never sent fail, those in flight are waited for. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#janitor.stop();
    const error = new KitError('ERR_CLIENT_CLOSED', 'the client was closed');
    const waiting = [...this.waiting, ...this.offline.take()];
    for (const item of waiting) item.fail(error);
    await Promise.all([...this.lanes].map((lane) => this.#end(lane)));
    this.lanes.clear();
  }

  /** Waits for what somebody waits for; a connection that is broken already has nothing to say at its end. */
  async #end(lane: Lane): Promise<void> {
    for (const call of lane.pending) {
      if (call.settled) continue;
      await lane.client?.close().catch(() => {});
      return;
    }
    if (lane.pending.size > 0 || lane.state !== 'ready') lane.client?.destroy('closed');
    else await lane.client?.close().catch(() => {});
  }

  destroy(reason: string): void {
    this.#closing = true;
    this.#janitor.stop();
    const error = new KitError('ERR_CLIENT_CLOSED', `the client was closed: ${reason}`);
    for (const item of [...this.waiting, ...this.offline.take()]) item.fail(error);
    for (const lane of this.lanes) lane.client?.destroy(reason);
    this.lanes.clear();
  }
}

function isLarge(call: Call): boolean {
  return call.large;
}

function isData(lane: Lane): boolean {
  return lane.kind === 'small' || lane.kind === 'bulk';
}

/** A lane with a large reply on its way weighs as much as what is still to come. */
function weigh(lane: Lane): number {
  return lane.congested ? lane.load + LANE_FULL_BYTES * 16 : lane.load;
}

function asArgument(value: unknown): string | Buffer {
  return value instanceof Uint8Array ? Buffer.from(value) : String(value);
}
