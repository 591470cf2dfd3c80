/** lanes() and what reads or steers the client that it makes. */

import { type FaceState, kCalling, kChain, kPool } from '../adapters/face.ts';
import { faceOf, IoDriver } from '../adapters/ioredis-lanes.ts';
import { type IoCommand, isIoredis } from '../adapters/ioredis-shape.ts';
import { NodeClusterDriver, takeOverCluster } from '../adapters/node-redis-cluster.ts';
import { NodeDriver, takeOver } from '../adapters/node-redis-lanes.ts';
import { isNodeRedis, isNodeRedisCluster } from '../adapters/node-redis-shape.ts';
import { unsupported } from '../adapters/unsupported.ts';
import { type Check, check, duration, shape, signal, yesOrNo } from '../checks.ts';
import type { DeadlineOptions } from '../deadlines/classes.ts';
import { FactoryError, KitError } from '../errors.ts';
import { guardOf } from '../guard/guard.ts';
import { adviseOn } from '../identity/advise.ts';
import { type LargeKey, Recorder } from '../telemetry/recorder.ts';
import type { Calling } from './call.ts';
import { type LanesOptions, lanesShape, settingsOf } from './options.ts';
import { Pool } from './pool.ts';

/**
 * A drop-in for the client that `factory` makes, of the very same type, over several connections.
 * `factory` is called once for each lane and must make a new client each time.
 */
export function lanes<T extends object>(factory: () => T, options: LanesOptions = {}): T {
  check('lanes()', factory, makesClients, 'the factory');
  check('lanes()', options, lanesShape);
  const first: unknown = factory();
  if (first instanceof Promise || typeof first !== 'object' || first === null) {
    // Whatever becomes of it is nobody's concern any more.
    if (first instanceof Promise) first.catch(() => {});
    const got = first instanceof Promise ? 'a promise (an async function?)' : String(first);
    throw new FactoryError(
      `gave ${got} instead of a client; make the client there and connect afterwards`,
    );
  }
  return wrap('lanes()', first as T, factory, options, false);
}

/** The same machinery around one connection; `where`: harden() or observe(). */
export function wrapOne<T extends object>(where: string, redis: T, options: LanesOptions): T {
  const again = redis as unknown as { duplicate(): T };
  return wrap(
    where,
    redis,
    () => again.duplicate(),
    { ...options, small: { min: 1, max: 1 }, bulk: { max: 0 } },
    true,
  );
}

function wrap<T extends object>(
  where: string,
  first: T,
  factory: () => T,
  options: LanesOptions,
  single: boolean,
): T {
  if (poolOf(first) !== undefined) {
    throw new KitError('ERR_CLIENT_OPTION', 'this client is wrapped already');
  }
  const refused = unsupported(where, first);
  if (refused !== undefined) {
    // The factory made it for the kit: nobody else would end it.
    if (!single && isIoredis(first)) first.disconnect();
    throw refused;
  }
  adviseOn(first);
  const guard = guardOf(options.guard);
  const settings = {
    ...settingsOf({ ...options, deadlines: deadlinesFor(first, options) }),
    single,
  };
  const recorder = new Recorder();
  const staggered = settings.retries === false || settings.retries?.reconnect !== 'client';
  if (isIoredis(first)) {
    const driver = new IoDriver(first, factory, staggered);
    const pool = new Pool(driver, settings, recorder);
    const looked =
      guard === undefined
        ? undefined
        : (command: Pick<IoCommand, 'name' | 'args'>) => guard(command.name, command.args, 0);
    const face = faceOf(first, pool, looked);
    driver.pool = pool;
    driver.face = face;
    pool.start();
    return face as unknown as T;
  }
  if (isNodeRedisCluster(first)) {
    const driver = new NodeClusterDriver(first._self, factory, staggered);
    const pool = new Pool(driver, settings, recorder);
    driver.pool = pool;
    takeOverCluster(first._self, pool, guard);
    pool.start();
    return first;
  }
  if (isNodeRedis(first)) {
    const driver = new NodeDriver(first._self, factory, staggered);
    const pool = new Pool(driver, settings, recorder);
    driver.pool = pool;
    takeOver(first._self, pool, guard);
    pool.start();
    return first;
  }
  throw new KitError(
    'ERR_CLIENT_UNSUPPORTED',
    `${where}: the kit knows clients of ioredis (5.3 to 6), iovalkey (0.3, 0.4) and redis (node-redis 5.12 to 6, clusters from 6.2); this is something else`,
  );
}

/** A `commandTimeout` of the client's own is what its owner wants, unless told otherwise here. */
function deadlinesFor(first: object, options: LanesOptions): DeadlineOptions | false {
  if (options.deadlines !== undefined) return options.deadlines;
  const own = isIoredis(first)
    ? (first.options.commandTimeout ?? first.options.redisOptions?.commandTimeout)
    : undefined;
  return own === undefined ? {} : { fastMs: own, slowMs: own };
}

const makesClients: Check = (value, name) =>
  typeof value === 'function'
    ? undefined
    : `${name} must be a function that makes a new client each time it is called: lanes(() => new Redis(url))`;

const callingShape = shape({
  signal,
  deadlineMs: duration,
  idempotent: yesOrNo,
  inOrder: yesOrNo,
  large: yesOrNo,
});

/** A view of the same client whose calls carry these options. Views share everything else. */
export function calling<T extends object>(redis: T, options: Calling): T {
  check('calling()', options, callingShape);
  const view: T & FaceState = Object.create(redis);
  if (poolOf(redis) === undefined) {
    throw new KitError(
      'ERR_CLIENT_UNSUPPORTED',
      'calling() works on what lanes() or harden() made',
    );
  }
  const all = { ...(redis as FaceState)[kCalling], ...options };
  const chain =
    options.inOrder === true
      ? { lane: undefined, pending: 0, turn: 0 }
      : (redis as FaceState)[kChain];
  view[kCalling] = all;
  if (chain !== undefined) view[kChain] = chain;
  // node-redis hands a view's command options, and nothing else of it, down to where calls are made.
  if (isNodeRedis(view) || isNodeRedisCluster(view))
    view._commandOptions = { ...view._commandOptions, [kCalling]: all, [kChain]: chain };
  return view;
}

export function poolOf(redis: object): Pool | undefined {
  return (redis as FaceState)[kPool];
}

export interface LaneView {
  readonly lane: string;
  readonly state: string;
  readonly pending: number;
  readonly expectedBytes: number;
}

/** What the lanes do right now. */
export function lanesOf(redis: object): readonly LaneView[] {
  const pool = poolOf(redis);
  if (pool === undefined) return [];
  return [...pool.lanes].map((lane) => ({
    lane: lane.label,
    state: lane.state,
    pending: lane.pending.size,
    expectedBytes: lane.load,
  }));
}

/** The largest values that were written and read, the largest first; bytes as the server sends them. */
export function largestKeys(redis: object): readonly LargeKey[] {
  return poolOf(redis)?.recorder?.largeKeys ?? [];
}

/** One line: what went, what came, where the time went, what is large. */
export function report(redis: object): string {
  return poolOf(redis)?.recorder?.report() ?? 'nothing is recorded for this client';
}
