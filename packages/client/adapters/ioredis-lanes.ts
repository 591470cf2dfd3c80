/**
 * lanes() over ioredis and iovalkey, single server or cluster.
 *
 * What the application gets is an object whose prototype is a real client of the factory, so every
 * method, option and `instanceof` is the library's own. It differs in what must: `sendCommand` (the
 * funnel of all commands) asks the pool for a lane; `pipeline` and `multi` aim themselves at one when
 * executed; events and the life cycle speak for all lanes together.
 */
import { EventEmitter } from 'node:events';
import { closedError, messageOf } from '../errors.ts';
import type { Lane } from '../lanes/lane.ts';
import type { Pool } from '../lanes/pool.ts';
import type { Driver } from '../lanes/roster.ts';
import type { Sent, Wire } from '../wire/wire.ts';
import { connectedInTime } from './connect.ts';
import { type FaceState, kCalling, kChain, kPool } from './face.ts';
import { fresh, take } from './factory.ts';
import { IoBatch, type PipelineClient } from './ioredis-batch.ts';
import { IoCall } from './ioredis-call.ts';
import { routeCluster } from './ioredis-cluster.ts';
import { type LinkEvents, linkIoredis } from './ioredis-link.ts';
import { ClusterRoute } from './ioredis-route.ts';
import {
  type IoCluster,
  type IoCommand,
  type IoPipeline,
  type IoRedis,
  isIoredis,
} from './ioredis-shape.ts';
import { ClusterSubscribers } from './ioredis-subscribers.ts';

type Guard = (command: Pick<IoCommand, 'name' | 'args'>) => void;

export class IoDriver implements Driver {
  readonly #factory: () => unknown;
  readonly #staggered: boolean;
  #first: IoRedis | undefined;
  pool: Pool | undefined;
  face: (IoRedis & FaceState) | undefined;

  constructor(first: IoRedis, factory: () => unknown, staggered: boolean) {
    this.#first = first;
    this.#factory = factory;
    this.#staggered = staggered;
  }

  open(lane: Lane): void {
    const redis = this.#first === undefined ? fresh(this.#factory, isIoredis) : take(this.#first);
    this.#first = undefined;
    const pool = this.pool as Pool;
    lane.raw = redis;
    this.#settle(redis, lane, pool);
    pool.prepare(redis);
    const wires = new Map<Wire<Sent>, IoRedis>();
    const link = (one: IoRedis, events: LinkEvents): Wire<Sent> => {
      const wire = linkIoredis(one, events);
      wires.set(wire, one);
      lane.wires.push(wire);
      if (pool.endpoint === '') pool.endpoint = wire.endpoint;
      return wire;
    };
    const listening = redis.isCluster
      ? new ClusterSubscribers(redis as IoCluster, lane, wires)
      : undefined;
    if (redis.isCluster) {
      const unlink = (wire: Wire<Sent>): void => {
        wires.delete(wire);
        lane.detach(wire);
      };
      lane.raw = routeCluster(redis as IoCluster, lane, pool, this.#staggered, link, unlink);
    } else link(redis, eventsOf(redis, lane, pool));

    lane.client = {
      library: redis,
      alone: !redis.isCluster,
      keepsUnsent: false,
      holds: redis.isCluster,
      look: () => listening?.attach(),
      close: async () => {
        if (redis.status === 'wait' || redis.status === 'end') redis.disconnect();
        else await redis.quit();
      },
      destroy: () => redis.disconnect(),
      cut: (wire, reason) => wires.get(wire)?.stream?.destroy(new Error(reason)),
      connectNow: () => {
        if (redis.status !== 'reconnecting') return;
        clearTimeout(redis.reconnectTimeout ?? undefined);
        redis.connect().catch(() => {});
      },
      ping: (wire) => {
        const node = wires.get(wire);
        return node?.status === 'ready' ? node.call('ping') : undefined;
      },
      command: (args) => replay(redis, args),
    };
    this.#listen(redis, lane, pool);
    if (redis.status === 'wait') redis.connect().catch(() => {});
    if (redis.status === 'ready') pool.ready(lane);
  }

  /** Settings of the library that the kit takes over. */
  #settle(redis: IoRedis, lane: Lane, pool: Pool): void {
    for (const options of [redis.options, redis.options.redisOptions]) {
      if (options === undefined) continue;
      options.commandTimeout = undefined;
      options.autoResendUnfulfilledCommands = false;
      // Commands of one tick are joined at the socket; the library's own batches would hold replies back.
      options.enableAutoPipelining = false;
    }
    if (!this.#staggered) return;
    const { retryStrategy, clusterRetryStrategy } = redis.options;
    if (redis.isCluster && typeof clusterRetryStrategy === 'function') {
      // Without any of its nodes. Its calls may be with the lane still, or wait for it.
      redis.options.clusterRetryStrategy = (attempt, reason) => {
        const own = clusterRetryStrategy(attempt, reason);
        lane.wanted = lane.kind === 'subscriber' || lane.pending.size > 0;
        return typeof own === 'number' ? lane.reconnectIn(attempt, pool.offline.size > 0) : own;
      };
    } else if (!redis.isCluster && typeof retryStrategy === 'function') {
      redis.options.retryStrategy = (attempt) => lane.reconnectIn(attempt, pool.offline.size > 0);
    }
  }

  #listen(redis: IoRedis, lane: Lane, pool: Pool): void {
    const face = this.face as IoRedis;
    let reason = 'not connected yet';
    redis.on('ready', () => {
      if (lane.raw instanceof ClusterRoute) lane.raw.opened();
      pool.ready(lane);
      emitFirst(face, pool, lane, 'ready');
    });
    redis.on('connect', () => emitFirst(face, pool, lane, 'connect'));
    redis.on('error', (error: unknown) => {
      reason = messageOf(error);
      pool.connectFailed(error);
      if (face.listenerCount('error') > 0) face.emit('error', error);
    });
    redis.on('close', () => {
      if (lane.state !== 'down') pool.down(lane, reason);
      // Its end is told once for all lanes; see quit().
      if (!pool.closed && ![...pool.lanes].some((one) => one.state === 'ready')) face.emit('close');
    });
    redis.on('reconnecting', (delay: unknown) => face.emit('reconnecting', delay));
    redis.on('end', () => pool.ended(lane, reason));
    for (const event of [
      'message',
      'messageBuffer',
      'pmessage',
      'pmessageBuffer',
      'smessage',
      'smessageBuffer',
    ]) {
      redis.on(event, (...args: unknown[]) => face.emit(event, ...args));
    }
    for (const event of ['+node', '-node', 'node error']) {
      redis.on(event, (...args: unknown[]) => {
        if (event === 'node error') pool.connectFailed(args[0]);
        if (lane.id === 0) face.emit(event, ...args);
      });
    }
  }
}

