/**
 * A write that the server refused, or that is declared idempotent and lost its connection, may be made again, but
 * not after what was asked later on its keys: the older value would end up on top of a newer one that was acknowledged. To hold everything later back until
 * the retry is done would make one refusal a stop of the key, for as long as the server refuses. So the
 * write is made again only while nobody has asked anything later on its keys; otherwise its caller gets the
 * refusal, as from the plain client, and knows that it did not run.
 *
 * Whether somebody has is to be known for each refused write, and a server that refuses one mostly refuses
 * thousands: to look through all pending calls for each would stop the process for seconds. So every call has
 * a number, in the order in which calls went to a lane, and from the first refusal on a table knows the last
 * number on each key. It is made by one walk through what is pending, and kept for as many calls as make up
 * for that walk; then it is let go, so that it costs nothing, and grows no further, when nobody refuses.
 */
import { OVERTAKEN_KEPT_CALLS } from '../limits.ts';
import type { Call } from './call.ts';
import type { Lane } from './lane.ts';

/** Which calls went to a lane last: the last one on each key, and the last one that is about all keys. */
interface Last {
  readonly onKey: Map<string, number>;
  onAll: number;
  /** So many more calls until it is let go. */
  left: number;
}

export class Overtaken {
  /** Writes that wait to be made again, by key. */
  readonly #waiting = new Map<string, Set<Call>>();
  /** Those of them that are about all keys: FLUSHALL. */
  readonly #waitingForAll = new Set<Call>();
  readonly #overtaken = new WeakSet<Call>();
  #last: Last | undefined;
  #turn = 0;
  #on = false;

  /** This one goes to a lane now. */
  asked(call: Call): void {
    this.#turn += 1;
    call.turn = this.#turn;
    if (call.chain !== undefined) call.chain.turn = this.#turn;
    if (this.#on) this.#asked(call);
  }

  /** Was something asked for later on the keys of this refused write? `lanes`: what is pending is on them. */
  judge(call: Call, lanes: Iterable<Lane>): boolean {
    const behind = (): boolean => chainWentOn(call) || this.#isBehind(call, lanes);
    if (!this.#overtaken.has(call) && behind()) this.#overtaken.add(call);
    return this.#overtaken.has(call);
  }

  /** Of a batch; its own calls are no later than itself. */
  judgeAll(calls: readonly Call[], lanes: Iterable<Lane>): boolean {
    const turn = calls.reduce((last, call) => Math.max(last, call.turn), 0);
    const [first] = calls;
    if (first?.chain !== undefined && first.chain.turn > turn) return true;
    const keys = calls.flatMap((call) => (call.facts.read ? [] : call.keys()));
    return keys.length > 0 && this.#isAfter(turn, keys, lanes);
  }

  wait(call: Call): void {
    if (call.place === 'barrier') this.#waitingForAll.add(call);
    for (const key of call.keys()) {
      const waiting = this.#waiting.get(key);
      if (waiting === undefined) this.#waiting.set(key, new Set([call]));
      else waiting.add(call);
    }
    this.#switch();
  }

  /** Its time has come. True: somebody asked for something later meanwhile. */
  end(call: Call): boolean {
    this.#waitingForAll.delete(call);
    for (const key of call.keys()) {
      const waiting = this.#waiting.get(key);
      waiting?.delete(call);
      if (waiting?.size === 0) this.#waiting.delete(key);
    }
    this.#switch();
    return this.#overtaken.has(call) || chainWentOn(call);
  }

  #switch(): void {
    this.#on = this.#waiting.size + this.#waitingForAll.size > 0 || this.#last !== undefined;
  }

  #asked(call: Call): void {
    this.#pass(this.#waitingForAll, call);
    if (call.place === 'barrier') {
      for (const waiting of this.#waiting.values()) this.#pass(waiting, call);
    } else {
      for (const key of call.keys()) this.#pass(this.#waiting.get(key), call);
    }
    const last = this.#last;
    if (last === undefined) return;
    note(last, call);
    last.left -= 1;
    if (last.left > 0) return;
    this.#last = undefined;
    this.#switch();
  }

  #pass(waiting: Iterable<Call> | undefined, by: Call): void {
    for (const call of waiting ?? []) if (call !== by) this.#overtaken.add(call);
  }

  #isBehind(call: Call, lanes: Iterable<Lane>): boolean {
    if (call.place === 'barrier') return this.#turn > call.turn;
    const keys = call.facts.read ? [] : call.keys();
    if (keys.length === 0) return false;
    return this.#isAfter(call.turn, keys, lanes);
  }

  /** Something on any of these keys went to a lane later. */
  #isAfter(turn: number, keys: readonly string[], lanes: Iterable<Lane>): boolean {
    this.#last ??= lastOf(lanes);
    this.#on = true;
    const { onKey, onAll } = this.#last;
    return onAll > turn || keys.some((key) => (onKey.get(key) ?? 0) > turn);
  }
}

/** Of a caller who asked for order between all calls, a later one is on its way. */
function chainWentOn({ chain, facts, turn }: Call): boolean {
  return chain !== undefined && !facts.read && chain.turn > turn;
}

function lastOf(lanes: Iterable<Lane>): Last {
  const last: Last = { onKey: new Map(), onAll: 0, left: OVERTAKEN_KEPT_CALLS };
  for (const { pending } of lanes) {
    last.left += pending.size;
    for (const call of pending) note(last, call);
  }
  return last;
}

function note(last: Last, call: Call): void {
  const { turn } = call;
  if (call.place === 'barrier' && turn > last.onAll) last.onAll = turn;
  for (const key of call.keys()) {
    if (turn > (last.onKey.get(key) ?? 0)) last.onKey.set(key, turn);
  }
}
