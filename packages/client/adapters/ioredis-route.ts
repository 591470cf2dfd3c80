/**
 * The way of a call to the node of its slot, over a cluster client of ioredis or iovalkey.
 *
 * Left to itself the library sends a command again on its own: after a closed connection to any node, after TRYAGAIN
 * and CLUSTERDOWN a while later, from the queue of each connection that is being made, a pipeline as a whole. Meanwhile
 * it sends what was asked for later; so an older write comes behind a newer one that was acknowledged, and one whose
 * outcome nobody knows runs a second time. So the library is asked where a slot is and for the connection, and nothing
 * else: calls are put on the connections of nodes past the cluster client, and only on those that take them at once.
 *
 * What cannot go is held here, in the order in which it was asked for, and while something is held on a slot, what
 * comes on that slot is held behind it. It goes when
 * - the node's connection takes it (lost ones are made again, the map of slots is asked for), and
 * - nothing of its slot is under way to another node: when a slot moves, what comes later waits until what is under
 *   way to the old node has been answered, or redirected and is held, too. That is what keeps the order.
 *
 * What a node refuses because the slot is elsewhere, or being moved, or the cluster down, did not run and is held again
 * in its place; a transaction as a whole, and from then on alone on its slot. Should something later have run on its
 * keys nevertheless, it fails.
 */
import { performance } from 'node:perf_hooks';
import { KitError, tooManyWait, whyOffline } from '../errors.ts';
import type { Lane } from '../lanes/lane.ts';
import type { Pool } from '../lanes/pool.ts';
import { watchLost } from '../lanes/watching.ts';
import { ASK_MS, WAITING_CALLS_MAX } from '../limits.ts';
import { IoBatch } from './ioredis-batch.ts';
import { IoCall } from './ioredis-call.ts';
import { kCall, type Tagged } from './ioredis-link.ts';
import { ClusterNodes } from './ioredis-nodes.ts';
import { byLibrary, putAgain, runOn } from './ioredis-put.ts';
import {
  commandOf,
  type Item,
  none,
  partOf,
  type Redirect,
  Routed,
  redirectOf,
  slotsOf,
  tooMany,
} from './ioredis-routed.ts';
import type { IoCluster, IoCommand, IoRedis } from './ioredis-shape.ts';
import { UnderWay } from './ioredis-underway.ts';

export class ClusterRoute {
  readonly nodes: ClusterNodes;
  readonly #cluster: IoCluster;
  readonly #lane: Lane;
  readonly #pool: Pool;
  readonly #underWay = new UnderWay();
  /** Slots of what is held. */
  readonly #held = new Set<number>();
  /** Slots of transactions that were refused and are under way again: what would run behind one could run before it. */
  readonly #alone = new Map<IoBatch, readonly number[]>();
  /** Where WATCH was sent, and no transaction since. */
  #watching: IoRedis | 'lost' | undefined;
  #stepping = false;
  /** Something came while what was held was being sent. */
  #more = false;
  #due = false;

