/** What is wrong with a database now and would not be seen from its settings and states. Pure. */
import type { Problem } from '../service.ts';
import type { ShardRecord } from '../store/records.ts';

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
}

export function problemsOf({ shards, listenProblem, unheld, failure }: ProblemInput): Problem[] {
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
  // Last: the cache serves all the same.
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
