/**
 * The order of a client's replies: a list of what is due. What the first record gets goes out at
 * once; a record behind it keeps its bytes until its turn.
 */
import type { Command } from '../../resp/table/index.ts';
import { REORDER_BYTES } from './limits.ts';
import { filled } from './measure.ts';
import type { Pending, Pieces } from './pending.ts';
import type { Session } from './session.ts';

const MINUS = 0x2d;

export class ReplyOrder {
  readonly #session: Session;
  head: Pending | null = null;
  /** Replies of what is appended now are not wanted (CLIENT REPLY). */
  muting = false;
  /** Bytes, and errors among them, of what was answered here, without an engine. */
  hereBytes = 0;
  hereErrors = 0;
  /** A reply in several places: its last one, `open` while that is to come. No message may come between. */
  #whole: Pending | 'open' | null = null;
  #tail: Pending | null = null;
  #keptBytes = 0;

  constructor(session: Session) {
    this.#session = session;
  }

  append(pending: Pending): void {
    pending.nextInSession = null;
    if (this.muting) pending.muted = true;
    if (this.#tail === null) this.head = pending;
    else this.#tail.nextInSession = pending;
    this.#tail = pending;
  }

  /** A command of a record that is to be sent again gets a place of its own before the rest. */
  insertBefore(added: Pending, pending: Pending): void {
    added.muted = pending.muted;
    added.nextInSession = pending;
    if (this.head === pending) this.head = added;
    else {
      let before = this.head;
      while (before !== null && before.nextInSession !== pending) before = before.nextInSession;
      if (before !== null) before.nextInSession = added;
    }
    if (pending.parts === null || pending.parts.length === 0) return;
    // Replies of the same record that came earlier stand before the one that is inserted.
    const early = this.#session.proxy.world.pendings.take();
    early.session = this.#session;
    early.ordered = true;
    early.done = true;
    early.parts = pending.parts;
    pending.parts = null;
    this.insertBefore(early, added);
  }

  /** Nothing is due for it any more: its place is others'. */
  remove(pending: Pending): void {
    let before: Pending | null = null;
    for (let p = this.head; p !== pending; p = p.nextInSession) {
      if (p === null) return;
      before = p;
    }
    if (before === null) this.head = pending.nextInSession;
    else before.nextInSession = pending.nextInSession;
    if (this.#tail === pending) this.#tail = before;
    pending.nextInSession = null;
    pending.ordered = false;
  }

  /** Bytes that came before their turn. */
  keep(pending: Pending, bytes: Buffer): void {
    if (pending.muted) return;
    pending.parts ??= [];
    pending.parts.push(bytes);
    this.#keptBytes += bytes.length;
    this.#session.output.before(bytes.length);
    if (this.#keptBytes > REORDER_BYTES) this.#session.end('reply-order-limit');
  }

  /** Lets out what is complete at the front. True: nothing is due any more. */
  settle(): boolean {
    const session = this.#session;
    const { pendings } = session.proxy.world;
    for (let first = this.head; first !== null; first = this.head) {
      if (first.parts !== null) {
        for (const part of first.parts) {
          const kept = Math.min(this.#keptBytes, part.length);
          this.#keptBytes -= kept;
          if (kept > 0) session.output.before(-kept);
          if (!first.muted) session.push(part, 0, part.length);
        }
        first.parts = null;
      }
      if (!first.done) return false;
      this.head = first.nextInSession;
      if (this.head === null) this.#tail = null;
      const ended = this.#whole === first;
      pendings.give(first);
      // Before what is due behind it.
      if (ended) {
        this.#whole = null;
        session.held.letOut();
      }
    }
    return true;
  }

  /** What a place was kept for. It leaves with the next `settle` that comes so far. */
  fill(place: Pending, reply: Buffer | Pieces): void {
    const pieces = Buffer.isBuffer(reply) ? { parts: [reply], bytes: reply.length } : reply;
    place.parts = [...pieces.parts];
    filled(this.#session.proxy.world, place, pieces);
    place.done = true;
  }

  /** An answer of our own. */
  answered(reply: Buffer): void {
    this.hereBytes += reply.length;
    if (reply[0] === MINUS) this.hereErrors++;
  }

  /** An answer that is whole and has to wait for its turn. */
  queue(reply: Buffer): void {
    const place = this.place(null);
    place.parts = [reply];
    place.done = true;
  }

  /** The places from the next one on are one reply. */
  begin(): void {
    this.#whole = 'open';
  }

  /** All of them are there; `settle` is the caller's. */
  complete(): void {
    const end = this.place(null);
    end.done = true;
    this.#whole = end;
  }

  /** Such a reply is not all with the client. */
  get within(): boolean {
    return this.#whole !== null;
  }

  /** The last record; null: nothing is due. */
  get last(): Pending | null {
    return this.#tail;
  }

  /** A place in the order, to be filled later. */
  place(command: Command | null): Pending {
    const pending = this.#session.proxy.world.pendings.take();
    pending.session = this.#session;
    pending.command = command;
    pending.ordered = true;
    pending.startedAt = this.#session.activeAt;
    this.append(pending);
    return pending;
  }
}
