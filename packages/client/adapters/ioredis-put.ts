/** How calls get onto a connection of a cluster client, where it is more than to send one command. */
import { KitError } from '../errors.ts';
import { callClosed } from '../lanes/fate.ts';
import type { Lane } from '../lanes/lane.ts';
import type { Pool } from '../lanes/pool.ts';
import { tellFailed } from '../telemetry/tell.ts';
import type { IoBatch } from './ioredis-batch.ts';
import type { IoCall } from './ioredis-call.ts';
import type { IoCluster, IoCommand, IoRedis } from './ioredis-shape.ts';

type Put = (command: IoCommand, stream?: unknown) => unknown;

/**
 * A batch for the first time. The library's own part checks its keys, makes its result and its bytes; what it takes
 * for the cluster client is this node of it, so that it sends nothing again by itself.
 */
export function runOn(
  batch: IoBatch,
  lane: Lane,
  cluster: IoCluster,
  node: IoRedis,
  put: Put,
): void {
  const { slots, options, status, _groupsBySlot } = cluster;
  batch.run(lane, {
    slots,
    options,
    status,
    _groupsBySlot,
    connectionPool: { nodes: { all: {} }, getInstanceByKey: () => undefined },
    sendCommand: (command: IoCommand, stream: unknown, destination: { redis?: IoRedis }) => {
      destination.redis = node;
      return put(command, stream);
    },
  });
}

/** The same once more, in one piece; what has its reply keeps that. */
export function putAgain(batch: IoBatch, node: IoRedis, put: Put): void {
  const pieces: Buffer[] = [];
  const stream = {
    isPipeline: true,
    destination: { redis: node },
    write: (piece: string | Buffer) => pieces.push(Buffer.from(piece)),
  };
  for (const { command } of batch.calls) put(command, stream);
  node.stream?.write(Buffer.concat(pieces));
}

/**
 * What the library has other ways for than a node of the slot: listening connections, imports. It may send it again
 * by itself, and ends it without a word on any wire.
 */
export function byLibrary(cluster: IoCluster, call: IoCall, pool: Pool): void {
  const { lane } = call;
  const command = call.renewed();
  const { reject } = command;
  const ours = (): boolean => lane !== undefined && call.lane === lane && call.listed;
  command.reject = (error) => {
    // Of what is ended because the client is closed the library says what it found on its way.
    if (pool.closed && lane !== undefined && ours() && isOfLibrary(error))
      callClosed(pool, call, lane);
    else reject.call(command, error);
  };
  cluster.sendCommand(command);
  const over = (): void => {
    if (lane === undefined || !ours()) return;
    call.settled = true;
    pool.release(call, lane);
  };
  command.promise.then(over, (error: unknown) => {
    if (ours() && !call.settled) tellFailed(call, error);
    over();
  });
}

function isOfLibrary(error: unknown): boolean {
  return !(error instanceof KitError) && !(error instanceof Error && error.name === 'ReplyError');
}
