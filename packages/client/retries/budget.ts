/**
 * Retries are load, and they come when the server has least to spare. So a process has a budget: a
 * share of its calls may be repeated, and a few in a burst; beyond it the first error is the answer.
 */
import { atLeastNothing, check } from '../checks.ts';
import { RETRY_BUDGET_BURST, RETRY_BUDGET_RATIO } from '../limits.ts';

export class RetryBudget {
  readonly #ratio: number;
  readonly #burst: number;
  #tokens: number;

  constructor(ratio: number = RETRY_BUDGET_RATIO, burst: number = RETRY_BUDGET_BURST) {
    check('RetryBudget', ratio, atLeastNothing, 'the share');
    check('RetryBudget', burst, atLeastNothing, 'the burst');
    this.#ratio = ratio;
    this.#burst = burst;
    this.#tokens = burst;
  }

  /** A call that was answered pays in. */
  earn(): void {
    if (this.#tokens < this.#burst) this.#tokens += this.#ratio;
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
