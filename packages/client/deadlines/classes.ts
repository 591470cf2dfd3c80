/**
 * How long a command may take depends on what it is: a GET that needs two seconds is broken, a
 * 10 MB value or a script is not, and BLPOP says itself how long it waits. One number for all is
 * either too short for the slow or useless for the quick ones.
 */
import { blockingMs } from '../commands/keys.ts';
import type { Call } from '../lanes/call.ts';
import { asksForConfirmation } from '../lanes/confirm.ts';
import {
  BLOCKING_GRACE_MS,
  DEADLINE_BULK_MS,
  DEADLINE_FAST_MS,
  DEADLINE_SLOW_MS,
} from '../limits.ts';

export interface DeadlineOptions {
  /** `connect()`, and each connection until the server has said anything. */
  readonly connectMs?: number;
  /** One key, small value. */
  readonly fastMs?: number;
  /** Many keys, scripts, scans, FLUSHALL and the like. */
  readonly slowMs?: number;
  /** Large values. */
  readonly bulkMs?: number;
  /** Added to a blocking command's own argument. */
  readonly blockingGraceMs?: number;
}

export interface Deadlines {
  readonly fastMs: number;
  readonly slowMs: number;
  readonly bulkMs: number;
  readonly blockingGraceMs: number;
}

export function deadlinesOf(options: DeadlineOptions | false | undefined): Deadlines | undefined {
  if (options === false) return undefined;
  return {
    fastMs: options?.fastMs ?? DEADLINE_FAST_MS,
    slowMs: options?.slowMs ?? DEADLINE_SLOW_MS,
    bulkMs: options?.bulkMs ?? DEADLINE_BULK_MS,
    blockingGraceMs: options?.blockingGraceMs ?? BLOCKING_GRACE_MS,
  };
}

const slow = new Set([
  'keys',
  'scan',
  'sort',
  'sort_ro',
  'eval',
  'evalsha',
  'fcall',
  'eval_ro',
  'evalsha_ro',
  'fcall_ro',
  'restore',
  'lcs',
  'smembers',
  'hgetall',
  'xread',
]);

/** Milliseconds from now; Infinity: none. */
export function deadlineOf(call: Call, deadlines: Deadlines): number {
  const own = call.calling?.deadlineMs;
  if (own !== undefined) return own;
  if (call.place === 'blocking' || asksForConfirmation(call.name)) {
    return blockingMs(call.name, call.args, call.from) + deadlines.blockingGraceMs;
  }
  if (call.large) return deadlines.bulkMs;
  if (call.place === 'barrier' || call.place === 'subscribe') return deadlines.slowMs;
  if (call.facts.keys !== 'one' && call.place === 'data' && call.args.length > 16) {
    return deadlines.slowMs;
  }
  return slow.has(call.name) ? deadlines.slowMs : deadlines.fastMs;
}
