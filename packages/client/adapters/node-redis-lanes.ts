import { closedError, KitError, messageOf, refusedHere } from '../errors.ts';
import { Call, type Chain } from '../lanes/call.ts';
import type { Lane } from '../lanes/lane.ts';
import type { Pool } from '../lanes/pool.ts';
import type { Driver } from '../lanes/roster.ts';
import type { Sent } from '../wire/wire.ts';
import { connectedInTime } from './connect.ts';
import { type FaceState, kCalling, kChain, kPool } from './face.ts';
import { fresh, take } from './factory.ts';
import { batchOf, PartCall } from './node-redis-batch.ts';
import { NodeCall, type NodeLaneParts } from './node-redis-call.ts';
import { cutOff, socketOf } from './node-redis-hold.ts';
import { NodeLink } from './node-redis-link.ts';
import { callingOf, runInLibrary, runOnLink, watchError } from './node-redis-run.ts';
import {
  type CommandOptions,
  isNodeRedis,
  type MultiPart,
  type NodeClient,
  type NodeParser,
  type RedisArgument,
  type TransformReply,
} from './node-redis-shape.ts';

type AnyMethod = (...args: unknown[]) => Promise<unknown>;
type Guard = (name: string, args: readonly unknown[], from: number) => void;

export class NodeDriver implements Driver {
  readonly #factory: () => unknown;
  readonly #first: NodeClient;
  readonly #staggered: boolean;
  #used = false;
  pool: Pool | undefined;

  constructor(first: NodeClient, factory: () => unknown, staggered: boolean) {
    this.#first = first;
    this.#factory = factory;
    this.#staggered = staggered;
  }

