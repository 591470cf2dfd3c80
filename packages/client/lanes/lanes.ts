/** lanes() and what reads or steers the client that it makes. */

import { type FaceState, kCalling, kChain, kPool } from '../adapters/face.ts';
import { faceOf, IoDriver } from '../adapters/ioredis-lanes.ts';
import { type IoRedis, isIoredis } from '../adapters/ioredis-shape.ts';
import { NodeClusterDriver, takeOverCluster } from '../adapters/node-redis-cluster.ts';
import { NodeDriver, takeOver } from '../adapters/node-redis-lanes.ts';
import {
  isNodeRedis,
  isNodeRedisCluster,
  type NodeClient,
  type NodeCluster,
} from '../adapters/node-redis-shape.ts';
import { KitError } from '../errors.ts';
import { Recorder } from '../telemetry/recorder.ts';
import type { Calling } from './call.ts';
import { type LanesOptions, settingsOf } from './options.ts';
import { Pool } from './pool.ts';

/**
 * A drop-in for the client that `factory` makes, of the very same type, over several connections.
 * `factory` is called once for each lane and must make a new client each time.
 */
export function lanes<T extends object>(factory: () => T, options: LanesOptions = {}): T {
  const settings = settingsOf(options);
  const first = factory();
  if (isIoredis(first)) {
    return ioredisLanes(first, factory as unknown as () => IoRedis, settings) as unknown as T;
  }
  if (isNodeRedisCluster(first)) {
    const driver = new NodeClusterDriver(first._self, factory as unknown as () => NodeCluster);
    const pool = new Pool(driver, settings, new Recorder());
    driver.pool = pool;
    takeOverCluster(first._self, pool, undefined);
    pool.start();
    return first;
  }
  if (isNodeRedis(first)) {
    nodeLanes(first, factory as unknown as () => NodeClient, settings);
    return first;
  }
  throw new KitError(
    'ERR_CLIENT_UNSUPPORTED',
    'lanes() knows clients of ioredis, iovalkey and redis (node-redis 5 and later); the factory made something else',
  );
}

function ioredisLanes(
  first: IoRedis,
  factory: () => IoRedis,
  settings: ReturnType<typeof settingsOf>,
): IoRedis {
  const staggered = settings.retries === false || settings.retries?.reconnect !== 'client';
  const driver = new IoDriver(first, factory, staggered);
  const recorder = new Recorder();
  const pool = new Pool(driver, settings, recorder);
  const face = faceOf(first, pool, undefined);
  driver.pool = pool;
  driver.face = face;
  pool.start();
  recorder.endpoint = pool.endpoint;
  return face;
}

function nodeLanes(
  first: NodeClient,
  factory: () => NodeClient,
  settings: ReturnType<typeof settingsOf>,
): void {
  const driver = new NodeDriver(first._self, factory);
  const recorder = new Recorder();
  const pool = new Pool(driver, settings, recorder);
  driver.pool = pool;
  takeOver(first._self, pool, undefined);
  pool.start();
  recorder.endpoint = pool.endpoint;
}

/** A view of the same client whose calls carry these options. Views share everything else. */
export function calling<T extends object>(redis: T, options: Calling): T {
  const view: T & FaceState = Object.create(redis);
  if (poolOf(redis) === undefined) {
    throw new KitError(
      'ERR_CLIENT_UNSUPPORTED',
      'calling() works on what lanes() or harden() made',
    );
  }
  const all = { ...(redis as FaceState)[kCalling], ...options };
  const chain =
    options.inOrder === true ? { lane: undefined, pending: 0 } : (redis as FaceState)[kChain];
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

/** One line: what went, what came, where the time went, what is large. */
export function report(redis: object): string {
  return poolOf(redis)?.recorder?.report() ?? 'nothing is recorded for this client';
}
