/**
 * What becomes of a call when its connection ends or the server says that it did not run it: made
 * again, on another lane or later, or failed with what is known. See retries/policy.ts for which.
 */
import { setMaxListeners } from 'node:events';
import { performance } from 'node:perf_hooks';
import {
  aborted,
  closedError,
  FactoryError,
  KitError,
  lostForGood,
  messageOf,
  UnknownOutcomeError,
} from '../errors.ts';
import { GIVEN_UP_MS } from '../limits.ts';
import { reconnectDelay } from '../retries/backoff.ts';
import { saysDown, saysLost, saysNotRun } from '../retries/policy.ts';
import { retryChannel } from '../telemetry/channels.ts';
import { shown } from '../telemetry/explain.ts';
import type { Call } from './call.ts';
import type { Lane } from './lane.ts';
import type { Placeable } from './placeable.ts';
import type { Pool } from './pool.ts';
import { unblock } from './unblock.ts';

/**
 * Listens to the signal of a call that is on no lane: when it is new, and when it is made again. A batch
 * that is not sent yet ends as a whole, each of its calls by itself afterwards.
 */
export function heed(pool: Pool, call: Call, item: Placeable = call): void {
  const signal = call.calling?.signal;
  if (signal === undefined || call.settled) return;
  const giveUp = (): void => {
    if (item !== call && !item.settled) item.fail(aborted(item.label, signal.reason));
    else pool.giveUp(call, aborted(call.label, signal.reason));
  };
  if (signal.aborted) return giveUp();
  call.unheed();
  call.onAbort = giveUp;
  // Many calls with one signal are no leak.
  if (signal instanceof EventTarget) setMaxListeners(0, signal);
  signal.addEventListener('abort', call.onAbort, { once: true });
}

/** The connection of these calls is gone. `written`: they may have run. */
export function callLost(
  pool: Pool,
  call: Call,
  lane: Lane,
  written: boolean,
  cause: unknown,
): void {
  // The end of a lane and that of its connections both tell of it: made again twice, it would run twice.
  pool.release(call, lane, () => {
    if (!call.settled) becomesOf(pool, call, written, cause);
  });
}

function becomesOf(pool: Pool, call: Call, written: boolean, cause: unknown): void {
  if (call.givenUp !== undefined) return call.fail(call.givenUp);
  pool.connectionLost(cause);
  const repeatable = !written || mayRepeat(pool, call);
  if (repeatable instanceof Error) return call.fail(repeatable);
  const unknown = (): UnknownOutcomeError => unknownOf(call, cause);
  if (!repeatable) return call.fail(unknown());
  // A part of a transaction that is made again would be a command by itself.
  const left = call.inTransaction
    ? 'in a transaction'
    : again(pool, call, cause, !written, unknown);
  if (left === 'again') return;
  // Where nothing is ever repeated there is no more to say than the library does.
  call.fail(
    pool.policy.attempts === 1
      ? cause
      : lostForGood(call.label, written, left, cause, pool.offline.why),
  );
}

/**
 * The connection of a batch is gone. `outcome`: why it cannot be made again, if so; else it is made again
 * as a whole, in its place.
 */
export function batchLost(
  pool: Pool,
  batch: Placeable,
  lane: Lane,
  cause: unknown,
  outcome: KitError | undefined,
): void {
  pool.releaseAll(batch, lane, () => {
    if (batch.settled) return;
    pool.connectionLost(cause);
    if (outcome !== undefined) return batch.fail(outcome);
    const [first] = batch.calls;
    const delayMs = first === undefined ? 'no attempt left' : pool.policy.next(first, true);
    if (first !== undefined && typeof delayMs === 'number') {
      tellOfRetry(first, delayMs, cause);
      for (const call of batch.calls) heed(pool, call, batch);
      return pool.place(batch);
    }
    const left = delayMs as Exclude<typeof delayMs, number>;
    batch.fail(
      pool.policy.attempts === 1
        ? cause
        : lostForGood(batch.label, false, left, cause, pool.offline.why),
    );
  });
}

function unknownOf(call: Call, cause: unknown): UnknownOutcomeError {
  return new UnknownOutcomeError(call.name.toUpperCase(), shown(call.key), cause);
}

/** The application's own function (retries.idempotent) may throw; here nobody else could hear of it. */
function mayRepeat(pool: Pool, call: Call): boolean | Error {
  try {
    return pool.policy.repeatable(call);
  } catch (error) {
    return error instanceof Error ? error : new Error(messageOf(error));
  }
}

/** An error reply. True: the pool takes care of it. */
export function callRefused(pool: Pool, call: Call, lane: Lane, error: unknown): boolean {
  if (call.settled || call.inTransaction) return false;
  const notRun = saysNotRun(error);
  if (!notRun && !(saysLost(error) && mayRepeat(pool, call) === true)) return false;
  if (saysDown(error)) pool.breaker?.failed(performance.now());
  pool.release(call, lane);
  if (pool.overtaken.judge(call, pool.lanes)) return false;
  return again(pool, call, error, false, () => error) === 'again';
}

