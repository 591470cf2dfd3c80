/**
 * A large string reaches the library in one piece.
 *
 * A reply of 10 MB comes in some 160 reads. A client library keeps them all and joins them when the
 * last one is there: twice the memory, and 10 MB copied in the one turn of the event loop in which
 * other connections' replies wait to be read. The header says how much will come, so here each read
 * is copied to its place at once, and the library is given the whole reply, which it takes as it is.
 * Only strings that are the whole reply, and whose header was not cut; all else passes as it comes.
 */
import { GATHER_BYTES_MAX, GATHER_BYTES_MIN } from '../limits.ts';

const DOLLAR = 36;
const nothing = Buffer.alloc(0);

export class Gather {
  #whole: Buffer | undefined;
  #filled = 0;

  /** A reply is being gathered: what comes next belongs to it. */
  get on(): boolean {
    return this.#whole !== undefined;
  }

  reset(): void {
    this.#whole = undefined;
  }

  /**
   * `chunk` ends in the middle of a reply: `partial` bytes of it, `bytes` in all by its header (0: no
   * whole header yet). Answers whether it keeps these.
   */
  begin(chunk: Buffer, partial: number, bytes: number): boolean {
    if (bytes < GATHER_BYTES_MIN || bytes > GATHER_BYTES_MAX || partial > chunk.length)
      return false;
    const from = chunk.length - partial;
    if (chunk[from] !== DOLLAR) return false;
    this.#whole = Buffer.allocUnsafeSlow(bytes);
    this.#filled = chunk.copy(this.#whole, 0, from);
    return true;
  }

  /** Takes what belongs to the reply from the front of `chunk`; answers how much. */
  take(chunk: Buffer): number {
    const taken = chunk.copy(this.#whole ?? nothing, this.#filled);
    this.#filled += taken;
    return taken;
  }

  /** The reply, once, when it is complete. */
  done(): Buffer | undefined {
    const whole = this.#whole;
    if (whole === undefined || this.#filled < whole.length) return undefined;
    this.#whole = undefined;
    return whole;
  }
}
