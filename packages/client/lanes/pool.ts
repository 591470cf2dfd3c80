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
 * connection each, subscriptions one of their own. Order per key is kept (order.ts). Here is what calls
 * and lanes go through; which lane a call takes is decided in placement.ts.
 *
 * The pool knows no client library: a driver opens lanes and tells what happens on them.
 */
import { performance } from 'node:perf_hooks';
import { CircuitOpenError, closedError, KitError } from '../errors.ts';
import { type Login, useLogin } from '../identity/credentials.ts';
import { CircuitBreaker } from '../retries/breaker.ts';
import { RetryPolicy } from '../retries/policy.ts';
import type { Recorder } from '../telemetry/recorder.ts';
import type { Sent, Wire } from '../wire/wire.ts';
import { Call } from './call.ts';
import { callGivenUp, callLost, callRefused, heed, laneClosed, laneEnded } from './fate.ts';
import { Janitor } from './janitor.ts';
import { endLane, type Lane } from './lane.ts';
import { LargeSketch } from './learn.ts';
import { measure, turnedLarge } from './measure.ts';
import { OfflineQueue } from './offline.ts';
import type { LanesSettings } from './options.ts';
import { inOrder, type KeyOrder } from './order.ts';
import { Overtaken } from './overtaken.ts';
import type { Placeable } from './placeable.ts';
import { Placement } from './placement.ts';
import { rescueBehind } from './rescue.ts';
import { type Driver, isData, Roster } from './roster.ts';
import { identify } from './unblock.ts';

export class Pool {
  readonly settings: LanesSettings;
  readonly sketch: LargeSketch;
  readonly policy: RetryPolicy;
  readonly breaker: CircuitBreaker | undefined;
  readonly offline: OfflineQueue;
  readonly overtaken = new Overtaken();
  readonly recorder: Recorder | undefined;
  endpoint = '';
  readonly roster: Roster;
  readonly #janitor: Janitor;
  readonly placement: Placement;
  #closing = false;
  #asked = 0;
  #lastLoss: unknown;
  readonly #timers = new Map<NodeJS.Timeout, () => void>();
  /** Of those who wait for what a library has promised. */
  readonly #closings = new Set<() => void>();
  #login: Login | undefined;

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
    this.placement = new Placement(this);
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

  /** Every connection that is made from now on logs in with this. */
  adoptLogin(login: Login): void {
    this.#login = login;
    // Instead of an AUTH of the application's before; and for what is connecting right now.
    this.placement.remember(['AUTH', login.username, login.password]);
    for (const { client } of this.lanes) if (client !== undefined) useLogin(client.library, login);
  }

  /** A new client, before it connects. */
  prepare(library: object): void {
    if (this.#login !== undefined) useLogin(library, this.#login);
  }

  /** Opens the lanes there are from the start. */
  start(): void {
    this.breaker?.away(performance.now());
    try {
      for (let i = 0; i < this.settings.smallMin; i += 1) this.roster.open('small', 'start');
    } catch (error) {
      this.destroy('it could not be made');
      throw error;
    }
  }

  /** Entry of a new call: deadline, circuit breaker, signal; then a lane. */
  submit(call: Call): void {
    this.#asked += 1;
    call.asked = this.#asked;
    measure(call, this.settings, this.sketch);
    if (this.breaker !== undefined && this.breaker.state !== 'closed') {
      const open = this.#circuitOpen(call);
      if (open !== undefined) return call.fail(open);
    }
    heed(this, call);
    this.#janitor.wake();
    // Most calls, most of the time: data, with nothing to wait for and no order but the connection's.
    if (
      call.place === 'data' &&
      !call.large &&
      call.chain === undefined &&
      this.#calm &&
      !call.settled
    ) {
      const lane = this.roster.smallLane();
      if (lane.state === 'ready') {
        this.#enter(call, lane);
        return call.send(lane);
      }
    }
    this.place(call);
  }

  get #calm(): boolean {
    const { roster, placement } = this;
    return !roster.order.on && roster.small.length > 0 && placement.calm && !this.#closing;
  }

  /** Why it may not go, if the circuit is open; else it is the probe. */
  #circuitOpen(item: Placeable): CircuitOpenError | undefined {
    if (this.#closing) return undefined;
    const over = (): boolean => item.calls.every((call) => call.settled);
    const ms = this.breaker?.refusedFor(item.queuedAt, over) ?? 0;
    return ms > 0 ? new CircuitOpenError(this.endpoint, ms) : undefined;
  }

