/**
 * The bytes a lane has sent and not yet had answers for.
 *
 * Commands of all sessions are copied one behind the other into a block; a tick's worth of them is
 * written at once, as a view. A block is used again when everything in it was answered: by then the
 * kernel has long read it. So sending costs one copy and no allocation, and when a lane dies each
 * unanswered command is still at hand.
 */
import { BLOCK_BYTES, BLOCKS_KEPT } from './limits.ts';

export interface Block {
  readonly bytes: Buffer;
  /** Written up to here. */
  fill: number;
  /** Records that lie in it. */
  uses: number;
  /** A view of somebody else's chunk: never filled further, never kept. */
  readonly borrowed: boolean;
}

export class BlockPool {
  #free: Block[] = [];

  take(): Block {
    const block = this.#free.pop();
    if (block !== undefined) return block;
    return { bytes: Buffer.allocUnsafeSlow(BLOCK_BYTES), fill: 0, uses: 0, borrowed: false };
  }

  give(block: Block): void {
    if (block.borrowed || this.#free.length >= BLOCKS_KEPT) return;
    block.fill = 0;
    block.uses = 0;
    this.#free.push(block);
  }
}

export class Journal {
  readonly #pool: BlockPool;
  #current: Block | null = null;
  /** Start of what is not yet handed to `take`, in the current block. */
  #sent = 0;
  /** Earlier pieces that are not written yet. */
  readonly #pieces: Buffer[] = [];
  /** Bytes put in and not yet taken. */
  waiting = 0;
  /** Bytes put in and not yet released. */
  unanswered = 0;
  /** Where the last `put` went. */
  block: Block | null = null;
  from = 0;

  constructor(pool: BlockPool) {
    this.#pool = pool;
  }

  /**
   * Adds bytes; `block` and `from` say where they are, and are used once more from now on. What is
   * longer than a block is not copied, so it must not change any more.
   */
  put(bytes: Buffer, start: number, end: number): void {
    const length = end - start;
    this.waiting += length;
    this.unanswered += length;
    if (length > BLOCK_BYTES) {
      this.#cut();
      const view = bytes.subarray(start, end);
      this.#pieces.push(view);
      this.block = { bytes: view, fill: length, uses: 1, borrowed: true };
      this.from = 0;
      return;
    }
    let current = this.#current;
    if (current === null || current.fill + length > BLOCK_BYTES) {
      this.#cut();
      if (current !== null && current.uses === 0) this.#pool.give(current);
      current = this.#pool.take();
      this.#current = current;
      this.#sent = 0;
    }
    const to = current.bytes;
    const at = current.fill;
    if (length <= 48) for (let i = 0; i < length; i++) to[at + i] = bytes[start + i] ?? 0;
    else bytes.copy(to, at, start, end);
    current.fill = at + length;
    current.uses++;
    this.block = current;
    this.from = at;
  }

  /** The next piece to be written; null when there is nothing. It does not change until it was answered. */
  take(): Buffer | null {
    let piece = this.#pieces.shift();
    if (piece === undefined) {
      this.#cut();
      piece = this.#pieces.pop();
      if (piece === undefined) return null;
    }
    this.waiting -= piece.length;
    return piece;
  }

  /** Everything of one record was answered: of so many bytes. */
  release(block: Block, length: number): void {
    this.unanswered -= length;
    if (--block.uses > 0) return;
    if (block === this.#current) {
      // Answered, therefore sent: unless something was put in since and is not taken yet.
      if (this.#sent === block.fill) {
        block.fill = 0;
        this.#sent = 0;
      }
    } else {
      this.#pool.give(block);
    }
  }

  #cut(): void {
    const current = this.#current;
    if (current === null || current.fill === this.#sent) return;
    this.#pieces.push(current.bytes.subarray(this.#sent, current.fill));
    this.#sent = current.fill;
  }
}
