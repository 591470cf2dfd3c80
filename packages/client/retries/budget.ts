/**
 * Retries are load, and they come when the server has least to spare. So a process has a budget: a
 * share of its calls may be repeated, and a few in a burst; beyond it the first error is the answer.
 *
 * The share is of the calls of the last seconds, not of a fixed number: when a connection ends with a
 * thousand reads on it, a process that makes fifty thousand a second may repeat them all, and one that
 * has made only these may not.
 */
import { atLeastNothing, check } from '../checks.ts';
import { RETRY_BUDGET_BURST, RETRY_BUDGET_RATIO, RETRY_BUDGET_WINDOW_MS } from '../limits.ts';

export class RetryBudget {
  readonly #ratio: number;
  readonly #burst: number;
  #tokens: number;
  /** What this window and the one before it have paid in. */
  #earned = 0;
  #earnedBefore = 0;
  #windowStart = 0;

  constructor(ratio: number = RETRY_BUDGET_RATIO, burst: number = RETRY_BUDGET_BURST) {
    check('RetryBudget', ratio, atLeastNothing, 'the share');
    check('RetryBudget', burst, atLeastNothing, 'the burst');
    this.#ratio = ratio;
    this.#burst = burst;
    this.#tokens = burst;
  }

  /** A call that was answered pays in. */
  earn(now: number): void {
    const sinceStart = now - this.#windowStart;
    if (sinceStart >= RETRY_BUDGET_WINDOW_MS) {
      this.#earnedBefore = sinceStart < 2 * RETRY_BUDGET_WINDOW_MS ? this.#earned : 0;
      this.#earned = 0;
      this.#windowStart = now;
      this.#tokens = Math.min(this.#tokens, this.#most);
    }
    this.#earned += this.#ratio;
    if (this.#tokens < this.#most) this.#tokens += this.#ratio;
  }

  get #most(): number {
    return Math.max(this.#burst, this.#earnedBefore + this.#earned);
  }

  /** True if a repetition may be made. */
  spend(): boolean {
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  get left(): number {
    return Math.floor(this.#tokens);
  }
}

/** The one of this process, unless options bring their own. */
export const processBudget = new RetryBudget();
