/**
 * This worker's part of a database's connection limit. The supervisor keeps the book (see
 * `supervision/permit-book.ts`); here permits are used and returned. A connection that finds none
 * waits for the answer to the one question that is under way, so a flood costs one message a turn.
 */
import { PERMIT_SHARE, PERMIT_WAIT_MS, PERMITS_WAITING } from '../limits.ts';

export interface PermitSupplier {
  /** False: there is no supervisor to ask. */
  want(database: string, count: number): boolean;
  giveBack(database: string, count: number, answer: boolean): void;
}

/** Null: admitted. Else the reason of the refusal. */
export type Verdict = (refusal: string | null) => void;

export class PermitPurse {
  readonly #database: string;
  readonly #supplier: PermitSupplier;
  readonly #waiting: Verdict[] = [];
  #batch = 1;
  /** What is this worker's part while nobody keeps the book. */
  #part = 1;
  #used = 0;
  #free = 0;
  #asked = false;
  #timer: NodeJS.Timeout | null = null;

  constructor(database: string, supplier: PermitSupplier) {
    this.#database = database;
    this.#supplier = supplier;
  }

  setLimit(limit: number, workers: number): void {
    this.#part = Math.max(1, Math.floor(limit / workers));
    this.#batch = Math.max(1, Math.floor(limit / (PERMIT_SHARE * workers)));
  }

  /** The verdict may come at once or later, exactly once. */
  take(verdict: Verdict): void {
    if (this.#free > 0 && this.#waiting.length === 0) {
      this.#admit(verdict);
      return;
    }
    if (this.#waiting.length >= PERMITS_WAITING) {
      verdict('too-many-arrivals');
      return;
    }
    this.#waiting.push(verdict);
    this.#ask();
  }

  release(): void {
    this.#used -= 1;
    this.#free += 1;
    this.#serve();
    const spare = this.#free - 2 * this.#batch;
    if (spare > 0) {
      this.#free -= spare;
      this.#supplier.giveBack(this.#database, spare, false);
    }
  }

  granted(count: number): void {
    this.#asked = false;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#free += count;
    this.#serve();
    if (this.#waiting.length === 0) return;
    if (count === 0) this.#refuseAll('max-clients');
    else this.#ask();
  }

  /** Connections that wait for a permit. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** The supervisor is gone, its answers will not come: this worker serves within its part. */
  orphaned(): void {
    this.#free = Math.max(this.#free, this.#part - this.#used);
    this.granted(0);
  }

  /** Another worker has none left. */
  recall(): void {
    const count = this.#free;
    this.#free = 0;
    this.#supplier.giveBack(this.#database, count, true);
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#refuseAll('draining');
  }

  #serve(): void {
    while (this.#free > 0) {
      const verdict = this.#waiting.shift();
      if (verdict === undefined) return;
      this.#admit(verdict);
    }
  }

  #admit(verdict: Verdict): void {
    this.#free -= 1;
    this.#used += 1;
    verdict(null);
  }

  #ask(): void {
    // Who comes while an answer is overdue waits no longer than who came before.
    if (this.#asked) return this.#limitWait();
    const count = Math.max(this.#waiting.length, this.#batch);
    if (!this.#supplier.want(this.#database, count)) {
      this.#refuseAll('max-clients');
      return;
    }
    this.#asked = true;
    this.#limitWait();
  }

  #limitWait(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      this.#refuseAll('permit-timeout');
    }, PERMIT_WAIT_MS);
  }

  #refuseAll(reason: string): void {
    for (const verdict of this.#waiting.splice(0)) verdict(reason);
  }
}
