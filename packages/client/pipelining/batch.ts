/**
 * Explicit batches. Commands of one tick travel together anyway (wire/coalesce.ts), so a batch is not
 * for speed: it is for many commands as one operation, with a bound on how many are under way, and
 * an answer that tells those that failed from those that did not, and the failures by what is known
 * of them: did it run, did it not, or does nobody know?
 */
import { type ClientLike, type RawArgument, rawOf } from '../adapters/raw.ts';
import { check, oneOf, shape, signal, whole } from '../checks.ts';
import { windowed } from '../chunked/window.ts';
import { aborted, DeadlineError, KitError, UnknownOutcomeError } from '../errors.ts';
import { BATCH_COMMANDS_MAX } from '../limits.ts';
import { saysLost, saysNotRun } from '../retries/policy.ts';

export type BatchResult =
  | { readonly status: 'done'; readonly reply: unknown }
  /** The server answered with an error: the command had no effect, or what its documentation says. */
  | { readonly status: 'refused'; readonly error: unknown }
  /** It was not run: never sent, or the server said so. It may be made again. */
  | { readonly status: 'not-run'; readonly error: unknown }
  /** It was sent and not answered. */
  | { readonly status: 'unknown'; readonly error: unknown };

export interface BatchOptions {
  /** Commands under way at a time. */
  readonly window?: number;
  readonly signal?: AbortSignal;
  /** 'continue' (default): every command is made; 'stop': none is begun after the first failure. */
  readonly onFailure?: 'continue' | 'stop';
}

export class BatchOutcome {
  readonly results: readonly BatchResult[];

  constructor(results: readonly BatchResult[]) {
    this.results = results;
  }

  get ok(): boolean {
    return this.results.every((result) => result.status === 'done');
  }

  /** Places of the commands that ended so. */
  where(status: BatchResult['status']): number[] {
    return this.results.flatMap((result, index) => (result.status === status ? [index] : []));
  }

  /** All replies, or an error that says how many failed how. */
  replies(): unknown[] {
    if (this.ok)
      return this.results.map((result) => (result.status === 'done' ? result.reply : undefined));
    const first = this.results.find((result) => result.status !== 'done');
    const count = (status: BatchResult['status']): number => this.where(status).length;
    throw new KitError(
      'ERR_CLIENT_BATCH',
      `of ${this.results.length} commands ${count('done')} were done, ${count('refused')} refused, ` +
        `${count('not-run')} not run, of ${count('unknown')} nobody knows`,
      { cause: first !== undefined && 'error' in first ? first.error : undefined },
    );
  }
}

const batchShape = shape({
  window: whole(1),
  signal,
  onFailure: oneOf('continue', 'stop'),
});

/** `commands`: each as its words, `['SET', 'k', 'v']`. Replies are as bytes where they are strings. */
export async function batch(
  redis: ClientLike,
  commands: readonly (readonly RawArgument[])[],
  options: BatchOptions = {},
): Promise<BatchOutcome> {
  check('batch()', options, batchShape);
  const raw = rawOf(redis);
  const results = new Array<BatchResult>(commands.length);
  let stopped: unknown;
  await windowed(commands.length, options.window ?? BATCH_COMMANDS_MAX, async (index) => {
    const command = commands[index] ?? [];
    if (options.signal?.aborted === true) stopped ??= aborted('batch', options.signal.reason);
    if (stopped !== undefined) {
      results[index] = { status: 'not-run', error: stopped };
      return;
    }
    try {
      results[index] = { status: 'done', reply: await raw(...command) };
    } catch (error) {
      results[index] = { status: statusOf(error), error };
      if (options.onFailure === 'stop') stopped ??= error;
    }
  });
  return new BatchOutcome(results);
}

const neverSent = new Set([
  'ERR_CLIENT_OFFLINE',
  'ERR_CLIENT_QUEUE_FULL',
  'ERR_CLIENT_CIRCUIT_OPEN',
  'ERR_CLIENT_GUARD',
  'ERR_CLIENT_CLOSED',
  'ERR_CLIENT_FACTORY',
  'ERR_CLIENT_OPTION',
  'ERR_CLIENT_UNSUPPORTED',
]);

function statusOf(error: unknown): 'refused' | 'not-run' | 'unknown' {
  if (error instanceof UnknownOutcomeError) return 'unknown';
  if (error instanceof DeadlineError) return error.outcomeUnknown ? 'unknown' : 'not-run';
  if (error instanceof KitError) return neverSent.has(error.code) ? 'not-run' : 'unknown';
  if (saysNotRun(error)) return 'not-run';
  if (saysLost(error)) return 'unknown';
  // Server errors begin with a word in capitals; what a library says about its connection does not.
  return error instanceof Error && /^[A-Z]{2,}\b/.test(error.message) ? 'refused' : 'unknown';
}
