/** What is wrong with a database now and would not be seen from its settings and states. Pure. */
import type { Sighting } from '../plan/model.ts';
import type { Problem } from '../service.ts';
import type { InstanceRecord, ShardRecord } from '../store/records.ts';
import { NOT_STARTED_MS } from './limits.ts';

/** The reason of a shard whose cold start has found nothing to load. */
export const STARTING_EMPTY = 'starting-empty';

/** A step that fails at each try. `since`: in ticks. */
export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly since: number;
}

export interface ProblemInput {
  readonly shards: readonly ShardRecord[];
  /** Why the endpoint cannot listen for it; null when it can. */
  readonly listenProblem: string | null;
  /** Of the ports of single shards. */
  readonly unheld: readonly { readonly shard: string; readonly reason: string }[];
  /** The last step that failed, until one succeeds. */
  readonly failure: { readonly message: string } | null;
  /** Recorded as serving, with a primary that does not answer and a next step that fails. */
  readonly stalled: readonly { readonly shard: number; readonly failure: Failure }[];
  /** Shards that serve, with a replica whose start fails at each try. */
  readonly unstarted: readonly { readonly shard: number; readonly failure: Failure }[];
}

/** What of a loop is asked here. */
interface Seen {
  readonly failing: ReadonlyMap<string, Failure>;
  shards(): readonly ShardRecord[];
  instances(): readonly InstanceRecord[];
  sighting(id: string): Sighting | null;
}

/** Shards that nobody serves although their record, which cannot be written perhaps, says so. */
export function stalledOf(seen: Seen): ProblemInput['stalled'] {
  return seen.shards().flatMap(({ index, phase, primary }) => {
    if (phase !== 'serving' || primary === null) return [];
    const sighting = seen.sighting(primary);
    if (sighting?.process !== 'gone' && sighting?.condition !== 'mute') return [];
    const { failing } = seen;
    const failure = failing.get(`shard ${index}`) ?? failing.get(`instance ${primary}`);
    return failure === undefined ? [] : [{ shard: index, failure }];
  });
}

/** `now` in ticks. */
export function unstartedOf(seen: Seen, now: number): ProblemInput['unstarted'] {
  const serving = new Set(seen.shards().flatMap((s) => (s.phase === 'serving' ? [s.index] : [])));
  return seen.instances().flatMap(({ id, shard, phase }) => {
    const failure = seen.failing.get(`instance ${id}`);
    if (failure === undefined || now - failure.since < NOT_STARTED_MS) return [];
    const down = phase === 'dead' || phase === 'planned';
    return down && serving.has(shard) ? [{ shard, failure }] : [];
  });
}

export function problemsOf({
  shards,
  listenProblem,
  unheld,
  failure,
  stalled,
  unstarted,
}: ProblemInput): Problem[] {
  const problems: Problem[] = [];
  if (listenProblem !== null) {
    problems.push({
      code: 'unreachable',
      message: `The endpoint cannot listen for it: ${listenProblem}. It tries again by itself; end whoever holds the port.`,
    });
  }
  for (const shard of shards) {
    const { index, phase, reason, dataLost } = shard;
    if (dataLost !== null) {
      problems.push({
        code: 'data-lost',
        message: `Shard ${index}: ${dataLost.message} (${new Date(dataLost.at).toISOString()}). Load it again, or take note of it: a flush or a failover with acceptDataLoss ends this message.`,
      });
    }
    if (phase === 'down') {
      const why = failure === null ? '' : ` The last step failed: ${failure.message}`;
      problems.push({
        code: 'shard-down',
        message: `Shard ${index} does not serve (${reason.code}): ${reason.message}${why}`,
      });
    }
  }
  for (const { shard, failure: step } of stalled) {
    problems.push({
      code: 'shard-stalled',
      message:
        step.code === 'DiskFull'
          ? `Shard ${shard} does not serve: its primary does not answer, and who takes over must be recorded first, for which the disk has no room. Free some space; it goes on by itself.`
          : `Shard ${shard} does not serve: its primary does not answer, and the next step fails: ${step.message}`,
    });
  }
  // Last: the cache serves all the same.
  for (const { shard, failure: step } of unstarted) {
    problems.push({
      code: 'replica-not-started',
      message: `Shard ${shard} has a copy less than it should: a replica cannot be started (${step.code}): ${step.message} It is tried again by itself.`,
    });
  }
  for (const { shard, reason } of unheld) {
    problems.push({
      code: 'shard-port-taken',
      message: `The endpoint cannot listen at the port of shard ${shard.split('/').at(-1)}: ${reason}. Its clients are sent to the port of the cache meanwhile. It tries again by itself; end whoever holds the port.`,
    });
  }
  return problems;
}

/** The name of what went wrong in a step. */
export function codeOf(error: unknown): string {
  const named = typeof error === 'object' && error !== null && 'code' in error;
  return named && typeof error.code === 'string' ? error.code : 'action-failed';
}
