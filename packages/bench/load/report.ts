/** What a load answers, and how the parts of several threads add up. */
import { MAX_EXAMPLES } from '../limits.ts';
import { type HistogramData, NanoHistogram } from './histogram.ts';

export interface Anomaly {
  readonly kind: 'lost' | 'duplicated' | 'reordered' | 'impossible';
  readonly key: string;
  /** Running number of the write in its register or log. */
  readonly number: number;
  /** ISO times of sending and of the reply; the connection as thread/connection#incarnation. */
  readonly sentAt: string;
  readonly acknowledgedAt: string;
  readonly connection: string;
}

export interface Verification {
  streams: number;
  acknowledged: number;
  refused: number;
  unknown: number;
  unknownApplied: number;
  lost: number;
  duplicated: number;
  reordered: number;
  impossible: number;
  /** Streams that could not be read back, with the reason. */
  unread: string[];
  examples: Anomaly[];
}

export interface Moment {
  ok: number;
  failed: number;
  maxMs: number;
}

/** A time without any success, milliseconds since 1970. */
export interface Pause {
  readonly from: number;
  readonly to: number;
}

/** A time in which requests waited for LONG_WAIT_MS or longer, from when the first should have been sent. */
export interface LongWait {
  readonly from: number;
  readonly to: number;
  readonly requests: number;
  readonly longestMs: number;
}

/** A request that failed; `error` is the code it failed with. */
export interface Failure {
  readonly error: string;
  /** When it should have been sent, and when its failure was seen. */
  readonly intendedAt: number;
  readonly endedAt: number;
  /** When the first write was due that it may be about: a WAIT answers for earlier ones, too. */
  readonly since: number;
}

/** Of one thread. */
export interface LoadPart {
  readonly arrivals: number;
  readonly ok: number;
  readonly errors: Record<string, number>;
  /** Requests whose connection ended before the reply. */
  readonly unknown: number;
  readonly shed: number;
  readonly redirects: number;
  readonly connectionsLost: Record<string, number>;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  readonly seconds: number;
  readonly latency: HistogramData;
  /** How late the generator itself was, open loop only. */
  readonly lag: HistogramData;
  readonly busy: number;
  readonly timeline: Moment[];
  readonly gaps: { readonly connection: string; readonly ms: number; readonly at: number }[];
  /** Of at least PAUSE_MIN_MS, over all connections of the thread, in order. */
  readonly pauses: Pause[];
  readonly waits: LongWait[];
  /** The first MAX_FAILURES; `errors` counts all. */
  readonly failures: Failure[];
  readonly verification: Verification | null;
}

export interface LoadReport {
  readonly arrivals: number;
  readonly ok: number;
  readonly errors: Record<string, number>;
  readonly unknown: number;
  readonly shed: number;
  readonly redirects: number;
  readonly connectionsLost: Record<string, number>;
  readonly startedAt: number;
  readonly seconds: number;
  /** Successful requests a second. */
  readonly rate: number;
  readonly latency: NanoHistogram;
  readonly latencyMs: {
    readonly p50: number;
    readonly p99: number;
    readonly p999: number;
    readonly max: number;
  };
  readonly lag: NanoHistogram;
  /** Why these figures are the generator's and not the server's, or null. */
  readonly generatorLimited: string | null;
  readonly timeline: Moment[];
  /** The longest time without a success on one connection. */
  readonly longestGap: { readonly connection: string; readonly ms: number; readonly at: number };
  /** Times without a success on any connection. */
  readonly pauses: Pause[];
  /** What was seen by any connection, in order. */
  readonly waits: LongWait[];
  readonly failures: Failure[];
  readonly verification: Verification | null;
}

export function emptyVerification(): Verification {
  return {
    streams: 0,
    acknowledged: 0,
    refused: 0,
    unknown: 0,
    unknownApplied: 0,
    lost: 0,
    duplicated: 0,
    reordered: 0,
    impossible: 0,
    unread: [],
    examples: [],
  };
}