  /** Entry of a batch: each call has its own deadline, and they share a lane. */
  submitBatch(batch: Placeable): void {
    this.#asked += 1;
    batch.asked = this.#asked;
    for (const call of batch.calls) call.asked = this.#asked;
    const open = this.#circuitOpen(batch);
    if (open !== undefined) return batch.fail(open);
    for (const call of batch.calls) measure(call, this.settings, this.sketch);
    for (const call of batch.calls) heed(this, call, batch);
    this.#janitor.wake();
    this.place(batch);
  }

  /** A call that is on its lane already. */
  adopt(call: Call, lane: Lane): void {
    measure(call, this.settings, this.sketch);
    this.#enter(call, lane);
    heed(this, call);
  }

  place(item: Placeable): void {
    this.placement.place(item);
  }

  /** On this lane from now on, as to order and load. */
  register(item: Placeable, lane: Lane): void {
    if (item instanceof Call) this.#enter(item, lane);
    else for (const call of item.calls) this.#enter(call, lane);
  }

  #enter(call: Call, lane: Lane): void {
    call.lane = lane;
    call.attempts += 1;
    const { chain } = call;
    if (chain !== undefined) {
      chain.lane = lane;
      chain.pending += 1;
    }
    lane.pending.add(call);
    lane.load += call.weight;
    if (this.order.on && isData(lane)) this.order.enter(call, lane);
    this.overtaken.asked(call);
  }

  // What the driver reports.

  ready(lane: Lane): void {
    if (lane.state === 'ended') return;
    lane.state = 'ready';
    lane.readyAt = performance.now();
    lane.losses = 0;
    if (isData(lane)) this.breaker?.connected(lane.readyAt);
    this.roster.announce(lane, 'ready', 'connected');
    this.#janitor.wake();
    identify(lane);
    this.placement.ready(lane);
    if (lane.kind === 'blocking') return;
    for (const item of lane.unsent.splice(0)) {
      if (item.settled) for (const call of item.calls) this.release(call, lane);
      else item.send(lane);
    }
    for (const item of this.offline.take(lane.readyAt)) this.place(item);
    this.placement.step();
  }

  answered(call: Call, now: number): void {
    const lane = call.lane;
    if (lane === undefined) return;
    this.breaker?.succeeded(now);
    this.policy.budget.earn(now);
    // Not when it is ready: iovalkey says so of a connection whose login was refused, too.
    this.offline.why = undefined;
    const large = call.bytesIn >= this.settings.largeBytes;
    if (large || !this.sketch.empty) this.sketch.saw(call.name, call.key, call.bytesIn, large);
    this.recorder?.answered(call, lane, now);
    lane.usedAt = now;
    this.release(call, lane);
  }

  /**
   * The call is no longer on the lane, whatever became of it. False: it was not any more. `first` comes before
   * what waited for it: a call that is made again was asked for earlier.
   */
  release(call: Call, lane: Lane, first?: () => void): boolean {
    if (call.lane !== lane || !lane.pending.delete(call)) return false;
    inOrder(this.#leave(call, lane), call.asked, first, (item) => this.place(item));
    this.placement.released(call, lane);
    return true;
  }

  /** The same for all calls of a batch at once: what waited for one of them does not go before it. */
  releaseAll(batch: Placeable, lane: Lane, first?: () => void): void {
    const left = batch.calls.filter((call) => call.lane === lane && lane.pending.delete(call));
    const freed = left.flatMap((call) => this.#leave(call, lane) ?? []);
    inOrder(freed, batch.asked, first, (item) => this.place(item));
    for (const call of left) this.placement.released(call, lane);
  }

  /** Answers what may be placed now. */
  #leave(call: Call, lane: Lane): Placeable[] | undefined {
    lane.load -= call.weight;
    if (call.chain !== undefined) call.chain.pending -= 1;
    if (call.onAbort !== undefined) call.unheed();
    return call.tracked ? this.order.leave(call) : undefined;
  }

  /** The reply of `sent` on `lane` has just turned out to be large. */
  becameLarge(sent: Sent, wire: Wire<Sent>, lane: Lane): void {
    this.sketch.saw(sent.name, sent.key, sent.announced, true);
    if (sent instanceof Call) turnedLarge(sent, this.settings);
    if (lane.kind !== 'small' || this.settings.bulkMax === 0) return;
    this.roster.track();
    if (this.placement.session !== lane)
      this.roster.becomeBulk(lane, `${sent.name} brought a large reply`);
    const other = this.roster.small.find((one) => one !== lane && !one.congested);
    if (other !== undefined) rescueBehind(this, wire, lane, other);
  }

  /** The connection of a call is gone. `written`: it may have run. */
  lost(call: Call, lane: Lane, written: boolean, cause: unknown): void {
    callLost(this, call, lane, written, cause);
  }

  /**
   * To the breaker a connection that ends is one failure, however many calls were on it: they are made
   * again or fail by themselves, and those that come wait for the next connection.
   */
  connectionLost(cause: unknown): void {
    if (cause === this.#lastLoss) return;
    this.#lastLoss = cause;
    this.breaker?.failed(performance.now());
  }

  /** None of the connections may be left; while one is, this says nothing about the server. */
  connectFailed(cause: unknown): void {
    this.offline.why = cause;
    // Until then calls wait for the server, and are better off than refused.
    this.breaker?.unreached(performance.now(), this.settings.offline.ageMs);
  }

  #perhapsAway(): void {
    if (this.roster.readyLane() === undefined) this.breaker?.away(performance.now());
  }

  /** An error reply. True: the pool takes care of it. */
  refused(call: Call, lane: Lane, error: unknown): boolean {
    return callRefused(this, call, lane, error);
  }

  down(lane: Lane, reason: string): void {
    if (lane.state === 'ended') return;
    lane.lost();
    this.roster.announce(lane, 'lost', reason);
    this.#perhapsAway();
    this.placement.gone(lane);
    this.#giveBack(lane);
  }

  /** What waited for the lane to open takes what there is, before what waited for its keys. */
  #giveBack(lane: Lane): void {
    for (const item of lane.unsent.splice(0)) {
      this.releaseAll(item, lane, () => {
        for (const call of item.calls) heed(this, call, item);
        this.place(item);
      });
    }
  }

  /** The caller no longer waits. */
  giveUp(call: Call, error: unknown): void {
    if (callGivenUp(this, call, error)) this.placement.moreBlocking();
    this.placement.step();
  }

  /** Its client will not connect again: forget it, and replace it if it is needed. */
  ended(lane: Lane, reason: string): void {
    if (lane.state === 'ended') return;
    lane.state = 'ended';
    this.roster.remove(lane);
    this.#perhapsAway();
    this.placement.gone(lane);
    this.roster.announce(lane, 'ended', reason);
    this.#giveBack(lane);
    laneEnded(this, lane, reason);
  }

  /** Runs it after a while; when the client is closed, at once: no process waits for what is over. */
  later(run: () => void, ms: number): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      run();
    }, ms);
    this.#timers.set(timer, run);
  }

  /** What a library has promised. When the client is closed nobody waits for it: it may never come. */
  unlessClosed<T>(label: string, promised: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const closed = (): void => reject(closedError(label));
      this.#closings.add(closed);
      if (this.#closing) closed();
      promised.then(resolve, reject).finally(() => this.#closings.delete(closed));
    });
  }

  /** Closes lanes that nobody used for a while. */
  shrink(now: number): void {
    this.roster.shrink(now, this.placement.session);
  }

  /** Refuses new calls; those that were never sent fail, those in flight are waited for. */
  async close(): Promise<void> {
    this.#refuseAll('close() was called');
    // Deadlines hold meanwhile.
    await Promise.all([...this.lanes].map((lane) => endLane(lane)));
    this.#janitor.stop();
    for (const lane of this.lanes) laneClosed(this, lane);
    this.roster.lanes.clear();
  }

  destroy(reason: string): void {
    this.#refuseAll(reason);
    this.#janitor.stop();
    for (const lane of this.lanes) {
      laneClosed(this, lane);
      lane.client?.destroy(reason);
    }
    this.roster.lanes.clear();
  }

  #refuseAll(reason: string): void {
    this.#closing = true;
    this.roster.close();
    const error = new KitError('ERR_CLIENT_CLOSED', `the client was closed: ${reason}`);
    const waiting = [...this.placement.waiting, ...this.offline.take(performance.now())];
    for (const lane of this.lanes) {
      for (const item of lane.unsent.splice(0)) {
        waiting.push(item);
        for (const call of item.calls) this.release(call, lane);
      }
    }
    for (const item of waiting) item.fail(error);
    for (const [timer, run] of this.#timers) {
      clearTimeout(timer);
      run();
    }
    this.#timers.clear();
    for (const closed of this.#closings) closed();
  }
}
