/**
 * Finds where replies end, without making values of them: the proxy's view of what an engine sends.
 *
 * `scan` consumes as much of [at, limit) as belongs to the present reply. When the reply ends, `done`
 * is true and the answer is the offset behind it. When the chunk ends first, the answer is how far it
 * got: everything before is consumed for good (it may be forwarded at once), what is behind (at most
 * one header line) must be given again with the bytes that follow. Nothing is buffered here; a reply
 * of a gigabyte costs a few numbers.
 *
 * The engine is trusted not to be hostile, but not to be in sync: a byte that cannot begin a reply
 * sets `broken`, and the connection is given up, because after that every answer would go to the
 * wrong client.
 */
import { MAX_DEPTH, MAX_LINE_BYTES } from './limits.ts';

const CR = 13;
const LF = 10;

export class ReplyScanner {
  done = false;
  broken = false;
  /** First byte of the reply under way; valid from its first header on. */
  kind = 0;
  /** Bytes of the largest string announced within this reply so far. */
  largest = 0;

  /** Bytes of a string that are still to come, its CR LF included. */
  #left = 0;
  /** Open aggregates: how many replies each still misses. */
  #missing = new Float64Array(MAX_DEPTH);
  /** Within a line of text that has not ended: a script may answer megabytes as a status or an error. */
  #line = false;
  #depth = 0;
  #begun = false;

  /** True between two replies: nothing of the next one was consumed. */
  get idle(): boolean {
    return !this.#begun;
  }

  reset(): void {
    this.done = false;
    this.broken = false;
    this.#left = 0;
    this.#depth = 0;
    this.#line = false;
    this.#begun = false;
  }

  scan(bytes: Uint8Array, from: number, limit: number): number {
    let at = from;
    this.done = false;
    if (!this.#begun) this.largest = 0;
    for (;;) {
      if (this.#left > 0) {
        const take = Math.min(this.#left, limit - at);
        this.#left -= take;
        at += take;
        if (this.#left > 0) return at;
        if (this.#closeItem()) return at;
        continue;
      }
      if (at >= limit) return at;
      if (this.#line) {
        const end = endOfText(bytes, at, limit);
        // A CR at the very end may be half of the line's.
        if (end === 0) return bytes[limit - 1] === CR ? limit - 1 : limit;
        this.#line = false;
        at = end;
        if (this.#closeItem()) return at;
        continue;
      }
      const line = endOfLine(bytes, at, limit);
      const kind = bytes[at] ?? 0;
      if (line === 0) {
        const text = kind === 43 || kind === 45 || kind === 40;
        if (limit - at <= MAX_LINE_BYTES) return at;
        if (!text) {
          this.broken = true;
          return at;
        }
        if (!this.#begun) this.kind = kind;
        this.#begun = true;
        this.#line = true;
        continue;
      }
      const attribute = kind === 124;
      if (!this.#begun) {
        this.kind = kind;
        this.#begun = true;
      }
      switch (kind) {
        case 43: // + simple string
        case 45: // - error
        case 58: // : number
        case 95: // _ null
        case 35: // # boolean
        case 44: // , double
        case 40: // ( big number
          at = line;
          if (this.#closeItem()) return at;
          break;
        case 36: // $ string
        case 33: // ! long error
        case 61: {
          // = verbatim string
          const length = lineNumber(bytes, at + 1, line - 2);
          at = line;
          if (length < 0) {
            if (this.#closeItem()) return at;
          } else {
            if (length > this.largest) this.largest = length;
            this.#left = length + 2;
          }
          break;
        }
        case 42: // * array
        case 126: // ~ set
        case 62: // > push
        case 37: // % map
        case 124: {
          // | attribute: pairs, and then the reply they belong to
          let items = lineNumber(bytes, at + 1, line - 2);
          at = line;
          if (kind === 37 || attribute) items *= 2;
          if (attribute) items += 1;
          if (items <= 0) {
            if (this.#closeItem()) return at;
          } else {
            if (this.#depth === this.#missing.length && !this.#deepen()) return at;
            this.#missing[this.#depth++] = items;
          }
          break;
        }
        default:
          this.broken = true;
          return at;
      }
    }
  }

  /** Scripts may nest as deep as the engine's own stack allows, and a lane must survive all of it. */
  #deepen(): boolean {
    if (this.#depth >= MOST_DEPTH) {
      this.broken = true;
      return false;
    }
    const deeper = new Float64Array(this.#missing.length * 2);
    deeper.set(this.#missing);
    this.#missing = deeper;
    return true;
  }

  /** One reply is complete: closes what it completes; true when the outermost one is. */
  #closeItem(): boolean {
    while (this.#depth > 0) {
      const left = (this.#missing[this.#depth - 1] ?? 0) - 1;
      this.#missing[this.#depth - 1] = left;
      if (left > 0) return false;
      this.#depth--;
    }
    this.#begun = false;
    this.done = true;
    return true;
  }
}

/** A Lua engine's stack ends at about 8,000 calls. */
const MOST_DEPTH = 65_536;

/** As `endOfLine`, within a line: `at` may be its LF. */
function endOfText(bytes: Uint8Array, at: number, limit: number): number {
  const lf = bytes.indexOf(LF, at);
  return lf < 0 || lf >= limit ? 0 : lf + 1;
}

/** Behind the LF of the line at `at`, or 0 when it is not all here. */
function endOfLine(bytes: Uint8Array, at: number, limit: number): number {
  for (let i = at + 1; i < limit; i++) {
    if (bytes[i] === LF && bytes[i - 1] === CR) return i + 1;
  }
  return 0;
}

/** The number of a header; -1 for null ('$-1') and for streamed lengths, which engines do not send. */
function lineNumber(bytes: Uint8Array, start: number, end: number): number {
  if (start >= end) return -1;
  let value = 0;
  for (let i = start; i < end; i++) {
    const digit = (bytes[i] ?? 0) - 48;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}