export function combine(parts: readonly LoadPart[], limited: string | null): LoadReport {
  const latency = new NanoHistogram();
  const lag = new NanoHistogram();
  for (const part of parts) {
    latency.add(part.latency);
    lag.add(part.lag);
  }
  const seconds = Math.max(...parts.map((p) => p.seconds));
  const ok = sum(parts.map((p) => p.ok));
  const gaps = parts.flatMap((p) => p.gaps).sort((a, b) => b.ms - a.ms);
  return {
    arrivals: sum(parts.map((p) => p.arrivals)),
    ok,
    errors: addUp(parts.map((p) => p.errors)),
    unknown: sum(parts.map((p) => p.unknown)),
    shed: sum(parts.map((p) => p.shed)),
    redirects: sum(parts.map((p) => p.redirects)),
    connectionsLost: addUp(parts.map((p) => p.connectionsLost)),
    startedAt: Math.min(...parts.map((p) => p.startedAt)),
    seconds,
    rate: ok / seconds,
    latency,
    latencyMs: {
      p50: latency.quantile(0.5) / 1e6,
      p99: latency.quantile(0.99) / 1e6,
      p999: latency.quantile(0.999) / 1e6,
      max: latency.max / 1e6,
    },
    lag,
    generatorLimited: limited,
    timeline: mergeTimelines(parts.map((p) => p.timeline)),
    longestGap: gaps[0] ?? { connection: '', ms: 0, at: 0 },
    pauses: parts.map((p) => p.pauses).reduce(commonPauses, [{ from: 0, to: Infinity }]),
    waits: longWaits(parts.flatMap((p) => p.waits)),
    failures: parts.flatMap((p) => p.failures).sort((a, b) => a.endedAt - b.endedAt),
    verification: mergeVerifications(parts),
  };
}

/** Those that overlap are one. */
export function longWaits(waits: readonly LongWait[]): LongWait[] {
  const joined: LongWait[] = [];
  for (const wait of waits.toSorted((a, b) => a.from - b.from)) {
    const last = joined.at(-1);
    if (last === undefined || wait.from > last.to) {
      joined.push(wait);
      continue;
    }
    joined[joined.length - 1] = {
      from: last.from,
      to: Math.max(last.to, wait.to),
      requests: last.requests + wait.requests,
      longestMs: Math.max(last.longestMs, wait.longestMs),
    };
  }
  return joined;
}

/** When neither had a success. */
export function commonPauses(a: readonly Pause[], b: readonly Pause[]): Pause[] {
  return a.flatMap((one) =>
    b.flatMap((other) => {
      const from = Math.max(one.from, other.from);
      const to = Math.min(one.to, other.to);
      return to > from ? [{ from, to }] : [];
    }),
  );
}

function mergeTimelines(timelines: readonly Moment[][]): Moment[] {
  const length = Math.max(0, ...timelines.map((t) => t.length));
  return Array.from({ length }, (_, i) => ({
    ok: sum(timelines.map((t) => t[i]?.ok ?? 0)),
    failed: sum(timelines.map((t) => t[i]?.failed ?? 0)),
    maxMs: Math.max(...timelines.map((t) => t[i]?.maxMs ?? 0)),
  }));
}

function mergeVerifications(parts: readonly LoadPart[]): Verification | null {
  const all = parts.flatMap((p) => (p.verification === null ? [] : [p.verification]));
  if (all.length === 0) return null;
  const total = emptyVerification();
  for (const part of all) {
    total.streams += part.streams;
    total.acknowledged += part.acknowledged;
    total.refused += part.refused;
    total.unknown += part.unknown;
    total.unknownApplied += part.unknownApplied;
    total.lost += part.lost;
    total.duplicated += part.duplicated;
    total.reordered += part.reordered;
    total.impossible += part.impossible;
    total.unread.push(...part.unread);
    total.examples.push(...part.examples);
  }
  total.examples.splice(MAX_EXAMPLES);
  return total;
}

function sum(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0);
}

function addUp(records: readonly Record<string, number>[]): Record<string, number> {
  const total: Record<string, number> = {};
  for (const record of records) {
    for (const [key, n] of Object.entries(record)) total[key] = (total[key] ?? 0) + n;
  }
  return total;
}
