/**
 * One chunk on its way from the socket into its place in the value.
 *
 * A reply that comes after its caller was told that it does not (a deadline, an abort) has no place any more: the
 * memory is the reader's again, and maybe another value's.
 *
 * Whether it lies there as it is shows in its length and its flag; a chunk that was deflated, or is not
 * what the manifest says, is collected instead and judged like any other reply.
 */
import type { ReplyInto } from '../wire/diversion.ts';
import { crc32 } from './crc.ts';
import { CRC_BYTES, FLAG_BYTES, PLAIN } from './manifest.ts';

const flagCrc = crc32(Buffer.of(PLAIN));

export class ChunkInto implements ReplyInto {
  #target: Buffer | undefined;
  readonly #at: number;
  readonly #length: number;
  /** Bytes of the payload that have come. */
  #come = 0;
  /** The checksum that came with it. */
  #crc = 0;
  /** Of what has come so far: reckoned piece by piece, while the piece is still in the processor's cache. */
  #reckoned = flagCrc;
  #plain = false;
  #collected: Buffer | undefined;
  /** A reply came this way to its end. */
  ended = false;

  /** `length` bytes of the value belong at `target[at]`. */
  constructor(target: Buffer, at: number, length: number) {
    this.#target = target;
    this.#at = at;
    this.#length = length;
  }

  begin(bytes: number): void {
    this.#come = 0;
    this.#crc = 0;
    this.#reckoned = flagCrc;
    this.#plain = false;
    this.ended = false;
    const asItIs = bytes === FLAG_BYTES + this.#length + CRC_BYTES;
    this.#collected = asItIs || this.#target === undefined ? undefined : Buffer.allocUnsafe(bytes);
  }

  /** Nobody waits for it any more: nothing is written from now on. */
  leave(): void {
    this.#target = undefined;
    this.#collected = undefined;
  }

  write(chunk: Buffer, from: number, to: number): void {
    const target = this.#target;
    if (target === undefined) return;
    if (this.#collected !== undefined) {
      this.#come += chunk.copy(this.#collected, this.#come, from, to);
      return;
    }
    let at = from;
    if (this.#come === 0) {
      this.#plain = chunk[at] === PLAIN;
      at += 1;
      this.#come = 1;
    }
    const left = FLAG_BYTES + this.#length - this.#come;
    if (left > 0 && at < to) {
      const data = Math.min(left, to - at);
      chunk.copy(target, this.#at + this.#come - FLAG_BYTES, at, at + data);
      this.#reckoned = crc32(chunk.subarray(at, at + data), this.#reckoned);
      at += data;
      this.#come += data;
    }
    for (; at < to; at += 1) {
      this.#crc = ((this.#crc << 8) | (chunk[at] as number)) >>> 0;
      this.#come += 1;
    }
  }

  end(): void {
    this.ended = true;
  }

  /** It lies in its place, as it was written. */
  get whole(): boolean {
    if (!this.ended || !this.#plain || this.#collected !== undefined) return false;
    return this.#reckoned === this.#crc;
  }

  /** What came instead; an empty one is no chunk. */
  get packed(): Buffer {
    return this.#collected ?? Buffer.alloc(0);
  }
}
