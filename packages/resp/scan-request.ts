/**
 * Finds where a client's commands begin and end, without making anything of them.
 *
 * A proxy that parses each command into strings and encodes it again spends its time on garbage. All
 * it needs is: which command, where its arguments lie, where it ends; the bytes go on as they came.
 * So the scanner writes offsets into arrays that it reuses and answers with a number.
 *
 * Two demands pull apart: the common case (a chunk full of whole commands) must cost nanoseconds, and
 * a command that comes in a thousand pieces must not be read from its start a thousand times. So the
 * state of an unfinished command lives in the scanner: `scan` on a longer buffer with the same start
 * goes on where it stopped. The caller keeps the bytes and gives the command back with the same
 * beginning; `needed` says how many bytes there must be before another look can help.
 *
 * It is stricter than the engine where the engine skips bytes unseen (the CR LF after a string):
 * what is forwarded must mean the same to both, or a client could hide one command inside another.
 */
import { MAX_ARGUMENTS, MAX_BULK_BYTES, MAX_INLINE_BYTES, MAX_REQUEST_BYTES } from './limits.ts';

export const SCAN_MORE = 0;
/** A command with at least one argument; its ranges are in `starts` and `ends`. */
export const SCAN_COMMAND = 1;
/** An inline command: the line lies in [lineStart, lineEnd); `end` is behind it. */
export const SCAN_INLINE = 2;
/** Nothing to execute (an empty line, an empty array): `end` is behind it. */
export const SCAN_EMPTY = 3;
/** `problem` holds the engine's own text, as latin1. The connection cannot go on. */
export const SCAN_BROKEN = 4;

const CR = 13;
const LF = 10;
const STAR = 42;
const DOLLAR = 36;
const MINUS = 45;

/** More arguments than the engine could count. */
const LARGEST_COUNT = 2 ** 31 - 1;

/** Digits of the longest number that is looked at: the engine's own line limit is longer, its numbers are not. */
const NUMBER_BYTES = 32;

/** Longer arguments than ten times this are no part of a run that is worth a short way. */
const ALIKE_BYTES = 9999;

export interface RequestBounds {
  readonly maxArguments: number;
  readonly maxBulkBytes: number;
}

export const FULL_BOUNDS: RequestBounds = {
  maxArguments: MAX_ARGUMENTS,
  maxBulkBytes: MAX_BULK_BYTES,
};

export class RequestScanner {
  /** Number of arguments of the command found, its name included. */
  count = 0;
  /** Offsets of the arguments in the scanned buffer; only the first `count` are valid. */
  starts = new Int32Array(64);
  ends = new Int32Array(64);
  /** Behind the last byte of what was found. */
  end = 0;
  lineStart = 0;
  lineEnd = 0;
  problem = '';
  /** After SCAN_MORE: the buffer must reach at least to this offset before another scan can help. */
  needed = 0;
  /** After SCAN_MORE: length of the largest argument announced so far, so that bulk shows early. */
  largest = 0;

  #begun = -1;
  #at = 0;
  #announced = 0;
  #value = 0;
  /** How far an unfinished line was read. */
  #inlineStart = -1;
  #inlineAt = 0;

  /** Forgets an unfinished command. */
  reset(): void {
    this.#begun = -1;
    this.#inlineStart = -1;
  }

  scan(bytes: Uint8Array, start: number, limit: number, bounds: RequestBounds): number {
    let at: number;
    if (this.#begun === start) {
      at = this.#at;
    } else {
      if (start >= limit) return this.#more(start, start + 1);
      if (bytes[start] !== STAR) return this.#inline(bytes, start, limit);
      at = this.#number(bytes, start + 1, limit, 'multibulk');
      if (at <= 0) return this.#stopped(at, start, limit);
      if (this.#value > bounds.maxArguments) {
        return this.#broken(
          bounds.maxArguments < MAX_ARGUMENTS && this.#value <= LARGEST_COUNT
            ? 'Protocol error: unauthenticated multibulk length'
            : 'Protocol error: invalid multibulk length',
        );
      }
      if (this.#value <= 0) {
        this.end = at;
        return SCAN_EMPTY;
      }
      this.#announced = this.#value;
      this.count = 0;
      this.largest = 0;
    }

