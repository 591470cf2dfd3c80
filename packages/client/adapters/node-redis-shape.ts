/**
 * The parts of node-redis (`redis` 5.12 to 6: createClient; createCluster from 6.2) that the kit works with.
 * Described here and not imported; the contract tests run on the library.
 */
import type { EventEmitter } from 'node:events';

export type RedisArgument = string | Buffer;

/** What the library takes for an abort signal: two methods and a flag; see node-redis-link.ts. */
export interface SignalLike {
  readonly aborted: boolean;
  addEventListener(type: string, listener: () => void): void;
  removeEventListener(type: string, listener: () => void): void;
}

export interface CommandOptions {
  readonly typeMapping?: unknown;
  readonly abortSignal?: SignalLike | AbortSignal;
  readonly timeout?: number | undefined;
  readonly asap?: boolean;
  /** By a cluster client: of the command's first key. */
  readonly slotNumber?: number | undefined;
  readonly [extra: symbol]: unknown;
}

export type TransformReply = (reply: unknown, preserve: unknown, typeMapping: unknown) => unknown;

export interface NodeQueue {
  readonly decoder: {
    write(chunk: Buffer): void;
    onReply(reply: unknown): void;
    onErrorReply(error: unknown): void;
    getTypeMapping(): unknown;
  };
  addCommand(args: readonly RedisArgument[], options?: CommandOptions): Promise<unknown>;
  isWaitingToWrite(): boolean;
  isEmpty(): boolean;
  commandsToWrite(): Iterable<readonly (string | Buffer)[]>;
  flushWaitingForReply(error: unknown): void;
  flushAll(error: unknown): void;
  readonly isPubSubActive: boolean;
}

export interface NodeSocket extends EventEmitter {
  readonly isOpen: boolean;
  connect(): Promise<void>;
  /** It is not to be open any more: nothing is ended, and nothing said. */
  close(): void;
  destroySocket(): void;
}

export interface NodeClient extends EventEmitter {
  readonly _self: NodeClient;
  _commandOptions: CommandOptions | undefined;
  readonly options:
    | {
        socket?: { host?: string; port?: number; path?: string; reconnectStrategy?: unknown };
        clientSideCache?: unknown;
      }
    | undefined;
  readonly isOpen: boolean;
  readonly isReady: boolean;
  readonly isWatching: boolean;
  _getQueue(): NodeQueue;
  _ejectSocket(): NodeSocket;
  _insertSocket(socket: NodeSocket): void;
  sendCommand(args: readonly RedisArgument[], options?: CommandOptions): Promise<unknown>;
  _executeCommand(
    command: unknown,
    parser: NodeParser,
    options: CommandOptions | undefined,
    transform: TransformReply | undefined,
  ): Promise<unknown>;
  _executeMulti(commands: readonly MultiPart[], ...rest: unknown[]): Promise<unknown>;
  _executePipeline(commands: readonly MultiPart[], ...rest: unknown[]): Promise<unknown>;
  /** The next transaction fails with this, before anything of it is sent. */
  setDirtyWatch(message: string): void;
  connect(): Promise<unknown>;
  close(): Promise<void>;
  destroy(): void;
  SELECT(db: number): Promise<void>;
}

export interface MultiPart {
  readonly args: readonly RedisArgument[];
}

export interface NodeParser {
  readonly redisArgs: readonly RedisArgument[];
  readonly firstKey?: RedisArgument | undefined;
  readonly preserve?: unknown;
}

/** For each node that a command goes to: how it is executed there. */
export type MakeRun = (
  parser: NodeParser,
) => (client: NodeClient, options: CommandOptions) => Promise<unknown>;

export interface NodeCluster extends EventEmitter {
  readonly _self: NodeCluster;
  _commandOptions: CommandOptions | undefined;
  readonly isOpen: boolean;
  readonly isReady: boolean;
  _executeWithPolicies(
    parser: NodeParser,
    isReadonly: boolean | undefined,
    options: CommandOptions | undefined,
    makeRun: MakeRun,
  ): Promise<unknown>;
  /** On the node of the parser's first key, following MOVED and ASK. */
  _execute(
    parser: NodeParser,
    isReadonly: boolean | undefined,
    options: CommandOptions | undefined,
    run: (client: NodeClient, options: CommandOptions) => Promise<unknown>,
  ): Promise<unknown>;
  connect(): Promise<unknown>;
  close(): Promise<void>;
  destroy(): void;
  MULTI(routing?: unknown): unknown;
}

export function isNodeRedis(client: unknown): client is NodeClient {
  return (
    typeof client === 'object' &&
    client !== null &&
    '_self' in client &&
    '_executeMulti' in client &&
    '_getQueue' in client
  );
}

export function isNodeRedisCluster(client: unknown): client is NodeCluster {
  return (
    typeof client === 'object' &&
    client !== null &&
    '_self' in client &&
    '_executeWithPolicies' in client
  );
}

/** An error that the server sent, as against one of the connection. */
export function isErrorReply(error: unknown): boolean {
  for (
    let at: unknown = error;
    typeof at === 'object' && at !== null;
    at = Object.getPrototypeOf(at)
  ) {
    if (at.constructor?.name === 'ErrorReply') return true;
  }
  return false;
}
