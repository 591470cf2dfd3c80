/** From samples and the goals table to the results that are printed. Pure. */
import type { Check, Goals } from '../goals.ts';
import type { Measured, MetricResult } from './result.ts';
import { median, round3 } from './stats.ts';

/** `complete`: the full form, which measures all there is; a goal that is not among it was dropped. */
export function judge(
  measured: readonly Measured[],
  goals: Goals,
  complete: boolean,
): MetricResult[] {
  const there = new Set(measured.map(({ metric }) => metric));
  const dropped = complete ? Object.keys(goals).filter((metric) => !there.has(metric)) : [];
  const blank = dropped.map((metric) => ({ metric, unit: '', samples: {}, void: 'not measured' }));
  return [...measured, ...blank].map((m) => judgeOne(m, goals[m.metric] ?? []));
}

function judgeOne(m: Measured, checks: readonly Check[]): MetricResult {
  const own = m.samples['ours'] ?? [];
  const ours = own.length > 0 ? median(own) : null;
  const peers: Record<string, number> = {};
  for (const [name, values] of Object.entries(m.samples)) {
    if (name !== 'ours' && values.length > 0) peers[name] = median(values);
  }
  const met =
    checks.length === 0
      ? null
      : m.void === undefined && ours !== null && checks.every((c) => holds(c, ours, peers));
  return {
    metric: m.metric,
    unit: m.unit,
    ours: ours === null ? null : round3(ours),
    peers: Object.fromEntries(Object.entries(peers).map(([k, v]) => [k, round3(v)])),
    samples: Object.fromEntries(Object.entries(m.samples).map(([k, v]) => [k, v.map(round3)])),
    goal: checks.length === 0 ? null : checks.map(describe).join(', '),
    met,
    ...(m.void === undefined ? {} : { void: m.void }),
    ...(m.note === undefined ? {} : { note: m.note }),
  };
}

/** A check against a rival that was not measured does not hold: absence proves nothing. */
function holds(check: Check, ours: number, peers: Readonly<Record<string, number>>): boolean {
  const limit = limitOf(check, peers);
  if (limit === null) return false;
  return check.is === 'at-least' ? ours >= limit : ours <= limit;
}

function limitOf(check: Check, peers: Readonly<Record<string, number>>): number | null {
  if (check.than === undefined) return check.value;
  const peer = peers[check.than];
  if (peer === undefined) return null;
  const scaled = check.value * peer;
  return check.orIfLarger === undefined ? scaled : Math.max(scaled, check.orIfLarger);
}

function describe(check: Check): string {
  const sign = check.is === 'at-least' ? '>=' : '<=';
  if (check.than === undefined) return `${sign} ${check.value}`;
  const base = `${sign} ${round3(check.value)}x ${check.than}`;
  return check.orIfLarger === undefined ? base : `${base} or ${check.orIfLarger}`;
}