function eventsOf(redis: IoRedis, lane: Lane, pool: Pool): LinkEvents {
  return {
    down: (cause) => {
      if (lane.state === 'ready') pool.down(lane, cause.message);
    },
    answered: (call, now) => {
      call.settled = true;
      pool.answered(call, now);
    },
    large: (sent, wire) => pool.becameLarge(sent, wire, lane),
    largeBytes: pool.settings.largeBytes,
    lost: (call, written, cause) => pool.lost(call, lane, written, cause),
    refused: (call, error) => call.lane === lane && pool.refused(call, lane, error),
    untaken: (call) => {
      const cause = new Error(`connection to ${pool.endpoint} closed`);
      if (redis.status === 'end') pool.ended(lane, cause.message);
      else pool.down(lane, cause.message);
      if (call.lane === lane && !call.settled) pool.lost(call, lane, false, cause);
    },
  };
}

/** What the library says to a client that is connected, or connects. */
const ALREADY = 'Redis is already connecting/connected';

/** The object that the application gets. */
export function faceOf(first: IoRedis, pool: Pool, guard: Guard | undefined): IoRedis & FaceState {
  const face: IoRedis & FaceState = Object.create(first);
  EventEmitter.call(face);
  face[kPool] = pool;

  face.sendCommand = function (this: IoRedis & FaceState, command: IoCommand) {
    // An argument that cannot become a string: its promise is rejected, and nothing else of it was made.
    if (command.reject === undefined) return command.promise;
    guard?.(command);
    const call = new IoCall(command, this[kCalling]);
    call.chain = this[kChain];
    pool.submit(call);
    if (call.place === 'subscribe') finishByPromise(pool, call);
    return command.promise;
  };
  const { pipeline, multi } = first;
  face.pipeline = function (this: IoRedis & FaceState, ...args: unknown[]) {
    return aim(this, pool, pipeline.apply(this, args), guard);
  };
  face.multi = function (this: IoRedis & FaceState, ...args: unknown[]) {
    const made = multi.apply(this, args);
    return made instanceof Promise ? made : aim(this, pool, made, guard);
  };
  // The library opens a connection of its own for it.
  face.monitor = async (...args) => {
    if (pool.closed) throw closedError('MONITOR');
    guard?.({ name: 'monitor', args: [] });
    return first.monitor(...args);
  };
  face.duplicate = (...args) => first.duplicate(...args);
  // Of a lazy client the kit has made the connection already, which its owner asks for now.
  let connects = first.options.lazyConnect !== true;
  face.connect = () => {
    const again = connects && !pool.closed && statusOf(pool) !== 'reconnecting';
    connects = true;
    return again ? Promise.reject(new Error(ALREADY)) : connected(pool, first);
  };
  const over = (): void => {
    face.emit('close');
    face.emit('end');
  };
  face.disconnect = (reconnect) => {
    if (reconnect === true) {
      for (const { client } of pool.lanes)
        (client?.library as IoRedis | undefined)?.disconnect(true);
      return;
    }
    pool.destroy('disconnect() was called');
    process.nextTick(over);
  };
  face.quit = async (...args: unknown[]) => {
    await pool.close();
    over();
    const callback = args.at(-1);
    if (typeof callback === 'function') callback(null, 'OK');
    return 'OK';
  };
  Object.defineProperty(face, 'status', { configurable: true, get: () => statusOf(pool) });
  return face;
}

