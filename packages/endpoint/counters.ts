/** Adding up what workers count. Fixed buckets and cumulative numbers make this plain addition. */
import type {
  CommandCounters,
  Counters,
  DatabaseCounters,
  GuardCounters,
  Histogram,
  LargeView,
} from './control-protocol.ts';

/** `since` is the earliest, `epoch` the lowest: what is true of all of them. */
export function mergeCounters(parts: readonly Counters[]): Counters {
  const databases = new Map<string, DatabaseCounters>();
  for (const part of parts) {
    for (const counted of part.databases) {
      const sum = databases.get(counted.id);
      databases.set(counted.id, sum === undefined ? counted : addDatabases(sum, counted));
    }
  }
  return {
    since: Math.min(...parts.map((part) => part.since)),
    epoch: Math.min(...parts.map((part) => part.epoch)),
    databases: [...databases.values()],
  };
}

/** Of these databases alone: nobody asks for what was counted of one that is no more. */
export function countersOf(counters: Counters, databases: Iterable<string>): Counters {
  const known = new Set(databases);
  return { ...counters, databases: counters.databases.filter(({ id }) => known.has(id)) };
}

/** Of a process that is gone: what it counted stays true, but it has no connections any more. */
export function withoutGauges(counters: Counters): Counters {
  return {
    ...counters,
    databases: counters.databases.map((database) => ({ ...database, connections: 0 })),
  };
}

function addDatabases(a: DatabaseCounters, b: DatabaseCounters): DatabaseCounters {
  return {
    id: a.id,
    connections: a.connections + b.connections,
    opened: a.opened + b.opened,
    closed: addRecords(a.closed, b.closed),
    refused: addRecords(a.refused, b.refused),
    bytesIn: a.bytesIn + b.bytesIn,
    bytesOut: a.bytesOut + b.bytesOut,
    commands: addCommands(a.commands, b.commands),
    // A worker of the build before does not count it.
    guard: addGuard(a.guard ?? {}, b.guard ?? {}),
  };
}

function addRecords(
  a: Readonly<Record<string, number>>,
  b: Readonly<Record<string, number>>,
): Record<string, number> {
  const sum: Record<string, number> = { ...a };
  for (const [name, count] of Object.entries(b)) sum[name] = (sum[name] ?? 0) + count;
  return sum;
}

function addGuard(
  a: Readonly<Record<string, GuardCounters>>,
  b: Readonly<Record<string, GuardCounters>>,
): Record<string, GuardCounters> {
  const sum: Record<string, GuardCounters> = { ...a };
  for (const [name, { warned, refused }] of Object.entries(b)) {
    const other = sum[name] ?? { warned: 0, refused: 0 };
    sum[name] = { warned: other.warned + warned, refused: other.refused + refused };
  }
  return sum;
}

function addCommands(
  a: Readonly<Record<string, CommandCounters>>,
  b: Readonly<Record<string, CommandCounters>>,
): Record<string, CommandCounters> {
  const sum: Record<string, CommandCounters> = { ...a };
  for (const [name, counted] of Object.entries(b)) {
    const other = sum[name];
    sum[name] =
      other === undefined
        ? counted
        : {
            calls: other.calls + counted.calls,
            failed: other.failed + counted.failed,
            latency: mergeHistograms(other.latency, counted.latency),
            requestBytes: mergeHistograms(other.requestBytes, counted.requestBytes),
            replyBytes: mergeHistograms(other.replyBytes, counted.replyBytes),
          };
  }
  return sum;
}

export function mergeHistograms(a: Histogram, b: Histogram): Histogram {
  const buckets = new Map(a.buckets);
  for (const [bucket, count] of b.buckets) buckets.set(bucket, (buckets.get(bucket) ?? 0) + count);
  return {
    unit: a.unit,
    count: a.count + b.count,
    sum: a.sum + b.sum,
    buckets: [...buckets].sort(([x], [y]) => x - y),
  };
}

/** One line a key and command, the largest first. */
export function mergeLarge(parts: readonly LargeView[]): LargeView[] {
  const merged = new Map<string, LargeView>();
  for (const part of parts) {
    const name = `${part.kind} ${part.database} ${part.command} ${part.key}`;
    const other = merged.get(name);
    const last = other !== undefined && other.at > part.at ? other : part;
    merged.set(
      name,
      other === undefined
        ? part
        : {
            ...last,
            count: other.count + part.count,
            bytes: Math.max(other.bytes, part.bytes),
            ms: Math.max(other.ms, part.ms),
            behind: Math.max(other.behind, part.behind),
            firstAt: Math.min(other.firstAt, part.firstAt),
          },
    );
  }
  return [...merged.values()].sort((a, b) => b.bytes - a.bytes);
}
