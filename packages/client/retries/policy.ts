/**
 * What may be done again. Three kinds of failure, told apart by what they prove:
 * - the server said that it did not run the command (READONLY, LOADING, ...): any command may be
 *   repeated;
 * - the connection ended before the command was written: it did not run either;
 * - the connection ended after it was written: nobody knows. Reads are repeated; other commands only
 *   if the caller declared them idempotent. Else the caller gets UnknownOutcomeError, because a
 *   second INCR is worse than an error.
 */
import { callback, duration, instance, oneOf, orSwitch, shape, share, whole } from '../checks.ts';
import type { Call } from '../lanes/call.ts';
import { RETRY_ATTEMPTS, RETRY_BASE_MS, RETRY_CAP_MS } from '../limits.ts';
import { fullJitter } from './backoff.ts';
import type { BreakerOptions } from './breaker.ts';
import { processBudget, RetryBudget } from './budget.ts';

export interface RetryOptions {
  /** Attempts in all, the first included. */
  readonly attempts?: number;
  readonly baseMs?: number;
  readonly capMs?: number;
  /** Calls that may be made twice beside the reads. */
  readonly idempotent?: (command: string, key: string | undefined) => boolean;
  readonly budget?: RetryBudget;
  /** false: no circuit breaker. */
  readonly breaker?: BreakerOptions | false;
  /** 'client': leave the client library's own reconnect delays as they are. */
  readonly reconnect?: 'staggered' | 'client';
}

export const retryShape = shape({
  attempts: whole(1),
  baseMs: duration,
  capMs: duration,
  idempotent: callback,
  budget: instance(RetryBudget),
  breaker: orSwitch(
    shape({ windowMs: duration, minCalls: whole(1), failureRatio: share, openMs: duration }),
    false,
  ),
  reconnect: oneOf('staggered', 'client'),
});

/** Errors by which a server says that it did nothing. */
const notRun =
  /^(?:READONLY|LOADING|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|UNBLOCKED|NOREPLICAS)\b|^MISCONF /;

export function saysNotRun(error: unknown): boolean {
  return error instanceof Error && notRun.test(error.message);
}

/** Of these, what holds for reads, too: a server that refuses writes only still answers. */
const down = /^(?:LOADING|MASTERDOWN|CLUSTERDOWN)\b/;

export function saysDown(error: unknown): boolean {
  return error instanceof Error && down.test(error.message);
}

/** Errors by which a server in front of others says that it lost one with the command on it: nobody knows. */
const lostBehind = /^(?:OUTCOMEUNKNOWN |ERR shard-lost\b)/;

export function saysLost(error: unknown): boolean {
  return error instanceof Error && lostBehind.test(error.message);
}

export class RetryPolicy {
  readonly attempts: number;
  readonly budget: RetryBudget;
  readonly #baseMs: number;
  readonly #capMs: number;
  readonly #idempotent: ((command: string, key: string | undefined) => boolean) | undefined;

  constructor(options: RetryOptions | false | undefined) {
    const given = options === false ? { attempts: 1 } : (options ?? {});
    this.attempts = given.attempts ?? RETRY_ATTEMPTS;
    this.#baseMs = given.baseMs ?? RETRY_BASE_MS;
    this.#capMs = given.capMs ?? RETRY_CAP_MS;
    this.budget = given.budget ?? processBudget;
    this.#idempotent = given.idempotent;
  }

  /** May this call, written and not answered, be made again? */
  repeatable(call: Call): boolean {
    if (call.repeatable) return true;
    return !call.inTransaction && this.#idempotent?.(call.name, call.key) === true;
  }

  /** Takes an attempt if there is one; answers the delay before it, or why there is none. */
  next(call: Call, neverSent: boolean): number | 'no attempt left' | 'no budget left' {
    if (call.attempts >= this.attempts) return 'no attempt left';
    if (!neverSent && !this.budget.spend()) return 'no budget left';
    return fullJitter(call.attempts, this.#baseMs, this.#capMs);
  }
}
