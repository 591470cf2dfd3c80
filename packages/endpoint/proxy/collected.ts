import { BULK_BYTES } from './limits.ts';
import type { Pieces, ReplySink } from './pending.ts';
import type { Session } from './session.ts';

/** A reply that is put together here, as it comes. Beyond its client's bound nothing of it is kept. */
export class Collected {
  #parts: Buffer[] = [];
  #bytes = 0;
  /** Whose, and what is counted as his: only what is large. */
  #session: Session | null = null;
  #counted = 0;

  get empty(): boolean {
    return this.#bytes === 0;
  }

  /** Copies: the chunk is somebody else's. */
  add(range: Buffer, session: Session | null): void {
    this.#bytes += range.length;
    if (session !== null && (session.gone || this.#bytes > session.state.most)) {
      this.#parts = [];
      this.#count(session, 0);
      return;
    }
    this.#parts.push(Buffer.from(range));
    if (session !== null && this.#bytes > BULK_BYTES) this.#count(session, this.#bytes);
  }

  #count(session: Session, bytes: number): void {
    this.#session = session;
    session.output.before(bytes - this.#counted);
    this.#counted = bytes;
  }

  drop(): void {
    this.#parts = [];
    this.#bytes = 0;
    if (this.#session !== null) this.#count(this.#session, 0);
    this.#session = null;
  }

  /** All of it; null: it was too much. */
  take(): Pieces | null {
    const pieces = { parts: this.#parts, bytes: this.#bytes };
    this.drop();
    return pieces.parts.length === 0 ? null : pieces;
  }
}

/** The reply, taken before, for whoever waits for it. */
export function give(sink: ReplySink, pieces: Pieces | null): void {
  if (pieces === null) return sink.onLost('reply-too-large', true);
  const { parts, bytes } = pieces;
  const [only, second] = parts;
  if (only !== undefined && second === undefined) return sink.onReply(only);
  if (bytes > BULK_BYTES && sink.onPieces?.(pieces) === true) return;
  sink.onReply(Buffer.concat(parts, bytes));
}

/** Messages that wait for the end of a reply that is half written. */
export class HeldMessages {
  readonly #session: Session;
  #messages: Buffer[] = [];
  bytes = 0;

  constructor(session: Session) {
    this.#session = session;
  }

  get empty(): boolean {
    return this.#messages.length === 0;
  }

  push(message: Buffer): void {
    this.#messages.push(message);
    this.bytes += message.length;
    this.#session.output.before(message.length);
  }

  /** Those that must wait on are offered again by whoever takes them. */
  letOut(): void {
    if (this.empty) return;
    const messages = this.#messages;
    this.#messages = [];
    this.#session.output.before(-this.bytes);
    this.bytes = 0;
    for (const message of messages) this.#session.message(message);
  }
}
