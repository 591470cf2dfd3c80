/** Reading the log-linear histograms of `endpoint/control-protocol.ts`: bounds, differences, quantiles. Pure. */
import type { Histogram } from '../../endpoint/control-protocol.ts';
import type { Quantiles } from './contract.ts';

/** The values of a bucket are at least this. */
export function lowerBound(bucket: number): number {
  return bucket === 0 ? 0 : 2 ** (bucket >> 4) * (1 + (bucket & 15) / 16);
}

/** ...and below this. */
export function upperBound(bucket: number): number {
  return 2 ** (bucket >> 4) * (1 + ((bucket & 15) + 1) / 16);
}

/** Where a value falls: the same rule as in the endpoint. */
export function bucketOf(value: number): number {
  const whole = Math.min(Math.floor(value), 0x7fffffff);
  if (whole < 1) return 0;
  const exponent = 31 - Math.clz32(whole);
  return 16 * exponent + Math.floor((whole / 2 ** exponent - 1) * 16);
}

/** What came since `before`; all of it when that is of another life (a counter went back). */
export function since(now: Histogram, before: Histogram | undefined): Histogram {
  if (before === undefined || before.count > now.count) return now;
  const old = new Map(before.buckets);
  const buckets = now.buckets
    .map(([bucket, count]) => [bucket, count - (old.get(bucket) ?? 0)] as const)
    .filter(([, count]) => count > 0);
  return { unit: now.unit, count: now.count - before.count, sum: now.sum - before.sum, buckets };
}

/** The middle of the bucket in which that part of all values ends; 0 without values. */
export function quantile(histogram: Histogram, part: number): number {
  const total = histogram.buckets.reduce((sum, [, count]) => sum + count, 0);
  let left = Math.ceil(total * part);
  for (const [bucket, count] of histogram.buckets) {
    left -= count;
    if (left <= 0) return Math.round((lowerBound(bucket) + upperBound(bucket)) / 2);
  }
  return 0;
}

/**
 * The most that the largest value can be: the end of the highest bucket in use, or what all the others
 * leave of the sum. Of a single value that is the value itself.
 */
export function largest(histogram: Histogram): number {
  const last = histogram.buckets.at(-1);
  if (last === undefined) return 0;
  const all = histogram.buckets.reduce((sum, [at, count]) => sum + lowerBound(at) * count, 0);
  const left = histogram.sum - (all - lowerBound(last[0]));
  return Math.round(Math.max(lowerBound(last[0]), Math.min(upperBound(last[0]), left)));
}

/** The middle of a bucket may lie above the largest value in it: no quantile is more than that. */
export function quantiles(histogram: Histogram): Quantiles {
  const maxUs = largest(histogram);
  return {
    p50Us: Math.min(maxUs, quantile(histogram, 0.5)),
    p99Us: Math.min(maxUs, quantile(histogram, 0.99)),
    maxUs,
  };
}
