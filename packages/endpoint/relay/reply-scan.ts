/**
 * Finds the replies in what an engine sends, RESP2 and RESP3, without keeping them.
 *
 * The relay needs two facts: how many complete replies went by, and whether the stream is just
 * between two of them (the only place where a connection may be ended, or a word of our own be
 * written). Pushes are reported apart, because no request waits for them; an attribute belongs to
 * the reply that follows. Streamed aggregates, which no engine of ours sends, and anything else that
 * is not RESP, make the scanner `broken`; it is then never at a boundary.
 */
import { REPLY_DEPTH } from '../limits.ts';

export interface ReplySink {
  reply(isError: boolean): void;
  /** `kind` is the first element, e.g. 'subscribe' or 'message'; '' when it is no short string. */
  push(kind: string): void;
}

const CR = 13;
const KIND_BYTES = 16;
const BULKS = new Set(['$', '!', '='].map(code));
const LINES = new Set(['+', '-', ':', '_', '#', ',', '('].map(code));
/** Elements for each counted one. */
const AGGREGATES = new Map([
  [code('*'), 1],
  [code('~'), 1],
  [code('>'), 1],
  [code('%'), 2],
  [code('|'), 2],
]);
const ERROR = code('-');
const BULK_ERROR = code('!');
const PUSH = code('>');
const ATTRIBUTE = code('|');

type State = 'type' | 'line' | 'line-lf' | 'number' | 'number-lf' | 'body' | 'broken';

export class ReplyScanner {
  readonly #sink: ReplySink;
  #state: State = 'type';
  #type = 0;
  #number = 0;
  #digits = 0;
  #negative = false;
  #bytesLeft = 0;
  /** Values still to come, by depth; empty: at top level. */
  readonly #left: number[] = [];
  #topType = 0;
  /** An attribute went by: the next value is the reply itself. */
  #afterAttribute = false;
  /** First element of a push: not begun, being read, or read. */
  #kindState: 'none' | 'open' | 'read' = 'none';
  readonly #kind = Buffer.allocUnsafe(KIND_BYTES);
  #kindBytes = 0;

  constructor(sink: ReplySink) {
    this.#sink = sink;
  }

  get broken(): boolean {
    return this.#state === 'broken';
  }

  get atBoundary(): boolean {
    return this.#state === 'type' && this.#left.length === 0 && !this.#afterAttribute;
  }

  feed(chunk: Uint8Array): void {
    let at = 0;
    const end = chunk.length;
    while (at < end) {
      switch (this.#state) {
        case 'type':
          this.#start(chunk[at] as number);
          at += 1;
          break;
        case 'line': {
          const cr = chunk.indexOf(CR, at);
          const stop = cr === -1 ? end : cr;
          if (this.#kindState === 'open') this.#keep(chunk, at, stop);
          at = stop + 1;
          if (cr !== -1) this.#state = 'line-lf';
          break;
        }
        case 'number':
          this.#numberByte(chunk[at] as number);
          at += 1;
          break;
        case 'line-lf':
          at += 1;
          this.#valueDone();
          break;
        case 'number-lf':
          at += 1;
          this.#numberDone();
          break;
        case 'body': {
          const take = Math.min(this.#bytesLeft, end - at);
          if (this.#kindState === 'open') {
            this.#keep(chunk, at, at + Math.min(take, this.#bytesLeft - 2));
          }
          this.#bytesLeft -= take;
          at += take;
          if (this.#bytesLeft === 0) this.#valueDone();
          break;
        }
        case 'broken':
          return;
      }
    }
  }

  #start(type: number): void {
    this.#type = type;
    if (this.#left.length === 0) {
      this.#topType = type;
      this.#kindState = 'none';
      this.#kindBytes = 0;
    } else if (type === ATTRIBUTE) {
      this.#state = 'broken'; // inside a value it would not count as an element; none is ever sent
      return;
    } else if (this.#topType === PUSH && this.#kindState === 'none') this.#kindState = 'open';
    if (LINES.has(type)) this.#state = 'line';
    else if (BULKS.has(type) || AGGREGATES.has(type)) {
      this.#state = 'number';
      this.#number = 0;
      this.#digits = 0;
      this.#negative = false;
    } else this.#state = 'broken';
  }

  #numberByte(byte: number): void {
    if (byte === CR && this.#digits > 0) this.#state = 'number-lf';
    else if (byte >= 48 && byte <= 57 && this.#digits < 15) {
      this.#number = this.#number * 10 + (byte - 48);
      this.#digits += 1;
    } else if (byte === 45 && this.#digits === 0 && !this.#negative) this.#negative = true;
    else this.#state = 'broken';
  }

  #numberDone(): void {
    if (this.#negative) {
      this.#valueDone();
      return;
    }
    const each = AGGREGATES.get(this.#type);
    if (each === undefined) {
      this.#bytesLeft = this.#number + 2;
      this.#state = 'body';
      return;
    }
    if (this.#number === 0) {
      this.#valueDone();
      return;
    }
    if (this.#left.length >= REPLY_DEPTH) {
      this.#state = 'broken';
      return;
    }
    this.#left.push(this.#number * each);
    this.#state = 'type';
  }

  #keep(chunk: Uint8Array, from: number, to: number): void {
    for (let i = from; i < to && this.#kindBytes < KIND_BYTES; i += 1) {
      this.#kind[this.#kindBytes] = chunk[i] as number;
      this.#kindBytes += 1;
    }
  }

  #valueDone(): void {
    this.#state = 'type';
    const left = this.#left;
    while (left.length > 0) {
      const last = left.length - 1;
      if (last === 0 && this.#kindState === 'open') this.#kindState = 'read';
      const rest = (left[last] as number) - 1;
      if (rest > 0) {
        left[last] = rest;
        return;
      }
      left.pop();
    }
    if (this.#topType === ATTRIBUTE) {
      this.#afterAttribute = true;
      return;
    }
    if (this.#topType === PUSH) {
      this.#sink.push(this.#kind.toString('latin1', 0, this.#kindBytes));
      return;
    }
    this.#afterAttribute = false;
    this.#sink.reply(this.#topType === ERROR || this.#topType === BULK_ERROR);
  }
}

function code(character: string): number {
  return character.charCodeAt(0);
}