  constructor(cluster: IoCluster, lane: Lane, pool: Pool, staggered: boolean) {
    this.#cluster = cluster;
    this.#lane = lane;
    this.#pool = pool;
    this.nodes = new ClusterNodes(cluster, staggered, () => this.#soon());
  }

  /** As a client of one connection has it. */
  sendCommand(command: IoCommand): void {
    const call = (command as Tagged)[kCall];
    if (call instanceof IoCall) this.dispatch(call);
  }

  dispatch(item: Item): void {
    if (item instanceof IoCall && (item.place === 'subscribe' || item.name === 'himport'))
      return byLibrary(this.#cluster, item, this.#pool);
    this.#prepare(item);
    if (this.#stepping) this.#more = true;
    else if (this.#go(item)) return;
    const { calls } = this.#pool.settings.offline;
    const { length } = this.#lane.unsent;
    if (length < (calls > 0 ? calls : WAITING_CALLS_MAX)) this.#hold(item);
    else this.#end(item, tooManyWait(item.label, length));
  }

  /** The client is connected: what is held is about to be sent again. */
  opened(): void {
    this.#held.clear();
  }

  #prepare(item: Item): void {
    item.routed ??= new Routed();
    if (item instanceof IoBatch) for (const call of item.calls) partOf(item, call);
  }

  /** True: it was sent, or it is over. */
  #go(item: Item): boolean {
    const { routed } = item;
    if (routed === undefined) return false;
    const slots = slotsOf(item);
    const ordered = this.#reads(item) ? none : slots;
    if (this.#held.size > 0 && ordered.some((slot) => this.#held.has(slot))) return false;
    for (const slots of this.#alone.values())
      if (ordered.some((slot) => slots.includes(slot))) return false;
    const now = performance.now();
    // A timer may be a moment early.
    if (routed.notBefore > now) this.nodes.wakeIn(routed.notBefore - now);
    if (routed.notBefore > now || this.#cluster.status !== 'ready') return false;
    const node = this.#target(item, slots[0]);
    if (node === undefined) return this.#expired(item, routed, now);
    // What came behind one that was refused may run, and is to be answered first: then this one is too late.
    const behind = routed.refusal === undefined ? Number.POSITIVE_INFINITY : item.asked;
    for (const slot of ordered) if (!this.#underWay.takes(slot, node, behind)) return false;
    routed.since = 0;
    this.#put(item, routed, node);
    return true;
  }

  /** By a choice of the application's it may be answered by a replica: no order holds for it. */
  #reads(item: Item): boolean {
    return item.read && this.#cluster.options.scaleReads !== 'master' && item.routed?.hops === 0;
  }

  #target(item: Item, slot: number | undefined): IoRedis | undefined {
    const { nodes } = this;
    const { routed } = item;
    // What was told long ago is about a move that may be over, and another one may have begun.
    if (routed?.ask !== undefined && performance.now() - routed.askedAt > ASK_MS)
      routed.ask = undefined;
    if (routed?.ask !== undefined) return nodes.at(routed.ask);
    const keys = slot === undefined ? undefined : this.#cluster.slots[slot];
    const reads = this.#reads(item);
    const [primary] = keys ?? [];
    if (keys !== undefined && primary !== undefined)
      return reads ? nodes.reader(keys, commandOf(item)) : nodes.at(primary);
    const { scaleReads } = this.#cluster.options;
    return nodes.any(
      reads && typeof scaleReads === 'string' ? scaleReads : reads ? 'all' : 'master',
    );
  }

  #put(item: Item, routed: Routed, node: IoRedis): void {
    const { ask } = routed;
    routed.ask = undefined;
    const put = (command: IoCommand, stream?: unknown): unknown => {
      const call = (command as Tagged)[kCall];
      // EXEC is there only now.
      if (call instanceof IoCall && item instanceof IoBatch) partOf(item, call);
      if (call instanceof IoCall) this.#under(call, node);
      return node.sendCommand(command, stream);
    };
    if (ask !== undefined) node.call('asking').catch(noop);
    if (item instanceof IoCall) {
      if (item.place === 'session') this.#watching = item.name === 'watch' ? node : undefined;
      put(item.command);
      return;
    }
    if (item.transaction) {
      const watching = this.#watching;
      this.#watching = undefined;
      if (watching !== undefined && watching !== node)
        return this.#end(item, watchLost(item.label));
      routed.watched ||= watching !== undefined;
    }
    if (item.begun) {
      this.#alone.set(item, slotsOf(item));
      item.settled = true;
      putAgain(item, node, put);
    } else runOn(item, this.#lane, this.#cluster, node, put);
  }

  /** It is under way to this node. */
  #under(call: IoCall, node: IoRedis): void {
    call.routed ??= new Routed();
    const { routed } = call;
    routed.at = node;
    routed.counted = -1;
    const { slot } = call;
    if (slot === null || this.#reads(call)) return;
    routed.counted = slot;
    this.#underWay.begin(call, slot, node);
  }

  /** It is no longer under way. */
  left(call: IoCall): void {
    const { routed } = call;
    const node = routed?.at;
    if (routed === undefined || node === undefined) return;
    routed.at = undefined;
    const { batch } = routed;
    if (batch?.end === call && this.#alone.delete(batch)) this.#soon();
    const slot = routed.counted;
    if (slot >= 0 && this.#underWay.end(slot, node) && this.#held.has(slot)) this.#soon();
  }

  #hold(item: Item): void {
    const { unsent } = this.#lane;
    let at = unsent.length;
    while (at > 0 && (unsent[at - 1]?.asked ?? 0) > item.asked) at -= 1;
    unsent.splice(at, 0, item);
    if (!this.#reads(item)) for (const slot of slotsOf(item)) this.#held.add(slot);
  }

  /** After all that one event tells: what a connection took with it comes back one by one. */
  #soon(): void {
    if (this.#due) return;
    this.#due = true;
    queueMicrotask(() => {
      this.#due = false;
      this.#step();
    });
  }

  /** Sends what may go of what is held. */
  #step(): void {
    const { unsent, state } = this.#lane;
    this.nodes.endStale();
    // One that opens, or is lost, has its calls sent or given back by the pool.
    if (state !== 'ready' || unsent.length === 0) return;
    this.#held.clear();
    this.#stepping = true;
    try {
      for (const item of unsent.splice(0) as Item[]) {
        if (item.settled) this.#release(item);
        else if (!this.#go(item)) this.#hold(item);
      }
    } finally {
      this.#stepping = false;
    }
    if (!this.#more) return;
    this.#more = false;
    this.#soon();
  }

  #release(item: Item): void {
    for (const call of item.calls) this.#pool.release(call, this.#lane);
  }

  #end(item: Item, error: unknown): void {
    item.fail(error);
    this.#release(item);
  }

  /** There is no connection to its node, and there was none for too long. */
  #expired(item: Item, routed: Routed, now: number): boolean {
    if (routed.since === 0) routed.since = now;
    const { ageMs } = this.#pool.settings.offline;
    const waitedMs = now - routed.since;
    if (waitedMs < ageMs) {
      if (Number.isFinite(ageMs)) this.nodes.wakeIn(ageMs - waitedMs);
      return false;
    }
    const why = this.#pool.offline.why;
    this.#pool.breaker?.unreached(now);
    this.#end(
      item,
      new KitError(
        'ERR_CLIENT_OFFLINE',
        `${item.label}: waited ${Math.round(waitedMs)} ms for a connection to its node and was never sent${whyOffline(why)}`,
        { cause: why },
      ),
    );
    return true;
  }

  // What happens on the connections of the nodes.

  down(node: IoRedis): void {
    this.nodes.down(node);
    if (this.#watching === node) this.#watching = 'lost';
  }

  answered(call: IoCall): void {
    const ran = call.failure === undefined && (!call.inTransaction || call.name === 'exec');
    if (this.#held.size > 0 && ran && !call.read) this.#passed(call);
    this.left(call);
  }

  /** A write that ran although one that was asked for earlier on its key had been refused: that one comes too late. */
  #passed(call: IoCall): void {
    const keys = call.keys();
    const isLate = (item: Item): boolean =>
      item.asked < call.asked && item.keys().some((key) => keys.includes(key));
    for (const item of this.#lane.unsent as Item[]) {
      const { routed, settled, read } = item;
      if (routed?.refusal !== undefined && !settled && !read && isLate(item))
        item.fail(routed.refusal);
    }
  }

  /** Its calls have been told. */
  closed(node: IoRedis): void {
    this.#underWay.forget(node);
    this.#soon();
  }

  lost(call: IoCall, written: boolean, cause: unknown): void {
    const { routed } = call;
    const from = routed?.at;
    this.left(call);
    const whole = routed?.batch;
    if (whole?.redirect === undefined) {
      if (routed !== undefined) routed.refusal = undefined;
      return this.#pool.lost(call, this.#lane, written, cause);
    }
    // A part of it was refused, so it did not run.
    const { redirect } = whole;
    if (call === whole.end) this.#again(whole, redirect, from);
    else this.#pool.release(call, this.#lane);
  }

  /** An error reply. True: it was about the place and not about the command, which goes where it belongs. */
  refused(call: IoCall, error: Error): boolean {
    const { routed } = call;
    const from = routed?.at;
    if (routed === undefined || from === undefined) return false;
    const whole = routed.batch?.whole === true ? routed.batch : undefined;
    if (whole?.routed?.watched === true || (whole === undefined && call.inTransaction))
      return false;
    const redirect = redirectOf(error, this.#cluster.options);
    if (whole !== undefined) return this.#refusedWhole(whole, call, redirect, error);
    if (redirect === undefined) return false;
    this.left(call);
    const refusal = tooMany(routed, error, this.#cluster.options);
    if (refusal !== undefined || call.settled) {
      this.#pool.release(call, this.#lane, () => call.fail(refusal));
      return true;
    }
    this.#follow(routed, redirect, from);
    call.writtenAt = 0;
    this.#hold(call);
    this.#soon();
    return true;
  }

  #refusedWhole(
    whole: IoBatch,
    call: IoCall,
    redirect: Redirect | undefined,
    error: Error,
  ): boolean {
    const from = call.routed?.at;
    if (call !== whole.end) {
      if (redirect === undefined) return false;
      whole.redirect ??= redirect;
      this.left(call);
      this.#pool.release(call, this.#lane);
      return true;
    }
    const why = redirect ?? (error.message.startsWith('EXECABORT') ? whole.redirect : undefined);
    if (why === undefined || whole.routed === undefined) return false;
    this.left(call);
    const refusal = tooMany(whole.routed, why.error, this.#cluster.options);
    if (refusal === undefined && !call.settled) {
      this.#again(whole, why, from);
      return true;
    }
    this.#pool.release(call, this.#lane);
    // Those whose refusal was kept back have no other end.
    whole.abandon(refusal ?? why.error);
    return true;
  }

  /** The whole transaction, in its place: EXEC has stood for it on the lane all the time. */
  #again(whole: IoBatch, redirect: Redirect, from: IoRedis | undefined): void {
    if (whole.routed !== undefined) this.#follow(whole.routed, redirect, from);
    whole.renew();
    this.#hold(whole);
    this.#soon();
  }

  #follow(routed: Routed, redirect: Redirect, from: IoRedis | undefined): void {
    const { kind, slot, delayMs, error } = redirect;
    routed.hops += 1;
    routed.refusal = error;
    routed.slot = slot ?? routed.slot;
    if (kind === 'CLUSTERDOWN') this.#pool.breaker?.failed(performance.now());
    const key = this.#learn(redirect, from);
    if (kind === 'ASK') {
      routed.ask = key;
      routed.askedAt = performance.now();
    }
    if (delayMs > 0) routed.notBefore = performance.now() + delayMs;
  }

  /** Answers the node that was told. */
  #learn({ kind, slot, place }: Redirect, from: IoRedis | undefined): string | undefined {
    if (kind === 'CLUSTERDOWN') this.#cluster.refreshSlotsCache();
    if (from === undefined || place === undefined || slot === undefined) return undefined;
    const key = this.nodes.mapped(place, from);
    if (kind === 'MOVED') this.nodes.moved(slot, key, from);
    return key;
  }
}

function noop(): void {}
