/**
 * The guard: in development it throws where the mistake is made, in production it warns, once a
 * minute for each rule with a count, and lets the command pass: a guard that takes a service down is
 * worse than what it guards against. What is right for a small collection (HGETALL) is a warning in both. Types (`Guarded`) say the same before anything runs.
 */
import { performance } from 'node:perf_hooks';
import { callback, list, oneOf, shape, whole } from '../checks.ts';
import { KitError } from '../errors.ts';
import { GUARD_SAMPLE_MS } from '../limits.ts';
import { guardChannel } from '../telemetry/channels.ts';
import { shown } from '../telemetry/explain.ts';
import {
  defaultLimits,
  type GuardFinding,
  type GuardLimits,
  type GuardRule,
  guardRules,
  inspect,
} from './rules.ts';

export interface GuardOptions {
  /** Default: 'warn' when NODE_ENV is production, else 'throw'. */
  readonly mode?: 'throw' | 'warn';
  /** Rules that are not looked at. */
  readonly allow?: readonly GuardRule[];
  readonly limits?: Partial<GuardLimits>;
  /** Instead of process.emitWarning. */
  readonly warn?: (finding: GuardFinding, timesSinceLast: number) => void;
}

export const guardShape = shape({
  mode: oneOf('throw', 'warn'),
  allow: list(oneOf(...guardRules)),
  limits: shape({
    keyBytes: whole(1),
    valueBytes: whole(1),
    arguments: whole(1),
    range: whole(1),
  }),
  warn: callback,
});

export type GuardCheck = (spelling: string, args: readonly unknown[], from: number) => void;

export function guardOf(options: GuardOptions | boolean | undefined): GuardCheck | undefined {
  if (options === undefined || options === false) return undefined;
  const given = options === true ? {} : options;
  const mode = given.mode ?? (process.env['NODE_ENV'] === 'production' ? 'warn' : 'throw');
  const limits = { ...defaultLimits, ...given.limits };
  const allowed = new Set(given.allow);
  const said = new Map<GuardRule, { at: number; count: number }>();
  const warn = given.warn ?? emit;
  return (spelling, args, from) => {
    const finding = inspect(spelling.toLowerCase(), args, from, limits);
    if (finding === undefined || allowed.has(finding.rule)) return;
    if (guardChannel.hasSubscribers) guardChannel.publish(finding);
    if (mode === 'throw' && finding.rule !== 'whole-collection') throw new GuardError(finding);
    const now = performance.now();
    const last = said.get(finding.rule) ?? { at: Number.NEGATIVE_INFINITY, count: 0 };
    last.count += 1;
    said.set(finding.rule, last);
    if (now - last.at < GUARD_SAMPLE_MS) return;
    warn(finding, last.count);
    last.at = now;
    last.count = 0;
  };
}

export class GuardError extends KitError {
  readonly finding: GuardFinding;

  constructor(finding: GuardFinding) {
    super('ERR_CLIENT_GUARD', sayFinding(finding));
    this.name = 'GuardError';
    this.finding = finding;
  }
}

function sayFinding(finding: GuardFinding): string {
  const of =
    finding.key === undefined ? finding.command : `${finding.command} ${shown(finding.key)}`;
  return `${of} ${finding.problem}. Use ${finding.suggestion}. (rule ${finding.rule})`;
}

function emit(finding: GuardFinding, times: number): void {
  const more = times > 1 ? ` (${times} times since it was last said)` : '';
  process.emitWarning(sayFinding(finding) + more, {
    type: 'RedisGuardWarning',
    code: finding.rule,
  });
}
