/** The bytes of a command that is not complete: grown as they come, looked at once. */
import { MAX_INLINE_BYTES } from '../../resp/limits.ts';
import {
  FULL_BOUNDS,
  type RequestBounds,
  RequestScanner,
  SCAN_MORE,
} from '../../resp/scan-request.ts';
import {
  PARTIAL_BYTES_ALL,
  UNAUTHENTICATED_ARGUMENTS,
  UNAUTHENTICATED_BULK_BYTES,
  UNAUTHENTICATED_BYTES,
} from './limits.ts';

export const BEFORE_LOGIN: RequestBounds = {
  maxArguments: UNAUTHENTICATED_ARGUMENTS,
  maxBulkBytes: UNAUTHENTICATED_BULK_BYTES,
};

export const NOTHING = Buffer.alloc(0);

export class PartialCommand {
  readonly #scanner = new RequestScanner();
  #bytes: Buffer;
  #needed = 0;
  length: number;

  constructor(begun: Buffer, bounds: RequestBounds) {
    this.length = begun.length;
    this.#bytes = Buffer.from(begun.subarray(0, Math.min(this.length, mostOf(bounds))));
    this.#scanner.scan(this.#bytes, 0, this.#bytes.length, bounds);
    this.#needed = this.#scanner.needed;
  }

  /**
   * Adds what came. Answers all bytes as soon as the first command in them is complete, or the
   * stream is broken, or there is no room for more (then the caller's scan says what is wrong).
   */
  add(chunk: Buffer, bounds: RequestBounds, allPartialBytes: number): Buffer | null {
    const total = this.length + chunk.length;
    const most = mostOf(bounds);
    if (allPartialBytes > PARTIAL_BYTES_ALL || this.length > most) {
      this.length = total;
      return this.#tooMuch;
    }
    if (total > this.#bytes.length) {
      // Doubling, but never by what a header announces: a header costs its sender nothing.
      const grown = Buffer.allocUnsafeSlow(Math.max(total, this.#bytes.length * 2));
      this.#bytes.copy(grown, 0, 0, this.length);
      this.#bytes = grown;
    }
    chunk.copy(this.#bytes, this.length);
    this.length = total;
    if (total >= this.#needed) {
      const found = this.#scanner.scan(this.#bytes, 0, total, bounds);
      this.#needed = this.#scanner.needed;
      if (found !== SCAN_MORE) return this.#bytes.subarray(0, total);
    }
    // Only what is unfinished counts: a chunk may bring the end of one command and many whole ones.
    return total > most ? this.#tooMuch : null;
  }

  /** Scans as broken: the session ends with a protocol error. */
  get #tooMuch(): Buffer {
    return this.#bytes[0] === STAR ? TOO_MANY_BYTES : TOO_LONG_LINE;
  }
}

/** Strangers get little. */
function mostOf(bounds: RequestBounds): number {
  return bounds === FULL_BOUNDS ? PARTIAL_BYTES_ALL : UNAUTHENTICATED_BYTES;
}

const STAR = 42;
const TOO_MANY_BYTES = Buffer.from('*1\r\n!too many bytes of unfinished commands\r\n');
const TOO_LONG_LINE = Buffer.alloc(MAX_INLINE_BYTES + 1, 'x');