/**
 * Makes the call once more; else why not. What was never sent repeats nothing: it costs no budget.
 *
 * Where it can be it is made in its place, before all that was asked for later: at once, on another lane (unless what
 * was asked for later is still in a library's queue for the first); or where there is none, as the next that goes when there is. Else it has to wait while others do not: a write
 * that something was asked for after meanwhile would end up on top of it, so then it fails: as `overtaken` says.
 */
function again(
  pool: Pool,
  call: Call,
  cause: unknown,
  neverSent: boolean,
  overtaken: () => unknown,
): 'again' | 'no attempt left' | 'no budget left' {
  const delayMs = pool.policy.next(call, neverSent);
  if (typeof delayMs !== 'number') return delayMs;
  tellOfRetry(call, delayMs, cause);
  heed(pool, call);
  const other = pool.roster.readyLane();
  const inPlace =
    other === undefined
      ? pool.settings.offline.calls > 0
      : other.client?.holds === true ||
        (call.attempts === 1 && other !== call.lane && call.lane?.client?.keepsUnsent !== true);
  if (neverSent || (inPlace && !saysNotRun(cause))) pool.place(call);
  else placeLater(pool, call, delayMs, overtaken);
  return 'again';
}

function tellOfRetry(call: Call, delayMs: number, cause: unknown): void {
  if (!retryChannel.hasSubscribers) return;
  retryChannel.publish({
    command: call.name,
    key: call.key,
    attempt: call.attempts,
    delayMs,
    reason: cause,
  });
}

function placeLater(pool: Pool, call: Call, delayMs: number, overtaken: () => unknown): void {
  const minds = !call.facts.read;
  if (minds) {
    if (pool.overtaken.judge(call, pool.lanes)) return call.fail(overtaken());
    pool.overtaken.wait(call);
  }
  pool.later(() => {
    if (minds && pool.overtaken.end(call) && !call.settled) call.fail(overtaken());
    else pool.place(call);
  }, delayMs);
}

/**
 * The caller no longer waits. A blocking command must not stay behind at the server, where it would take
 * an element that nobody gets: its connection ends with it. But the server may have given it one already.
 * So the server is asked to end it, or where that cannot be, what has come is read first; and until the
 * connection has ended a reply still counts: the element goes to the caller after all, instead of nowhere.
 * True: a blocking lane went.
 */
export function callGivenUp(pool: Pool, call: Call, error: unknown): boolean {
  const { lane } = call;
  if (lane?.kind !== 'blocking' || !call.listed) {
    call.fail(error);
    return false;
  }
  if (call.givenUp !== undefined) return false;
  call.giveUp(error);
  lane.state = 'ended';
  pool.roster.remove(lane);
  pool.roster.announce(lane, 'closed', 'its caller gave up');
  const { client } = lane;
  const end = (): void => client?.destroy('its caller gave up');
  const asked = unblock(pool, lane);
  // The second one runs after a whole look at all sockets.
  if (!asked) setImmediate(() => setImmediate(end));
  setTimeout(() => {
    if (asked) end();
    pool.release(call, lane);
    call.fail(error);
  }, GIVEN_UP_MS);
  return true;
}

/**
 * The client is closed: what is still on this lane ends now. Nobody relies on the library for it, which has moved
 * some of it elsewhere (a cluster client's own queues and retries) and would never say a word.
 */
export function laneClosed(pool: Pool, lane: Lane): void {
  for (const call of [...lane.pending]) callClosed(pool, call, lane);
}

export function callClosed(pool: Pool, call: Call, lane: Lane): void {
  const mayHaveRun = call.writtenAt > 0 && !call.read;
  const error = mayHaveRun ? unknownOf(call, closedError(call.label)) : closedError(call.label);
  pool.release(call, lane, () => call.fail(call.givenUp ?? error));
}

/** What was on a lane that is gone for good, and the lane that takes its place. */
export function laneEnded(pool: Pool, lane: Lane, reason: string): void {
  const gone = new KitError('ERR_CLIENT_OFFLINE', `the connection ended: ${reason}`, {
    cause: pool.offline.why,
  });
  for (const call of [...lane.pending]) callLost(pool, call, lane, call.writtenAt > 0, gone);
  if (lane.kind === 'blocking') pool.placement.moreBlocking();
  replaceLater(pool, lane.losses + 1);
}

/** A factory that throws is asked again later, like a server that is away. */
function replaceLater(pool: Pool, losses: number): void {
  const missing = (): boolean => !pool.closed && pool.roster.small.length < pool.settings.smallMin;
  if (!missing()) return;
  pool.later(() => {
    if (!missing()) return;
    try {
      pool.roster.open('small', 'replaces one that ended').losses = losses;
    } catch (error) {
      if (!(error instanceof FactoryError)) throw error;
      replaceLater(pool, losses + 1);
    }
  }, reconnectDelay(losses));
}
