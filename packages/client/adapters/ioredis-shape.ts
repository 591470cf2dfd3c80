/**
 * The parts of ioredis (5, 6) and iovalkey (0.3, 0.4) that the kit works with. Described here and
 * not imported, so that neither library is a dependency; the contract tests run on both.
 */
import type { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { KitError } from '../errors.ts';

export interface IoCommand {
  readonly name: string;
  readonly args: unknown[];
  readonly promise: Promise<unknown>;
  resolve(reply: unknown): unknown;
  reject(error: unknown): void;
  readonly replyEncoding?: string | null;
  readonly inTransaction?: boolean;
  readonly isResolved?: boolean;
  readonly isReadOnly?: boolean;
  /** RESP version and mapping of the connection that brings its reply (ioredis 6). */
  setReplyContext?(of: object): void;
  /** Of its first key. */
  getSlot(): number | null;
  toWritable(socket: Socket): string | Buffer;
}

export type IoCommandClass = new (
  name: string,
  args: unknown[],
  options: { replyEncoding: string | null },
) => IoCommand;

export interface IoQueued {
  readonly command: IoCommand;
  readonly stream?: unknown;
  readonly select?: number;
}

export interface IoQueue {
  readonly length: number;
  peekBack(): IoQueued | undefined;
  peekAt(index: number): IoQueued | undefined;
  push(item: IoQueued): number;
  shift(): IoQueued | undefined;
}

export interface IoOptions {
  host?: string;
  port?: number;
  path?: string | null;
  tls?: unknown;
  commandTimeout?: number | undefined;
  retryStrategy?: ((times: number) => number | null | undefined) | null | undefined;
  autoResendUnfulfilledCommands?: boolean;
  enableAutoPipelining?: boolean;
  enableOfflineQueue?: boolean;
  lazyConnect?: boolean;
  socketTimeout?: number;
  keepAlive?: number;
  keyPrefix?: string;
  maxRetriesPerRequest?: number | null;
  redisOptions?: IoOptions;
  /** Of a cluster client. */
  scaleReads?: 'all' | 'master' | 'slave' | ScaleReads;
  clusterRetryStrategy?: (times: number, reason?: Error) => number | null | undefined;
  maxRedirections?: number;
  retryDelayOnMoved?: number;
  retryDelayOnFailover?: number;
  retryDelayOnTryAgain?: number;
  retryDelayOnClusterDown?: number;
}

type ScaleReads = (
  nodes: readonly (IoRedis | undefined)[],
  command: IoCommand,
) => IoRedis | readonly IoRedis[] | null | undefined;

export interface IoRedis extends EventEmitter {
  readonly options: IoOptions;
  status: string;
  readonly isCluster: boolean;
  stream: Socket | undefined;
  commandQueue: IoQueue;
  offlineQueue: IoQueue;
  reconnectTimeout?: NodeJS.Timeout | null;
  condition?: { protocol?: number; select?: number; subscriber?: unknown };
  sendCommand(command: IoCommand, stream?: unknown, node?: unknown): unknown;
  resetCommandQueue(): void;
  resetOfflineQueue(): void;
  handleReconnection(error: Error, item: IoQueued): void;
  connect(): Promise<void>;
  disconnect(reconnect?: boolean): void;
  quit(): Promise<unknown>;
  select(db: number): Promise<unknown>;
  call(name: string, ...args: unknown[]): Promise<unknown>;
  callBuffer(name: string, ...args: unknown[]): Promise<unknown>;
  pipeline(...args: unknown[]): IoPipeline;
  multi(...args: unknown[]): IoPipeline | Promise<unknown>;
  monitor(...args: unknown[]): Promise<unknown>;
  duplicate(...args: unknown[]): IoRedis;
}

export interface IoCluster extends IoRedis {
  nodes(role?: string): IoRedis[];
  /** Of each slot the addresses ('host:port') of its nodes, the primary first. */
  readonly slots: (string[] | undefined)[];
  readonly _groupsIds: Record<string, number>;
  readonly _groupsBySlot: (number | undefined)[];
  readonly connectionPool: {
    getInstanceByKey(key: string): IoRedis | undefined;
    findOrCreate(place: { host: string; port: number }, readOnly?: boolean): unknown;
  };
  natMapper(key: string): { readonly host: string; readonly port: number };
  refreshSlotsCache(done?: (error?: unknown) => void): void;
}

export interface IoPipeline {
  redis: IoRedis;
  /** It may send itself again; looked at when its replies have come. */
  isCluster: boolean;
  readonly _queue: IoCommand[];
  exec(callback?: unknown): Promise<unknown>;
  readonly promise: Promise<unknown>;
  sendCommand(command: IoCommand): unknown;
}

/** ioredis, iovalkey or something built alike? */
export function isIoredis(client: unknown): client is IoRedis {
  return (
    typeof client === 'object' &&
    client !== null &&
    'sendCommand' in client &&
    'isCluster' in client &&
    'status' in client &&
    'callBuffer' in client
  );
}

/** What the kit needs of a client of one connection, beyond what tells that it is one. */
const parts = [
  'commandQueue',
  'offlineQueue',
  'resetCommandQueue',
  'resetOfflineQueue',
  'handleReconnection',
] as const;

/** A version that was built anew inside is refused when it is wrapped, not by its first lost connection. */
export function checkIoredis(redis: IoRedis): void {
  const { commandQueue } = redis;
  const missing: string[] = parts.filter((name) => redis[name] === undefined);
  for (const name of ['peekBack', 'peekAt', 'push'] as const) {
    if (commandQueue !== undefined && typeof commandQueue[name] !== 'function')
      missing.push(`commandQueue.${name}`);
  }
  refuse(missing);
}

const clusterParts = [
  'slots',
  'connectionPool',
  'natMapper',
  'refreshSlotsCache',
  '_groupsIds',
  '_groupsBySlot',
] as const;

export function checkCluster(cluster: IoCluster): void {
  refuse(clusterParts.filter((name) => cluster[name] === undefined));
}

function refuse(missing: readonly string[]): void {
  if (missing.length === 0) return;
  throw new KitError(
    'ERR_CLIENT_UNSUPPORTED',
    `this version of ioredis or iovalkey has no ${missing.join(', ')}, which the kit needs; ` +
      'it works with ioredis 5.3 to 6 and iovalkey 0.3 to 0.4',
  );
}
