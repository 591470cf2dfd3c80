/**
 * Finds the requests in what a client sends, without keeping what they carry.
 *
 * The relay passes bytes on untouched; it only has to know how many requests were completed and
 * which of them are not answered one for one. So the scanner steps over arguments by their length
 * and looks at the name; only the few commands in `MARKED` have their first arguments read.
 *
 * It reads as Valkey reads: after a CR one byte is skipped unseen, lengths are strict decimals, an
 * inline request ends at LF, empty requests (`*0`, an empty line) get no answer. What Valkey calls a
 * protocol error makes the scanner `broken`: it counts nothing more, and the engine says why.
 */
import { INLINE_BYTES } from '../limits.ts';

/** Called for each complete request: null for an ordinary one, else name and first arguments. */
export type RequestSink = (marked: readonly string[] | null) => void;

/** Commands whose answers, or whose effect on later answers, are out of the ordinary. */
const MARKED = new Set([
  'AUTH',
  'BLMOVE',
  'BLMPOP',
  'BLPOP',
  'BRPOP',
  'BRPOPLPUSH',
  'BZMPOP',
  'BZPOPMAX',
  'BZPOPMIN',
  'CLIENT',
  'HELLO',
  'MONITOR',
  'PSUBSCRIBE',
  'PUNSUBSCRIBE',
  'QUIT',
  'RESET',
  'SSUBSCRIBE',
  'SUBSCRIBE',
  'SUNSUBSCRIBE',
  'UNSUBSCRIBE',
  'WAIT',
  'WAITAOF',
  'XREAD',
  'XREADGROUP',
]);
const LONGEST_NAME = 12;
/** By length and lower-case first letter: most names are ruled out by one look. */
const MAYBE = new Set([...MARKED].map((name) => shapeOf(name.length, name.charCodeAt(0))));

/** Enough for `HELLO 3 AUTH user password SETNAME name` and `XREADGROUP GROUP g c COUNT n BLOCK`. */
const ARGUMENTS_READ = 8;
const ARGUMENT_BYTES = 64;

const CR = 13;
const LF = 10;
const ZERO = 48;
const MINUS = 45;
const STAR = 42;
const DOLLAR = 36;

type State = 'start' | 'count' | 'dollar' | 'length' | 'body' | 'skip-lf' | 'inline' | 'broken';

export class RequestScanner {
  readonly #sink: RequestSink;
  #state: State = 'start';
  #afterLine: State = 'start';
  #number = 0;
  #digits = 0;
  #negative = false;
  #argumentsLeft = 0;
  #argument = 0;
  /** Of the argument being passed, its CRLF included. */
  #bytesLeft = 0;
  #bodyBytes = 0;
  /** Bytes of the argument being captured; null: not captured. */
  #capture: Buffer | null = null;
  #captured = 0;
  #marked: string[] | null = null;
  #inline = '';

  constructor(sink: RequestSink) {
    this.#sink = sink;
  }

  get broken(): boolean {
    return this.#state === 'broken';
  }

  /** True between two requests: nothing of a next one has been seen. */
  get atBoundary(): boolean {
    return this.#state === 'start';
  }

