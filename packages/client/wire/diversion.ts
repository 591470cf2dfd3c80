/**
 * A reply that goes somewhere else than into the client library's parser.
 *
 * A large value in chunks is some hundred replies of 64 KB. Through the library each becomes an object,
 * mostly joined from pieces of two reads, that is then copied to its place in the value: half of the
 * time and of the garbage of such a read. But the kit stands at the socket anyway and knows from the
 * queue whose reply begins. So where a call names a place for its reply, the payload is copied there
 * as it arrives, and the library is given an empty string in its stead: its queues, its promises and
 * its errors stay as they are. Only a bulk string is diverted; null, an error or anything else
 * passes, and the caller sees from `ended` that nothing came this way.
 */
import type { ReplyScanner } from './scanner.ts';

/** Where the payload of a reply goes. Called in order; `begin` again after a lost connection. */
export interface ReplyInto {
  begin(bytes: number): void;
  /** `chunk[from..to)` comes next. The chunk belongs to the socket: copy it. */
  write(chunk: Buffer, from: number, to: number): void;
  end(): void;
}

/**
 * Gives bytes to the library's parser. `lasting`: they are nobody else's and may be kept; others may be the
 * socket's, which are valid now only.
 */
export type Forward = (piece: Buffer, lasting?: boolean) => void;

const DOLLAR = 36;
const LF = 10;
const CRLF_BYTES = 2;
/** `$`, twenty digits, CRLF: a longer header is no header. */
const HEADER_BYTES_MAX = 23;
const EMPTY_STRING = Buffer.from('$0\r\n\r\n');
const nothing = Buffer.alloc(0);

export class Diversion {
  readonly #scanner: ReplyScanner;
  readonly #atHead: () => ReplyInto | undefined;
  #into: ReplyInto | undefined;
  /** Of the reply that is being diverted: payload and CRLF still to come. */
  #left = 0;
  /** Of a reply that may be diverted: the part of its header that has come. */
  #header: Buffer = nothing;

  /** `atHead`: where the reply that the next bytes belong to is wanted. */
  constructor(scanner: ReplyScanner, atHead: () => ReplyInto | undefined) {
    this.#scanner = scanner;
    this.#atHead = atHead;
  }

  reset(): void {
    this.#into = undefined;
    this.#left = 0;
    this.#header = nothing;
  }

  /** All of `chunk` passes the scanner; `forward` gets what is not diverted, in order. */
  received(chunk: Buffer, forward: Forward): void {
    const end = chunk.length;
    let at = 0;
    let kept = 0;
    while (at < end) {
      if (this.#left > 0) {
        at = this.#payload(chunk, at, end);
        if (this.#left === 0) forward(EMPTY_STRING, true);
        kept = at;
        continue;
      }
      const between = this.#scanner.partial === 0;
      const into = between || this.#header.length > 0 ? this.#atHead() : undefined;
      if (into === undefined || (between && chunk[at] !== DOLLAR)) {
        at = this.#scanner.walk(chunk, at, end, true);
        continue;
      }
      if (kept < at) forward(chunk.subarray(kept, at));
      const from = at;
      const lf = chunk.indexOf(LF, at);
      at = lf < 0 ? end : lf + 1;
      kept = at;
      const header = this.#joined(chunk, from, at);
      this.#scanner.walk(chunk, from, at, true);
      if (lf < 0 && header.length < HEADER_BYTES_MAX) {
        this.#header = header;
        continue;
      }
      this.#header = nothing;
      const bytes = lengthOf(header);
      if (bytes === undefined) forward(header);
      else this.#begin(into, bytes);
    }
    if (kept < end) forward(kept === 0 ? chunk : chunk.subarray(kept));
  }

  #joined(chunk: Buffer, from: number, to: number): Buffer {
    const piece = chunk.subarray(from, to);
    // A copy where it outlives the chunk, which is the socket's.
    return this.#header.length === 0 && chunk[to - 1] === LF
      ? piece
      : Buffer.concat([this.#header, piece]);
  }

  #begin(into: ReplyInto, bytes: number): void {
    this.#into = into;
    this.#left = bytes + CRLF_BYTES;
    into.begin(bytes);
  }

  #payload(chunk: Buffer, at: number, end: number): number {
    const step = Math.min(this.#left, end - at);
    const data = Math.min(step, this.#left - CRLF_BYTES);
    if (data > 0) this.#into?.write(chunk, at, at + data);
    this.#left -= step;
    if (this.#left === 0) {
      this.#into?.end();
      this.#into = undefined;
    }
    this.#scanner.walk(chunk, at, at + step, true);
    return at + step;
  }
}

/** Bytes of the payload that a whole header announces; undefined: null, or no header of a string. */
function lengthOf(header: Buffer): number | undefined {
  const digits = header.toString('latin1', 1, header.length - CRLF_BYTES);
  return header.at(-1) === LF && /^\d+$/.test(digits) ? Number(digits) : undefined;
}
