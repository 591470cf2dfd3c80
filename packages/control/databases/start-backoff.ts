/** An engine that does not come up is started again, later each time. */
import type { Clock } from './clock.ts';
import { START_BACKOFF_MAX_MS, START_BACKOFF_MS } from './limits.ts';

export class StartBackoff {
  /** In ticks. */
  notBefore = 0;
  #failures = 0;
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  failed(): void {
    const delay = Math.min(START_BACKOFF_MS * 2 ** this.#failures, START_BACKOFF_MAX_MS);
    this.#failures++;
    this.notBefore = this.#clock.ticks() + delay;
  }

  succeeded(): void {
    this.#failures = 0;
    this.notBefore = 0;
  }
}
