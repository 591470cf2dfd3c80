/** Of each slot: how many calls are under way, and to which node. A slot's calls are under way to one node at a time. */
import type { IoCall } from './ioredis-call.ts';
import type { IoRedis } from './ioredis-shape.ts';

const SLOTS = 16_384;

export class UnderWay {
  readonly #count = new Uint32Array(SLOTS);
  readonly #at = new Array<IoRedis | undefined>(SLOTS);
  /** Of those the last one, by when it was asked for. */
  readonly #last = new Float64Array(SLOTS);

  /** Nothing of the slot is under way to another node; `behind`: and nothing that was asked for later than this. */
  takes(slot: number, node: IoRedis, behind: number): boolean {
    if (this.#count[slot] === 0) return true;
    return this.#at[slot] === node && (this.#last[slot] ?? 0) <= behind;
  }

  begin(call: IoCall, slot: number, node: IoRedis): void {
    const count = this.#count[slot] ?? 0;
    this.#last[slot] = count === 0 ? call.asked : Math.max(this.#last[slot] ?? 0, call.asked);
    this.#count[slot] = count + 1;
    this.#at[slot] = node;
  }

  /** True: it was the last one of its slot. */
  end(slot: number, node: IoRedis): boolean {
    const count = this.#count[slot] ?? 0;
    if (count === 0 || this.#at[slot] !== node) return false;
    this.#count[slot] = count - 1;
    return count === 1;
  }

  /** Its connection is gone, with all that was on it. */
  forget(node: IoRedis): void {
    for (let slot = 0; slot < SLOTS; slot += 1) {
      if (this.#at[slot] !== node) continue;
      this.#at[slot] = undefined;
      this.#count[slot] = 0;
    }
  }
}
