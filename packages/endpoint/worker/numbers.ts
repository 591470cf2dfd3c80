/**
 * Numbers of connections, which clients see as CLIENT ID. The supervisor hands them out in blocks, so
 * that no two workers use the same one. Without a supervisor, and with its block used up, a worker goes
 * on in a range that its pid makes its own.
 */
import { NUMBERS_A_BLOCK } from '../limits.ts';

/** Beyond anything that a supervisor hands out, and pid * OWN_RANGE stays below 2^53. */
const OWN_RANGE = 2 ** 30;

export class Numbers {
  readonly #ask: () => boolean;
  readonly #blocks: number[] = [];
  #next = 0;
  #end = 0;
  #own = 0;
  #asked = true;

  /** `ask` wishes for another block; a worker's first one comes unasked. */
  constructor(ask: () => boolean) {
    this.#ask = ask;
  }

  give(first: number): void {
    this.#asked = false;
    this.#blocks.push(first);
  }

  next(): number {
    if (this.#next === this.#end) {
      const first = this.#blocks.shift();
      if (first === undefined) return process.pid * OWN_RANGE + ++this.#own;
      this.#next = first;
      this.#end = first + NUMBERS_A_BLOCK;
    }
    const left = this.#end - this.#next;
    if (!this.#asked && this.#blocks.length === 0 && left <= NUMBERS_A_BLOCK / 2) {
      this.#asked = this.#ask();
    }
    return this.#next++;
  }
}
