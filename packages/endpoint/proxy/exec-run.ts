/**
 * EXEC with commands that are not an engine's alone: answered here (CLIENT, SCAN, CONFIG, SUBSCRIBE ...),
 * or asked of all shards (DBSIZE, KEYS, FLUSHALL ...).
 *
 * The engine executes its part in one step, and what it answers is an array. An array is a header and
 * the elements behind it, nothing else: so nothing has to be put together. First the header goes to the
 * client, with the number of all commands; then, one after another, what the engine answered, and for
 * the others they are executed as if they had just come in, each with a place of its own in the order
 * of replies. Whatever they do otherwise they do here: ask other workers, wait for a shard, confirm
 * each of several channels (the engine puts more than one element there, too).
 *
 * It happens only after the engine has executed its part: a transaction that failed (a watched key, no
 * memory, a lost shard) has done nothing here either. So commands that are answered here see what the
 * whole transaction did. Those that ask all shards have their share at the transaction's own shard in
 * its place, within the one step, and get the rest from the others behind it.
 *
 * From EXEC until the last of them is under way nothing newer of this client is begun, and no message
 * comes between the elements.
 */
import { FULL_BOUNDS, RequestScanner } from '../../resp/scan-request.ts';
import type { Command, Merge } from '../../resp/table/index.ts';
import { contained } from './contained.ts';
import { type Call, execute, ran } from './dispatch.ts';
import { all } from './fan-out.ts';
import type { Lane } from './lane.ts';
import type { Pending } from './pending.ts';
import { ENDED, type Session, STALLED, TAKEN } from './session.ts';

/** What becomes of a queued command: `reply` makes the engine's answer the client's. */
export type Item =
  | {
      readonly kind: 'engine';
      readonly reply: ((reply: Buffer) => Buffer | Promise<Buffer>) | null;
    }
  /** Executed here. `shadowed`: the engine was told as well, for what it answers to the others. */
  | { readonly kind: 'here'; readonly kept: KeptCall; readonly shadowed: boolean }
  | { readonly kind: 'share'; readonly kept: KeptCall; readonly merge: Merge }
  /** SELECT: the engine has checked it. */
  | { readonly kind: 'select'; readonly database: number }
  | { readonly kind: 'error'; readonly text: string };

/** A call that outlives the bytes it came in. */
export interface KeptCall {
  readonly command: Command;
  readonly bytes: Buffer;
}

export function keep({ command, bytes, start, end }: Call): KeptCall {
  return { command, bytes: Buffer.from(bytes.subarray(start, end)) };
}

function callOf(session: Session, { command, bytes }: KeptCall): Call {
  const args = new RequestScanner();
  args.scan(bytes, 0, bytes.length, FULL_BOUNDS);
  return { session, command, bytes, start: 0, end: bytes.length, args };
}

export class ExecRun {
  readonly #session: Session;
  readonly #items: readonly Item[];
  readonly #place: Pending;
  readonly #muted: boolean;
  #replies: readonly Buffer[] = [];
  #lane: Lane | null = null;
  #at = 0;
  #reply = 0;
  #begun = false;

  /** `place` is EXEC's own. */
  constructor(session: Session, place: Pending, items: readonly Item[]) {
    this.#session = session;
    this.#items = items;
    this.#place = place;
    this.#muted = place.muted;
    session.state.setRunning(this);
  }

  /** The engine did not execute it. */
  failed(reply: Buffer): void {
    const session = this.#session;
    session.state.setRunning(null);
    session.fill(this.#place, reply);
    session.proxy.world.wake(session);
  }

  /** The engine has executed its part: these are its answers, from this lane. */
  executed(replies: readonly Buffer[], lane: Lane | null): void {
    const session = this.#session;
    if (session.gone) return;
    this.#replies = replies;
    this.#lane = lane;
    this.#begun = true;
    session.order.begin();
    session.fill(this.#place, Buffer.from(`*${this.#items.length}\r\n`));
    contained(session, () => this.goOn());
  }

  /** As far as it comes. Called again when what stopped it may be over. */
  goOn(): void {
    const session = this.#session;
    const { order } = session;
    const { topology, turns } = session.proxy.world;
    while (this.#begun && !session.gone) {
      const item = this.#items[this.#at];
      if (item === undefined) return this.#over();
      if (turns.over(session)) {
        session.stall('turn');
        return session.proxy.world.wake(session);
      }
      // A command before it is not finished with the session: a subscription, a login.
      if (session.gated || !session.lanes.follow(topology.version)) return session.stall('order');
      const before = order.muting;
      order.muting = this.#muted;
      const took = this.#one(item);
      order.muting = before;
      if (took === STALLED) return;
      this.#at++;
      if (took === ENDED) return this.#over();
    }
  }

  #one(item: Item): number {
    const session = this.#session;
    switch (item.kind) {
      case 'engine': {
        const reply = this.#next();
        const made = item.reply === null ? reply : item.reply(reply);
        if (Buffer.isBuffer(made)) session.reply(made);
        else {
          const place = session.order.place(null);
          void made.then((bytes) => session.fill(place, bytes));
        }
        return TAKEN;
      }
      case 'select': {
        const reply = this.#next();
        if (reply[0] !== MINUS) session.state.selectDatabase(item.database);
        session.reply(reply);
        return TAKEN;
      }
      case 'error':
        session.reply(item.text);
        return TAKEN;
      case 'here': {
        const took = ran(callOf(session, item.kept), execute);
        if (took !== STALLED && item.shadowed) this.#next();
        return took;
      }
      case 'share': {
        const reply = this.#replies[this.#reply];
        const lane = this.#lane;
        if (reply === undefined || lane === null) throw new Error('a share without its shard');
        const share = item.merge === 'random' ? null : { lane, reply };
        const took = all(callOf(session, item.kept), item.merge, share);
        if (took !== STALLED) this.#reply++;
        return took;
      }
    }
  }

  #next(): Buffer {
    const reply = this.#replies[this.#reply++];
    if (reply === undefined) throw new Error('fewer answers than commands in a transaction');
    return reply;
  }

  #over(): void {
    const session = this.#session;
    session.order.complete();
    session.state.setRunning(null);
    session.settle();
    session.proxy.world.wake(session);
  }
}

const MINUS = 0x2d;
