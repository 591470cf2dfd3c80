/** From two readings of the counters to what a user reads. Pure. */
import type {
  CommandCounters,
  DatabaseCounters,
  GuardRule,
} from '../../endpoint/control-protocol.ts';
import { EXPENSIVE } from '../../resp/table/index.ts';
import type { CommandStats, ExpensiveStats, Source, StatsReport } from './contract.ts';
import { largest, quantiles, since } from './histogram.ts';

export interface Reading {
  readonly at: number;
  /** Since when they count. */
  readonly since: number;
  readonly counters: DatabaseCounters;
}

/** `before` null: since counting began. */
export function reportOf(
  now: Reading,
  before: Reading | null,
  rules: readonly GuardRule[],
  source: Source,
  note: string | null,
): StatsReport {
  const from = before?.at ?? now.since;
  const old = before?.counters;
  const { counters } = now;
  const seconds = Math.max(0.001, (now.at - from) / 1000);
  const commands = Object.entries(counters.commands)
    .map(([command, counted]) => statsOf(command, counted, old?.commands[command], seconds, source))
    .filter(({ calls }) => calls > 0)
    .sort((a, b) => b.calls - a.calls);
  return {
    source,
    note,
    from,
    to: now.at,
    connections: counters.connections,
    opened: grown(counters.opened, old?.opened),
    closed: less(counters.closed, old?.closed),
    refused: less(counters.refused, old?.refused),
    bytesIn: grown(counters.bytesIn, old?.bytesIn),
    bytesOut: grown(counters.bytesOut, old?.bytesOut),
    commands,
    expensive: expensive(commands, now.counters, old, rules),
  };
}

function statsOf(
  command: string,
  counted: CommandCounters,
  old: CommandCounters | undefined,
  seconds: number,
  source: Source,
): CommandStats {
  const calls = grown(counted.calls, old?.calls);
  const reply = since(counted.replyBytes, old?.replyBytes);
  const knowsBytes = source === 'endpoint';
  return {
    command,
    calls,
    callsPerSecond: Math.round((calls / seconds) * 10) / 10,
    failed: grown(counted.failed, old?.failed),
    ...quantiles(since(counted.latency, old?.latency)),
    requestBytes: knowsBytes ? since(counted.requestBytes, old?.requestBytes).sum : null,
    replyBytes: knowsBytes ? reply.sum : null,
    largestReplyBytes: knowsBytes ? largest(reply) : null,
  };
}

function expensive(
  commands: readonly CommandStats[],
  now: DatabaseCounters,
  old: DatabaseCounters | undefined,
  rules: readonly GuardRule[],
): ExpensiveStats[] {
  const calls = new Map(commands.map((each) => [each.command, each.calls]));
  return [...EXPENSIVE.keys()].flatMap((command) => {
    const rule = rules.find((each) => each.command === command) ?? null;
    const acts = now.guard[command];
    const before = old?.guard[command];
    const warned = grown(acts?.warned, before?.warned);
    const refused = grown(acts?.refused, before?.refused);
    const seen = calls.get(command) ?? 0;
    if (rule === null && seen === 0 && warned === 0 && refused === 0) return [];
    return [{ command, rule, calls: seen, warned, refused }];
  });
}

/** All of it when that is of another life: an engine that was restarted counts from nothing. */
function grown(now = 0, before = 0): number {
  return now < before ? now : now - before;
}

function less(
  now: Readonly<Record<string, number>>,
  before: Readonly<Record<string, number>> = {},
): Record<string, number> {
  const entries = Object.entries(now).map(([name, count]) => [name, grown(count, before[name])]);
  return Object.fromEntries(entries.filter(([, count]) => Number(count) > 0));
}
