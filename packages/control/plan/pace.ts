/**
 * How large the next batch of slots is. Pure.
 *
 * A hand-over stops the writers of its source for as long as the engine needs to pass the last
 * writes on and to delete what it gave away, which grows with the keys of the batch; how fast, this
 * machine under this load has to show. So the first batch is small and each next one is made so
 * large that it would have stopped writers for just the time that is allowed.
 */
import type { Scaling, Sizing } from '../store/records.ts';
import {
  FIRST_BATCH_KEYS,
  HANDOVER_GOAL_MS,
  HANDOVER_MOST_MS,
  HANDOVER_SLACK,
  LEAST_BATCH_KEYS,
  MOST_BATCH_KEYS,
  MOVE_RETRY_DOUBLINGS,
  MOVE_RETRY_MAX_MS,
  MOVE_RETRY_MS,
} from './limits.ts';

type Pace = Pick<Scaling, 'batchKeys' | 'leastHandOverMs'>;

/**
 * After a batch of `keys` (one slot may hold more than was asked for) whose hand-over took `tookMs`.
 *
 * A busy machine makes a hand-over look longer, and how keys lie makes one take longer than the next, by a factor
 * of five and more. So one alone counts for a third of what it says, by its logarithm: sizes follow what the last
 * few took, and one that was late for another reason, or early, does not count for much. (When the geometric mean
 * of the last two counted in full, two quick ones in a row quadrupled the size, and the next took a quarter of a second.)
 * And where even the smallest batch takes longer than is allowed, smaller ones would only stop writers more often:
 * then half as long again as the quickest is allowed, within the promise. The quickest is the one that took least
 * since the last smallest batch, whatever its size: a smallest one is not quicker than that by chance alone, and a
 * machine that was busy when the first one came is not taken for slow for good.
 */
export function nextPace(pace: Pace, keys: number, tookMs: number): Pace {
  const { batchKeys: asked } = pace;
  const smallest = asked <= LEAST_BATCH_KEYS;
  const quickest = smallest ? tookMs : Math.min(pace.leastHandOverMs ?? tookMs, tookMs);
  const goalMs = Math.max(HANDOVER_GOAL_MS, Math.min(HANDOVER_MOST_MS, HANDOVER_SLACK * quickest));
  const next = asked * Math.cbrt(goalMs / Math.max(1, tookMs));
  // A last batch that is much smaller says nothing about a large one: it allows no growth.
  const measured = 2 * keys < asked && next > asked ? asked : next;
  return {
    batchKeys: Math.round(Math.min(MOST_BATCH_KEYS, Math.max(LEAST_BATCH_KEYS, measured))),
    leastHandOverMs: quickest,
  };
}

/** After so many failures in a row, ms. */
export function backOff(failures: number): number {
  const doublings = Math.min(failures - 1, MOVE_RETRY_DOUBLINGS);
  return Math.min(MOVE_RETRY_MAX_MS, MOVE_RETRY_MS * 2 ** doublings);
}

/** The record of a change of the number of shards that begins now. */
export function beginScaling(from: Sizing, now: number): Scaling {
  return {
    from,
    startedAt: now,
    move: null,
    batchKeys: FIRST_BATCH_KEYS,
    movedSlots: 0,
    movedKeys: 0,
    batches: 0,
    longestPauseMs: 0,
    failures: 0,
    trouble: null,
    notBefore: 0,
    canceled: false,
  };
}
