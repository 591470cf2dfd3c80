/** From what the writers saw to the figures of each blow. Pure. */
import type { Failure, LoadReport, Pause } from '../load/report.ts';
import type { WritersReport } from './writers.ts';

/** What was done to the primary, and when (milliseconds since 1970). */
export interface Blow {
  readonly kind: string;
  readonly at: number;
  /** The shard was whole again, or the next blow fell. */
  readonly until: number;
}

/**
 * The longest time between two acknowledged writes that overlaps the blow or follows it, and when it
 * began, in ms after the blow: what follows is the copy for a new replica. 0: no two of them were further
 * apart than PAUSE_MIN_MS.
 */
export function unavailability(
  pauses: readonly Pause[],
  blow: Blow,
): { readonly gapMs: number; readonly gapAfterMs: number } {
  // One that the next blow ends belongs to that one, although it began a moment before it.
  const around = pauses.filter((pause) => pause.to >= blow.at && pause.to < blow.until);
  const longest = around.toSorted((a, b) => b.to - b.from - (a.to - a.from))[0];
  return longest === undefined
    ? { gapMs: 0, gapAfterMs: 0 }
    : { gapMs: longest.to - longest.from, gapAfterMs: longest.from - blow.at };
}

/** By which a server says that it does not know whether a write happened. */
const UNKNOWN = new Set(['OUTCOMEUNKNOWN']);
/**
 * A write that was due this long after a blow was not on its way when it fell. A crash is over
 * by then, or the goal is missed; of a process that is only stopped nobody can know for a second that it will not go on.
 */
const NOTICED_MS = { crash: 100, hang: 1_500 } as const;

/**
 * In flight when a blow fell, and said to be unknown: what no server can do better. In flight is also a
 * write that WAIT has answered 0 for: its replica may still get it, until the primary dies.
 */
export function isExplained(failure: Failure, blows: readonly Blow[]): boolean {
  if (!UNKNOWN.has(failure.error)) return false;
  return blows.some(
    (blow) =>
      failure.since <= blow.at + NOTICED_MS[blow.kind === 'hang' ? 'hang' : 'crash'] &&
      failure.endedAt >= blow.at,
  );
}

/** Failures seen from this blow on, until the next: which, and how long after it. */
export function failuresIn(reports: WritersReport, blow: Blow): string[] {
  const failures = [...reports.plain.failures, ...reports.guarded.failures];
  return failures
    .filter(({ endedAt }) => endedAt >= blow.at && endedAt < blow.until)
    .map((failure) => described(failure, blow));
}

function described({ error, since, endedAt }: Failure, blow: Blow): string {
  const after = (at: number): string => (at - blow.at).toFixed(0);
  return `${error} ${after(endedAt)} ms after ${blow.kind}, of ${after(since)} ms`;
}

const EXAMPLES = 5;

export interface Errors {
  readonly explained: number;
  readonly unexplained: number;
  /** The unexplained ones, by what they said. */
  readonly examples: readonly string[];
}

export function errorsOf(report: LoadReport, blows: readonly Blow[]): Errors {
  let explained = 0;
  const others = new Map<string, number>();
  const count = (what: string, times = 1): void => {
    if (times > 0) others.set(what, (others.get(what) ?? 0) + times);
  };
  for (const failure of report.failures) {
    if (isExplained(failure, blows)) explained += 1;
    else {
      const blow = blows.findLast(({ at }) => at <= failure.endedAt);
      count(blow === undefined ? failure.error : described(failure, blow));
    }
  }
  for (const [reason, times] of Object.entries(report.connectionsLost)) {
    count(`connection: ${reason}`, times);
  }
  count('not sent', report.shed);
  const unread = report.verification?.unread ?? [];
  for (const each of unread) count(`not read back: ${each}`);
  return {
    explained,
    unexplained: [...others.values()].reduce((a, b) => a + b, 0),
    examples: [...others].map(([what, times]) => `${times} x ${what}`).slice(0, EXAMPLES),
  };
}

/** Acknowledged writes that are not there, or there twice, or in another order. */
export function lostOf(report: LoadReport): number {
  const v = report.verification;
  if (v === null) throw new Error('the writes of this load were not read back');
  return v.lost + v.duplicated + v.reordered + v.impossible;
}

export function addErrors(reports: WritersReport, blows: readonly Blow[]): Errors {
  const all = [reports.plain, reports.guarded].map((report) => errorsOf(report, blows));
  return {
    explained: all.reduce((sum, each) => sum + each.explained, 0),
    unexplained: all.reduce((sum, each) => sum + each.unexplained, 0),
    examples: all.flatMap((each) => each.examples),
  };
}
