/**
 * The counters in Prometheus' text format. Names and labels are documented in docs/observe.md and do
 * not change. Pure.
 */
import type { DatabaseCounters, Histogram } from '../../endpoint/control-protocol.ts';
import { upperBound } from './histogram.ts';

export interface Series {
  readonly labels: Readonly<Record<string, string>>;
  readonly counters: DatabaseCounters;
  /** ms since 1970: since when they count. */
  readonly since: number;
}

const LATENCY_BOUNDS_US = [
  50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
  1_000_000, 2_500_000, 10_000_000,
];
const SIZE_BOUNDS = [64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 16_777_216];

export function prometheus(all: readonly Series[]): string {
  const lines: string[] = [];
  const family = (
    name: string,
    type: 'counter' | 'gauge' | 'histogram',
    help: string,
    each: (series: Series, add: Add) => void,
  ): void => {
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
    for (const series of all) {
      each(series, (labels, value, suffix = '') =>
        lines.push(`${name}${suffix}${braces({ ...series.labels, ...labels })} ${value}`),
      );
    }
  };
  const byReason = (pick: (c: DatabaseCounters) => Readonly<Record<string, number>>) => {
    return ({ counters }: Series, add: Add): void => {
      for (const [reason, count] of Object.entries(pick(counters))) add({ reason }, count);
    };
  };

  family(
    'cinnabar_counting_since_seconds',
    'gauge',
    'Unix time at which the counters began.',
    ({ since }, add) => add({}, since / 1000),
  );
  family(
    'cinnabar_connections',
    'gauge',
    'Client connections that are open.',
    ({ counters }, add) => add({}, counters.connections),
  );
  family(
    'cinnabar_connections_opened_total',
    'counter',
    'Client connections accepted.',
    ({ counters }, add) => add({}, counters.opened),
  );
  family(
    'cinnabar_connections_closed_total',
    'counter',
    'Client connections ended, by reason.',
    byReason((c) => c.closed),
  );
  family(
    'cinnabar_connections_refused_total',
    'counter',
    'Client connections refused, by reason.',
    byReason((c) => c.refused),
  );
  family('cinnabar_received_bytes_total', 'counter', 'Bytes from clients.', ({ counters }, add) =>
    add({}, counters.bytesIn),
  );
  family('cinnabar_sent_bytes_total', 'counter', 'Bytes to clients.', ({ counters }, add) =>
    add({}, counters.bytesOut),
  );
  const perCommand = (
    each: (
      counted: DatabaseCounters['commands'][string],
      add: Add,
      labels: { command: string },
    ) => void,
  ) => {
    return ({ counters }: Series, add: Add): void => {
      for (const [command, counted] of Object.entries(counters.commands))
        each(counted, add, { command });
    };
  };
  family(
    'cinnabar_commands_total',
    'counter',
    'Commands answered.',
    perCommand(({ calls }, add, l) => add(l, calls)),
  );
  family(
    'cinnabar_command_errors_total',
    'counter',
    'Commands answered with an error.',
    perCommand(({ failed }, add, l) => add(l, failed)),
  );
  family(
    'cinnabar_command_duration_seconds',
    'histogram',
    'From the bytes of a command in to its answer out.',
    perCommand(({ latency }, add, l) => histogram(latency, LATENCY_BOUNDS_US, 1e-6, l, add)),
  );
  family(
    'cinnabar_command_request_bytes',
    'histogram',
    'Size of commands.',
    perCommand(({ requestBytes }, add, l) => histogram(requestBytes, SIZE_BOUNDS, 1, l, add)),
  );
  family(
    'cinnabar_command_reply_bytes',
    'histogram',
    'Size of answers.',
    perCommand(({ replyBytes }, add, l) => histogram(replyBytes, SIZE_BOUNDS, 1, l, add)),
  );
  family('cinnabar_guard_total', 'counter', 'What guard rules did.', ({ counters }, add) => {
    for (const [command, { warned, refused }] of Object.entries(counters.guard)) {
      add({ command, action: 'warned' }, warned);
      add({ command, action: 'refused' }, refused);
    }
  });
  return `${lines.join('\n')}\n`;
}

type Add = (labels: Readonly<Record<string, string>>, value: number, suffix?: string) => void;

/** Cumulative, as Prometheus wants it. A bucket that crosses a bound counts above it. */
function histogram(
  { buckets, sum }: Histogram,
  bounds: readonly number[],
  unit: number,
  labels: Readonly<Record<string, string>>,
  add: Add,
): void {
  const total = buckets.reduce((count, [, times]) => count + times, 0);
  if (total === 0) return;
  for (const bound of bounds) {
    const below = buckets.reduce(
      (count, [bucket, times]) => (upperBound(bucket) <= bound ? count + times : count),
      0,
    );
    add({ ...labels, le: String(Number((bound * unit).toPrecision(6))) }, below, '_bucket');
  }
  add({ ...labels, le: '+Inf' }, total, '_bucket');
  add(labels, Number((sum * unit).toPrecision(12)), '_sum');
  add(labels, total, '_count');
}

function braces(labels: Readonly<Record<string, string>>): string {
  const escaped = (value: string): string =>
    value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`);
  return `{${pairs.join(',')}}`;
}
