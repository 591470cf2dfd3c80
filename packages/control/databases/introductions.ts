/**
 * When somebody who should have heard who is what now is told: once some time has passed, and then again
 * and again. The first words are often on their way still, and an introduction may be lost.
 */
import { INTRODUCED_MS, UNHEARD_MS } from './limits.ts';

export class Introductions {
  #dueAt: number;

  /** `now`: ms of the clock that goes only forward, as in `due`. */
  constructor(now: number) {
    this.#dueAt = now + UNHEARD_MS;
  }

  /** True if it is time for one; it is taken to be made. */
  due(now: number): boolean {
    if (now < this.#dueAt) return false;
    this.#dueAt = now + INTRODUCED_MS;
    return true;
  }
}