/** ready when any lane is; else as the furthest of them. */
function statusOf(pool: Pool): string {
  if (pool.closed) return 'end';
  const lanes = [...pool.lanes];
  if (lanes.some((lane) => lane.state === 'ready')) return 'ready';
  return lanes.some((lane) => lane.state === 'down') ? 'reconnecting' : 'connecting';
}

/** Resolves when a lane is ready, as the library's connect() does. */
function connected(pool: Pool, first: IoRedis): Promise<void> {
  if (pool.closed) return Promise.reject(closedError('connect()'));
  if (statusOf(pool) === 'ready') return Promise.resolve();
  const ready = new Promise<void>((resolve) => first.once('ready', resolve));
  return connectedInTime(pool, ready);
}

/** Makes a pipeline choose its lane at the moment it is executed. */
function aim(
  face: IoRedis & FaceState,
  pool: Pool,
  pipeline: IoPipeline,
  guard: Guard | undefined,
): IoPipeline {
  const exec = pipeline.exec;
  let aimed = false;
  pipeline.exec = function (this: IoPipeline, callback?: unknown) {
    // MULTI's exec comes here twice: once to queue EXEC, once to send. Aim when all is queued.
    if (aimed || pipeline._queue.length === 0) return exec.call(pipeline, callback);
    aimed = true;
    const commands = [...pipeline._queue];
    const unmade = commands.find((command) => command.reject === undefined);
    if (unmade !== undefined) return unmade.promise;
    if (guard !== undefined) for (const command of commands) guard(command);
    return new Promise((resolve, reject) => {
      const run = (lane: Lane, client: PipelineClient): void => {
        pipeline.redis = client as IoRedis;
        const { sendCommand } = pipeline;
        // MULTI's EXEC is queued only now; its fate is the batch's.
        pipeline.sendCommand = (command: IoCommand) => {
          if (command.name === 'exec') pool.adopt(batch.ending(command), lane);
          return sendCommand.call(pipeline, command);
        };
        const over = (): void => {
          // What has no fate yet is not on the lane: the library refused the batch as a whole (keys of several
          // slots), and sent nothing of it.
          for (const call of batch.calls) if (!call.settled) pool.release(call, lane);
        };
        const done: Promise<unknown> = exec.call(pipeline, callback);
        if (pipeline.isCluster) {
          // By its replies it would send itself again. Scripts that are not known do, as calls of their own.
          pipeline.isCluster = false;
          pipeline.redis = face;
        }
        done.then(over, over);
        done.then(resolve, reject);
      };
      const batch = new IoBatch(commands, face[kCalling], face[kChain], run, reject);
      for (const call of batch.calls) {
        // A command's own promise is answered through the pipeline's result.
        call.command.promise.catch(() => {});
      }
      pool.submitBatch(batch);
    });
  };
  return pipeline;
}

/** Replies of a listening connection are not counted: these calls are over when their promise is. */
function finishByPromise(pool: Pool, call: IoCall): void {
  const done = (): void => {
    call.settled = true;
    if (call.lane !== undefined) pool.release(call, call.lane);
  };
  call.command.promise.then(done, done);
}

async function replay(redis: IoRedis, args: readonly (string | Buffer)[]): Promise<unknown> {
  const [name = '', ...rest] = args;
  // select() also remembers the database for the next reconnect.
  if (name === 'select') return redis.select(Number(rest[0]));
  return redis.call(String(name), ...rest);
}

function emitFirst(face: IoRedis, pool: Pool, lane: Lane, event: string): void {
  for (const other of pool.lanes) if (other !== lane && other.state === 'ready') return;
  face.emit(event);
}
