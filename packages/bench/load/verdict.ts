/**
 * What happened to acknowledged writes: pure functions from what a writer knows (each attempt and
 * its outcome) and what is there afterwards.
 *
 * Two kinds of witness, because each sees what the other cannot:
 *
 * - A *log*: RPUSH of a running number to a list that one writer owns. The list shows each write
 *   once, twice or not at all, and in which order. All three faults are found exactly.
 * - A *register*: SET key <version> GET. Each reply carries the value that was replaced, so every
 *   link of the chain of versions is seen, not only the last value. A version that nobody saw and
 *   that is not the last was lost; a version that replaced a later one was applied out of order.
 *   A write applied twice shows on a register as the loss of the one between, and is counted so.
 *
 * Unknown outcomes (the connection ended before the reply) may have happened, at any later time.
 * They are never an anomaly; how many did happen is counted apart.
 */

export const OUTCOME = { pending: 0, acknowledged: 1, unknown: 2, refused: 3 } as const;

/** Attempts of one stream by running number from 1; index 0 is not used. */
export interface Attempts {
  readonly outcomes: ArrayLike<number>;
  /** Highest running number tried. */
  readonly last: number;
}

export interface Verdict {
  acknowledged: number;
  refused: number;
  unknown: number;
  /** Unknown outcomes that turned out to have happened. Registers: as far as the chain shows. */
  unknownApplied: number;
  readonly lost: number[];
  /** One entry an extra copy. */
  readonly duplicated: number[];
  readonly reordered: number[];
  /** Refused with an error, and there all the same; or a number that nobody wrote. */
  readonly impossible: number[];
}

function blank(attempts: Attempts): Verdict {
  const verdict: Verdict = {
    acknowledged: 0,
    refused: 0,
    unknown: 0,
    unknownApplied: 0,
    lost: [],
    duplicated: [],
    reordered: [],
    impossible: [],
  };
  for (let n = 1; n <= attempts.last; n += 1) {
    const outcome = attempts.outcomes[n];
    if (outcome === OUTCOME.acknowledged) verdict.acknowledged += 1;
    else if (outcome === OUTCOME.refused) verdict.refused += 1;
    else verdict.unknown += 1;
  }
  return verdict;
}

export function judgeLog(attempts: Attempts, observed: readonly number[]): Verdict {
  const verdict = blank(attempts);
  const seen = new Set<number>();
  const order: number[] = [];
  for (const n of observed) {
    const outcome = attempts.outcomes[n];
    if (n < 1 || n > attempts.last || outcome === OUTCOME.refused) {
      verdict.impossible.push(n);
    } else if (seen.has(n)) {
      verdict.duplicated.push(n);
    } else {
      seen.add(n);
      if (outcome === OUTCOME.acknowledged) order.push(n);
      else verdict.unknownApplied += 1;
    }
  }
  for (let n = 1; n <= attempts.last; n += 1) {
    if (attempts.outcomes[n] === OUTCOME.acknowledged && !seen.has(n)) verdict.lost.push(n);
  }
  verdict.reordered.push(...outOfOrder(order));
  return verdict;
}

/**
 * `previous[n]`: the version that acknowledged write n replaced, 0 for none. `final`: the version
 * there at the end, 0 for none.
 */
export function judgeRegister(
  attempts: Attempts,
  previous: ArrayLike<number>,
  final: number,
): Verdict {
  const verdict = blank(attempts);
  const { outcomes, last } = attempts;
  const seen = new Set<number>();
  const note = (version: number): void => {
    if (version === 0) return;
    if (version > last || outcomes[version] === OUTCOME.refused) verdict.impossible.push(version);
    else seen.add(version);
  };
  for (let n = 1; n <= last; n += 1) {
    if (outcomes[n] === OUTCOME.acknowledged) note(previous[n] ?? 0);
  }
  note(final);
  let before = 0;
  for (let n = 1; n <= last + 1; n += 1) {
    const isEnd = n === last + 1;
    if (!isEnd && outcomes[n] !== OUTCOME.acknowledged) continue;
    const replaced = isEnd ? final : (previous[n] ?? 0);
    if (!isEnd && replaced > n) verdict.reordered.push(n);
    // An unknown write may stand where `before` stood: then `before` was overwritten in order.
    const covered =
      outcomes[replaced] === OUTCOME.unknown || outcomes[replaced] === OUTCOME.pending;
    if (before > 0 && !seen.has(before) && !(replaced > 0 && covered)) verdict.lost.push(before);
    before = n;
  }
  for (const version of seen) {
    if (outcomes[version] !== OUTCOME.acknowledged) verdict.unknownApplied += 1;
  }
  return verdict;
}

/** The fewest entries to take out so that the rest ascends: a swapped pair counts once. */
function outOfOrder(order: readonly number[]): number[] {
  const tails: number[] = [];
  const before = new Int32Array(order.length).fill(-1);
  for (let i = 0; i < order.length; i += 1) {
    const value = order[i] ?? 0;
    let low = 0;
    let high = tails.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((order[tails[middle] ?? 0] ?? 0) < value) low = middle + 1;
      else high = middle;
    }
    before[i] = low > 0 ? (tails[low - 1] ?? -1) : -1;
    tails[low] = i;
  }
  const kept = new Set<number>();
  for (let i = tails[tails.length - 1] ?? -1; i >= 0; i = before[i] ?? -1) kept.add(i);
  return order.filter((_, i) => !kept.has(i));
}