  feed(chunk: Uint8Array): void {
    let at = 0;
    const end = chunk.length;
    while (at < end) {
      const byte = chunk[at] as number;
      switch (this.#state) {
        case 'body': {
          const take = Math.min(this.#bytesLeft, end - at);
          if (this.#capture !== null) this.#keep(chunk, at, take);
          this.#bytesLeft -= take;
          at += take;
          if (this.#bytesLeft === 0) this.#argumentDone();
          break;
        }
        case 'start':
          at += 1;
          if (byte === STAR) this.#startNumber('count');
          else {
            this.#state = 'inline';
            this.#inline = '';
            at -= 1;
          }
          break;
        case 'count':
        case 'length':
          at += 1;
          this.#numberByte(byte);
          break;
        case 'skip-lf':
          at += 1;
          this.#state = this.#afterLine;
          this.#lineDone();
          break;
        case 'dollar':
          at += 1;
          if (byte === DOLLAR) this.#startNumber('length');
          else this.#state = 'broken';
          break;
        case 'inline':
          at = this.#inlineBytes(chunk, at);
          break;
        case 'broken':
          return;
      }
    }
  }

  #startNumber(state: State): void {
    this.#state = state;
    this.#number = 0;
    this.#digits = 0;
    this.#negative = false;
  }

  #numberByte(byte: number): void {
    if (byte === CR) {
      if (this.#digits === 0) {
        this.#state = 'broken';
        return;
      }
      this.#afterLine = this.#state;
      this.#state = 'skip-lf';
    } else if (byte >= ZERO && byte <= ZERO + 9 && this.#digits < 15) {
      this.#number = this.#number * 10 + (byte - ZERO);
      this.#digits += 1;
    } else if (byte === MINUS && this.#digits === 0 && !this.#negative) this.#negative = true;
    else this.#state = 'broken';
  }

  #lineDone(): void {
    if (this.#state === 'count') {
      if (this.#negative || this.#number === 0) {
        this.#state = 'start';
        return;
      }
      this.#argumentsLeft = this.#number;
      this.#argument = 0;
      this.#marked = null;
      this.#state = 'dollar';
      return;
    }
    if (this.#negative) {
      this.#state = 'broken';
      return;
    }
    this.#bodyBytes = this.#number;
    this.#bytesLeft = this.#number + 2;
    this.#state = 'body';
    const isName = this.#argument === 0;
    const wanted = isName
      ? this.#number <= LONGEST_NAME
      : this.#marked !== null && this.#argument < ARGUMENTS_READ;
    this.#captured = 0;
    if (!wanted) this.#capture = null;
    else this.#capture ??= Buffer.allocUnsafe(ARGUMENT_BYTES);
  }

  #keep(chunk: Uint8Array, at: number, take: number): void {
    const capture = this.#capture;
    if (capture === null) return;
    const body = Math.min(take, this.#bytesLeft - 2, ARGUMENT_BYTES - this.#captured);
    for (let i = 0; i < body; i += 1) capture[this.#captured + i] = chunk[at + i] as number;
    if (body > 0) this.#captured += body;
  }

  #argumentDone(): void {
    const capture = this.#capture;
    if (capture !== null) {
      if (this.#argument > 0) {
        this.#marked?.push(capture.toString('utf8', 0, this.#captured));
      } else if (MAYBE.has(shapeOf(this.#bodyBytes, capture[0] ?? 0))) {
        const name = capture.toString('latin1', 0, this.#captured).toUpperCase();
        if (MARKED.has(name)) this.#marked = [name];
      }
    }
    this.#argument += 1;
    this.#argumentsLeft -= 1;
    if (this.#argumentsLeft > 0) {
      this.#state = 'dollar';
      return;
    }
    this.#state = 'start';
    const marked = this.#marked;
    this.#marked = null;
    this.#sink(marked);
  }

  #inlineBytes(chunk: Uint8Array, at: number): number {
    const lf = chunk.indexOf(LF, at);
    const stop = lf === -1 ? chunk.length : lf;
    if (this.#inline.length + (stop - at) > INLINE_BYTES) {
      this.#state = 'broken';
      return chunk.length;
    }
    this.#inline += Buffer.from(chunk.buffer, chunk.byteOffset + at, stop - at).toString('latin1');
    if (lf === -1) return stop;
    const words = this.#inline.trim().split(/\s+/);
    this.#inline = '';
    this.#state = 'start';
    const name = words[0]?.toUpperCase() ?? '';
    if (name !== '') {
      this.#sink(MARKED.has(name) ? [name, ...words.slice(1, ARGUMENTS_READ)] : null);
    }
    return stop + 1;
  }
}

function shapeOf(length: number, firstByte: number): number {
  return length * 256 + (firstByte | 32);
}