    const announced = this.#announced;
    let count = this.#begun === start ? this.count : 0;
    while (count < announced) {
      if (at >= limit) return this.#pause(start, at, count, at + 4);
      if (bytes[at] !== DOLLAR) {
        return this.#broken(`Protocol error: expected '$', got '${shown(bytes[at] ?? 0)}'`);
      }
      // Lengths of one and two digits, which is most of them, are read in place.
      let length: number;
      let body: number;
      const first = (bytes[at + 1] ?? 0) - 48;
      const second = bytes[at + 2] ?? 0;
      if (at + 5 <= limit && first >= 0 && first <= 9 && second === CR && bytes[at + 3] === LF) {
        length = first;
        body = at + 4;
      } else if (
        at + 5 <= limit &&
        first >= 1 &&
        first <= 9 &&
        second >= 48 &&
        second <= 57 &&
        bytes[at + 3] === CR &&
        bytes[at + 4] === LF
      ) {
        length = first * 10 + second - 48;
        body = at + 5;
      } else {
        body = this.#number(bytes, at + 1, limit, 'bulk');
        if (body <= 0) {
          if (body < 0) return SCAN_BROKEN;
          return this.#pause(start, at, count, limit + 1);
        }
        length = this.#value;
        if (length < 0) return this.#broken('Protocol error: invalid bulk length');
        if (length > bounds.maxBulkBytes) {
          return this.#broken(
            bounds.maxBulkBytes < MAX_BULK_BYTES && length <= MAX_BULK_BYTES
              ? 'Protocol error: unauthenticated bulk length'
              : 'Protocol error: invalid bulk length',
          );
        }
        if (length > this.largest) this.largest = length;
      }
      const after = body + length;
      if (after + 2 - start > MAX_REQUEST_BYTES) {
        return this.#broken('Protocol error: the command is longer than 1 GB');
      }
      if (after + 2 > limit) return this.#pause(start, at, count, after + 2);
      if (bytes[after] !== CR || bytes[after + 1] !== LF) {
        return this.#broken('Protocol error: invalid CRLF in request');
      }
      if (count >= this.starts.length) this.#grow(announced);
      this.starts[count] = body;
      this.ends[count] = after;
      count++;
      at = after + 2;
    }
    this.count = count;
    this.end = at;
    this.#begun = -1;
    return SCAN_COMMAND;
  }

  /**
   * Whether a whole command stands at `start` that is like the one just found at `before`: its name
   * spelled alike, as many arguments. Then `starts`, `ends` and `end` are its own. False says nothing;
   * `scan` does. A pipeline is mostly such commands, and this costs a third.
   */
  again(bytes: Uint8Array, before: number, start: number, limit: number): boolean {
    const { starts, ends, count } = this;
    const head = (ends[0] ?? 0) + 2 - before;
    if (start + head > limit) return false;
    for (let i = 0; i < head; i++) if (bytes[start + i] !== bytes[before + i]) return false;
    const name = (starts[0] ?? 0) - before;
    let at = start + head;
    for (let i = 1; i < count; i++) {
      if (bytes[at] !== DOLLAR) return false;
      let length = (bytes[at + 1] ?? 0) - 48;
      if (length < 0 || length > 9) return false;
      let body = at + 2;
      for (; bytes[body] !== CR; body++) {
        const digit = (bytes[body] ?? 0) - 48;
        if (digit < 0 || digit > 9 || length === 0 || length > ALIKE_BYTES) return false;
        length = length * 10 + digit;
      }
      if (bytes[body + 1] !== LF) return false;
      body += 2;
      const after = body + length;
      if (after + 2 > limit || bytes[after] !== CR || bytes[after + 1] !== LF) return false;
      starts[i] = body;
      ends[i] = after;
      at = after + 2;
    }
    starts[0] = start + name;
    ends[0] = start + head - 2;
    this.end = at;
    return true;
  }

  /** A decimal number up to CR LF. Answers the offset behind it, 0 for "more", -1 for broken. */
  #number(bytes: Uint8Array, start: number, limit: number, what: string): number {
    let at = start;
    let negative = false;
    if (at < limit && bytes[at] === MINUS) {
      negative = true;
      at++;
    }
    const digits = at;
    let value = 0;
    for (; at < limit; at++) {
      const byte = bytes[at] ?? 0;
      if (byte === CR) break;
      const digit = byte - 48;
      const leadingZero = at > digits && value === 0;
      const tooLong = at - digits >= NUMBER_BYTES;
      if (digit < 0 || digit > 9 || leadingZero || tooLong) {
        // The engine says so when it has waited for 64 KB of such a line: here nobody has to keep them.
        this.problem =
          tooLong && bytes.subarray(at, limit).indexOf(CR) < 0
            ? `Protocol error: too big ${what === 'multibulk' ? 'mbulk' : what} count string`
            : `Protocol error: invalid ${what} length`;
        return -1;
      }
      value = value * 10 + digit;
    }
    if (at + 1 >= limit) return 0;
    const minusZero = negative && value === 0;
    if (at === digits || minusZero || bytes[at + 1] !== LF) {
      this.problem = `Protocol error: invalid ${what} length`;
      return -1;
    }
    this.#value = negative ? -value : value;
    return at + 2;
  }

  #inline(bytes: Uint8Array, start: number, limit: number): number {
    let at = this.#inlineStart === start ? this.#inlineAt : start;
    while (at < limit && bytes[at] !== LF) at++;
    if (at === limit) {
      // One that ends in what has come by then may be longer, as in the engine.
      if (limit - start > MAX_INLINE_BYTES) {
        return this.#broken('Protocol error: too big inline request');
      }
      this.#inlineStart = start;
      this.#inlineAt = at;
      return this.#more(start, limit + 1);
    }
    this.#inlineStart = -1;
    this.lineStart = start;
    this.lineEnd = at > start && bytes[at - 1] === CR ? at - 1 : at;
    this.end = at + 1;
    for (let i = start; i < this.lineEnd; i++) {
      if (!isSpace(bytes[i] ?? 0)) return SCAN_INLINE;
    }
    return SCAN_EMPTY;
  }

  #stopped(result: number, start: number, limit: number): number {
    return result < 0 ? SCAN_BROKEN : this.#more(start, limit + 1);
  }

  #more(start: number, needed: number): number {
    this.#begun = -1;
    this.needed = Math.max(needed, start + 1);
    this.largest = 0;
    return SCAN_MORE;
  }

  #pause(start: number, at: number, count: number, needed: number): number {
    this.#begun = start;
    this.#at = at;
    this.count = count;
    this.needed = needed;
    return SCAN_MORE;
  }

  #broken(problem: string): number {
    this.#begun = -1;
    this.problem = problem;
    return SCAN_BROKEN;
  }

  /** Grows with what has really come, never by what a header announces. */
  #grow(announced: number): void {
    const size = Math.min(Math.max(announced, 64), this.starts.length * 2);
    const starts = new Int32Array(size);
    const ends = new Int32Array(size);
    starts.set(this.starts);
    ends.set(this.ends);
    this.starts = starts;
    this.ends = ends;
  }
}

function isSpace(byte: number): boolean {
  return byte === 32 || (byte >= 9 && byte <= 13);
}

/** One byte of latin1; a line never ends within an error. */
function shown(byte: number): string {
  return byte === CR || byte === LF ? ' ' : String.fromCharCode(byte);
}