  open(lane: Lane): void {
    const pool = this.pool as Pool;
    const own = !this.#used;
    const client = own ? take(this.#first) : fresh(this.#factory, isNodeRedis)._self;
    this.#used = true;
    pool.prepare(client);
    let reason = 'not connected yet';
    const link = new NodeLink(client, {
      // The library tells of it later, when what stood behind it may have been answered too.
      refused: (sent) => {
        if (sent instanceof Call) sent.unreadError = true;
        if (sent instanceof NodeCall) pool.overtaken.judge(sent, pool.lanes);
      },
      answered: (sent, now) => {
        if (sent instanceof NodeCall) pool.answered(sent, now);
        else if (sent instanceof PartCall) pool.recorder?.answered(sent, lane, now);
      },
      large: (sent: Sent, wire) => pool.becameLarge(sent, wire, lane),
      largeBytes: pool.settings.largeBytes,
      down: (cause) => {
        if (lane.state === 'ready') pool.down(lane, messageOf(cause));
      },
      ...(this.#staggered ? { reconnectIn: () => lane.reconnectIn(1, pool.offline.size > 0) } : {}),
      lost: (item, written, cause) => {
        if (item instanceof NodeCall) {
          if (item.lane === lane) pool.lost(item, lane, written, cause);
        } else batchOf(item)?.lost(lane, written, cause);
      },
    });
    lane.wires.push(link.wire);
    if (pool.endpoint === '') pool.endpoint = link.wire.endpoint;
    const proto: NodeClient = Object.getPrototypeOf(client);
    const parts: NodeLaneParts = { client, link };
    lane.raw = parts;
    lane.client = {
      library: client,
      alone: true,
      keepsUnsent: false,
      close: () => {
        over = true;
        link.hold.stay();
        return isOpen(client) ? proto.close.call(client) : Promise.resolve();
      },
      destroy: () => {
        over = true;
        link.hold.stay();
        if (isOpen(client)) proto.destroy.call(client);
        // Closing already, and not to be waited for any more.
        else socketOf(client).destroySocket();
      },
      cut: (_, reason) =>
        cutOff(
          client,
          () => proto.destroy.call(client),
          () => link.connect(),
          reason,
        ),
      connectNow: () => link.hold.end(),
      ping: () =>
        Reflect.get(proto, 'isReady', client) === true
          ? proto.sendCommand.call(client, ['PING'])
          : undefined,
      command: (args) =>
        args[0] === 'select'
          ? client.SELECT(Number(args[1]))
          : proto.sendCommand.call(client, args),
    };
    let givenUp = false;
    // The library does not end a connection that it is just making: that one would stay open.
    let over = false;
    client.on('connect', () => {
      if (over) socketOf(client).destroySocket();
    });
    client.on('ready', () => pool.ready(lane));
    const gone = (): void => {
      givenUp = true;
      pool.down(lane, reason);
      pool.ended(lane, reason);
    };
    client.on('error', (error: unknown) => {
      reason = messageOf(error);
      pool.connectFailed(error);
      if (!own && this.#first.listenerCount('error') > 0) this.#first.emit('error', error);
      // Before 6.3 the library does not say that it gives up, but it is not open any more then.
      if (!givenUp && !isOpen(client) && !link.hold.on) gone();
      // As the library would: where nobody listens, connect() fails with it.
      if (own && link.connecting && client.listenerCount('error') === 1) throw error;
    });
    // By the time of its last error the library has said whether it goes on.
    client.on('terminated', gone);
    if (own ? isOpen(client) : true) {
      if (Reflect.get(proto, 'isReady', client) === true) pool.ready(lane);
      else if (!isOpen(client)) {
        link.connect().catch((error: unknown) => {
          if (!givenUp) pool.ended(lane, messageOf(error));
        });
      }
    }
  }
}

/** Overrides the funnels of the instance behind the application's object. */
export function takeOver(raw: NodeClient, pool: Pool, guard: Guard | undefined): void {
  const proto: NodeClient = Object.getPrototypeOf(raw);
  if (raw.options?.clientSideCache !== undefined) {
    throw new KitError(
      'ERR_CLIENT_UNSUPPORTED',
      'lanes(): clientSideCache follows one connection; over several it would serve stale values. Leave it out, or use the plain client',
    );
  }
  own(raw, kPool, pool);
  // What the application asks for is whether it is served, not how the first of several connections is.
  readable(raw, 'isOpen', () => opened && !pool.closed);
  readable(raw, 'isReady', () => !pool.closed && pool.roster.readyLane() !== undefined);
  // Before connect() the library says what is wrong. Later its first connection is one of several.
  let opened = isOpen(raw);
  /** connect() was not answered in time, and the library goes on. */
  let late = false;
  const closed = (): boolean => !opened && !pool.closed;
  const make = (
    args: readonly RedisArgument[],
    options: CommandOptions | undefined,
    transform?: TransformReply,
    preserve?: unknown,
  ): NodeCall => {
    guard?.(String(args[0]), args, 1);
    const calling = options === undefined ? undefined : callingOf(options);
    const call = new NodeCall(args, options?.typeMapping, calling, pool);
    call.transform = transform;
    call.preserve = preserve;
    call.chain = options?.[kChain] as Chain | undefined;
    // Its reply is none of a command's; the library has methods of its own for it.
    if (call.place === 'subscribe') call.fail(refusedHere(call.label));
    else pool.submit(call);
    return call;
  };
  own(
    raw,
    'sendCommand',
    function sendCommand(
      this: NodeClient & FaceState,
      args: readonly RedisArgument[],
      options?: CommandOptions,
    ) {
      // The library's own PING timer, AUTH and WATCH come on the instance itself and without options.
      if (this === raw && options === undefined) {
        connectNow(raw, pool);
        return proto.sendCommand.call(raw, args, options);
      }
      if (closed()) return proto.sendCommand.call(raw, args, options);
      const own = this._commandOptions;
      const all = options === undefined || options === own ? own : { ...own, ...options };
      // The array is its caller's, who may change it while this waits, or is to be made again.
      return make([...args], all).promise;
    },
  );
  // What typed commands end in. The library's version of it adds tracing and client side caching.
  own(
    raw,
    '_executeCommand',
    function execute(
      this: NodeClient,
      command: unknown,
      parser: NodeParser,
      options: CommandOptions | undefined,
      transform: TransformReply | undefined,
    ) {
      const args = parser.redisArgs;
      if (args[0] === 'HIMPORT' || closed())
        return proto._executeCommand.call(raw, command, parser, options, transform);
      const call = make(args, options, transform, parser.preserve);
      return call.promise;
    },
  );
  const batch = (
    method: '_executeMulti' | '_executePipeline',
    kind: 'MULTI' | 'pipeline',
  ): void => {
    own(
      raw,
      method,
      function run(this: NodeClient, commands: readonly MultiPart[], ...rest: unknown[]) {
        if (guard !== undefined) for (const { args } of commands) guard(String(args[0]), args, 1);
        const library = (client: NodeClient): Promise<unknown> =>
          proto[method].call(client, commands, ...rest);
        if (method === '_executeMulti' && raw.isWatching) {
          connectNow(raw, pool);
          // Nothing of it has run, and what it watched is not watched any more.
          const lost = (): Promise<unknown> => {
            connectNow(raw, pool);
            return watchError(raw, 'Client reconnected after WATCH');
          };
          return linkOf(raw, pool).bound.run(() => library(this), lost);
        }
        // SELECT changes what the library remembers for its next connection.
        return rest[0] !== undefined || commands.some(({ args }) => args[0] === 'HIMPORT')
          ? runInLibrary(this, pool, kind, commands, library)
          : runOnLink(this, pool, kind, commands);
      },
    );
  };
  batch('_executeMulti', 'MULTI');
  batch('_executePipeline', 'pipeline');
  eachSubscription(
    proto,
    (method, ...args) => {
      if (pool.closed) throw closedError('SUBSCRIBE');
      const { client, link } = pool.roster.only('subscriber').raw as NodeLaneParts;
      link.hold.end();
      return pool.unlessClosed('SUBSCRIBE', method.apply(client, args));
    },
    (name, method) => own(raw, name, method),
  );
  for (const name of ['MONITOR', 'monitor', 'reset']) {
    own(raw, name, () => Promise.reject(refusedHere(name.toUpperCase())));
  }
  own(raw, 'connect', async function connect(this: NodeClient) {
    if (pool.closed) throw closedError('connect()');
    if (opened && (!isOpen(raw) || late)) {
      // Its own connection was given up (reconnectStrategy), and others have taken its place, or will; or it
      // is still being made.
      const { connectMs } = pool.settings;
      const wait = Number.isFinite(connectMs) ? { deadlineMs: connectMs } : {};
      await make(['PING'], { [kCalling]: wait }).promise;
      late = false;
      return this;
    }
    opened = true;
    const link = linkOf(raw, pool);
    try {
      await connectedInTime(pool, link.connect(), () => {
        late = true;
      });
    } catch (error) {
      // The library has given up, and leaves its client as if it were open: the next connect() may try.
      if (!link.connecting && !pool.closed && isOpen(raw)) {
        opened = false;
        proto.destroy.call(raw);
      }
      throw error;
    }
    return this;
  });
  const close = (): Promise<void> => pool.close();
  for (const name of ['close', 'quit', 'QUIT']) own(raw, name, close);
  for (const name of ['destroy', 'disconnect']) {
    own(raw, name, () => {
      pool.destroy(`${name}() was called`);
      return name === 'disconnect' ? Promise.resolve() : undefined;
    });
  }
}

/** The library is about to put something into its queue for the application's own client, which must be open for it. */
function connectNow(raw: NodeClient, pool: Pool): void {
  for (const lane of pool.lanes) {
    const { client, link } = lane.raw as NodeLaneParts;
    if (client === raw) link.hold.end();
  }
}

/** Of the lane whose client the application holds. */
function linkOf(raw: NodeClient, pool: Pool): NodeLink {
  for (const lane of pool.lanes) {
    const { client, link } = lane.raw as NodeLaneParts;
    if (client === raw) return link;
  }
  throw closedError('connect()');
}

/** Of its own connection, whatever the object says for all of them. */
function isOpen(client: NodeClient): boolean {
  return Reflect.get(Object.getPrototypeOf(client), 'isOpen', client) === true;
}

function readable(target: object, name: string, get: () => boolean): void {
  Object.defineProperty(target, name, { get, configurable: true, enumerable: false });
}

function own(target: object, name: string | symbol, value: unknown): void {
  Object.defineProperty(target, name, {
    value,
    configurable: true,
    writable: true,
    enumerable: false,
  });
}

/** Puts `run` in the place of the methods that subscribe and unsubscribe, by both of their names. */
export function eachSubscription(
  proto: object,
  run: (method: AnyMethod, ...args: unknown[]) => Promise<unknown>,
  put: (name: string, method: AnyMethod) => void,
): void {
  for (const kind of ['', 'P', 'S']) {
    for (const [un, camel] of [
      ['', 'ubscribe'],
      ['UN', 'nsubscribe'],
    ] as const) {
      const name = `${kind}${un}SUBSCRIBE`;
      const method = Reflect.get(proto, name) as AnyMethod;
      const ours = async (...args: unknown[]): Promise<unknown> => run(method, ...args);
      put(name, ours);
      // pSubscribe, unsubscribe
      const first = un === '' ? 's' : 'u';
      put(kind === '' ? first + camel : kind.toLowerCase() + first.toUpperCase() + camel, ours);
    }
  }
}
