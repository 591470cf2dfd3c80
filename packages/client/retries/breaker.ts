/**
 * A circuit breaker an endpoint. When most calls of the last moments failed, asking again only makes
 * callers wait: calls are refused at once, until a single probe got through.
 *
 * closed -> open: at least `minCalls` in the window and the failed share reached the ratio.
 * open -> half-open: after `openMs`. half-open: one call goes, the others are refused; its success
 * closes the circuit, its failure opens it again (for twice as long, up to eight times). A probe may end
 * without having asked the server (aborted, refused here, too long without a connection), or never (a
 * blocking command): then it proved nothing, and the next call is the probe.
 *
 * With no connection at all there is nobody to ask, and a probe would be one more call that waits in vain: all
 * are refused. The connection that comes ends the pause: the next call is the probe, however much of it was left.
 */
import {
  BREAKER_AWAY_MS,
  BREAKER_FAILURE_RATIO,
  BREAKER_MIN_CALLS,
  BREAKER_OPEN_MS,
  BREAKER_WINDOW_MS,
} from '../limits.ts';

export interface BreakerOptions {
  readonly windowMs?: number;
  readonly minCalls?: number;
  readonly failureRatio?: number;
  readonly openMs?: number;
}

export type BreakerState = 'closed' | 'open' | 'half-open';

export class CircuitBreaker {
  readonly #windowMs: number;
  readonly #minCalls: number;
  readonly #ratio: number;
  readonly #openMs: number;
  #state: BreakerState = 'closed';
  #windowStart = 0;
  #calls = 0;
  #failures = 0;
  #openUntil = 0;
  #opened = 0;
  /** The call that tries it is over, whatever became of it. */
  #probeOver: () => boolean = () => true;
  #probeUntil = 0;
  /** Since when there is no connection. */
  #awaySince: number | undefined;

  constructor(options: BreakerOptions = {}) {
    this.#windowMs = options.windowMs ?? BREAKER_WINDOW_MS;
    this.#minCalls = options.minCalls ?? BREAKER_MIN_CALLS;
    this.#ratio = options.failureRatio ?? BREAKER_FAILURE_RATIO;
    this.#openMs = options.openMs ?? BREAKER_OPEN_MS;
  }

  get state(): BreakerState {
    return this.#state;
  }

  /** 0: go. Else: refused for so many ms more. `over`: the call that asks is settled. */
  refusedFor(now: number, over: () => boolean): number {
    if (this.#state === 'closed') return 0;
    if (this.#awaySince !== undefined) return Math.max(this.#openMs, this.#openUntil - now);
    if (this.#state === 'open') {
      if (now < this.#openUntil) return this.#openUntil - now;
      this.#state = 'half-open';
    } else if (now < this.#probeUntil && !this.#probeOver()) return this.#probeUntil - now;
    this.#probeOver = over;
    this.#probeUntil = now + this.#openMs;
    return 0;
  }

  /** No connection is left, or there is none yet. */
  away(now: number): void {
    this.#awaySince ??= now;
  }

  /** There is one: whoever asks next may try. */
  connected(now: number): void {
    this.#awaySince = undefined;
    if (this.#state === 'open') this.#openUntil = now;
  }

  /** A call was not sent, or a connection not made, with no other there. */
  unreached(now: number, patienceMs = 0): void {
    const leastMs = Math.max(patienceMs, BREAKER_AWAY_MS);
    if (this.#awaySince !== undefined && now - this.#awaySince >= leastMs) this.failed(now);
  }

  succeeded(now: number): void {
    if (this.#state === 'closed') {
      this.#count(now);
      return;
    }
    this.#state = 'closed';
    this.#opened = 0;
    this.#windowStart = now;
    this.#calls = 0;
    this.#failures = 0;
  }

  failed(now: number): void {
    if (this.#state === 'open') return;
    if (this.#state === 'half-open') return this.#open(now);
    this.#count(now);
    this.#failures += 1;
    if (this.#calls >= this.#minCalls && this.#failures >= this.#calls * this.#ratio)
      this.#open(now);
  }

  #count(now: number): void {
    if (now - this.#windowStart > this.#windowMs) {
      this.#windowStart = now;
      this.#calls = 0;
      this.#failures = 0;
    }
    this.#calls += 1;
  }

  #open(now: number): void {
    this.#state = 'open';
    this.#openUntil = now + this.#openMs * Math.min(8, 2 ** this.#opened);
    this.#opened += 1;
  }
}
