/**
 * lanes() over node-redis clusters (`createCluster`).
 *
 * Here a lane is a whole cluster client, and the library goes on choosing nodes, following MOVED and
 * ASK and splitting commands over shards: the kit comes in before that (which lane) and after it
 * (the wires of each node's connection, attached when a command first goes to it). Calls go through
 * the library's queues; as to the rest, a call is one whatever it became on its way.
 */
import { closedError, messageOf, UnknownOutcomeError } from '../errors.ts';
import { Call, type Calling, type Chain } from '../lanes/call.ts';
import type { Lane } from '../lanes/lane.ts';
import { turnedLarge } from '../lanes/measure.ts';
import type { Pool } from '../lanes/pool.ts';
import type { Driver } from '../lanes/roster.ts';
import type { Sent } from '../wire/wire.ts';
import { type FaceState, kCalling, kChain, kPool } from './face.ts';
import { fresh, take } from './factory.ts';
import { NodeBatch } from './node-redis-batch.ts';
import { eachSubscription, isConnectionError } from './node-redis-lanes.ts';
import { NodeLink } from './node-redis-link.ts';
import {
  type CommandOptions,
  isErrorReply,
  isNodeRedisCluster,
  type MakeRun,
  type NodeClient,
  type NodeCluster,
  type NodeParser,
  type RedisArgument,
} from './node-redis-shape.ts';
import { Watched } from './node-redis-watched.ts';

type Guard = (name: string, args: readonly unknown[], from: number) => void;
type AnyMethod = (...args: unknown[]) => Promise<unknown>;

interface ClusterParts {
  readonly cluster: NodeCluster;
  readonly links: Map<NodeClient, NodeLink>;
  link(client: NodeClient): NodeLink;
}

export class NodeClusterDriver implements Driver {
  readonly #factory: () => unknown;
  readonly #first: NodeCluster;
  #used = false;
  pool: Pool | undefined;

  constructor(first: NodeCluster, factory: () => unknown) {
    this.#first = first;
    this.#factory = factory;
  }

  open(lane: Lane): void {
    const pool = this.pool as Pool;
    const own = !this.#used;
    const cluster = own ? take(this.#first) : fresh(this.#factory, isNodeRedisCluster)._self;
    this.#used = true;
    pool.prepare(cluster);
    const proto: NodeCluster = Object.getPrototypeOf(cluster);
    const links = new Map<NodeClient, NodeLink>();
    const parts: ClusterParts = {
      cluster,
      links,
      link: (client) => {
        const raw = client._self;
        const known = links.get(raw);
        if (known !== undefined) return known;
        const link = new NodeLink(raw, {
          answered: (sent, now) => {
            if (sent instanceof Part) sent.answered(now);
          },
          large: (sent, wire) => {
            if (sent instanceof Part) turnedLarge(sent.call, pool.settings);
            pool.becameLarge(sent, wire, lane);
          },
          largeBytes: pool.settings.largeBytes,
          down: () => {},
          lost: () => {},
        });
        links.set(raw, link);
        lane.wires.push(link.wire);
        if (pool.endpoint === '') pool.endpoint = link.wire.endpoint;
        return link;
      },
    };
    lane.raw = parts;
    lane.client = {
      library: cluster,
      alone: false,
      close: () => (cluster.isOpen ? proto.close.call(cluster) : Promise.resolve()),
      destroy: () => proto.destroy.call(cluster),
      cut: (wire) => {
        for (const [client, link] of links) {
          if (link.wire !== wire) continue;
          client.destroy();
          client.connect().catch(() => {});
        }
      },
      command: () => Promise.resolve(),
    };
    let reason = 'not connected yet';
    cluster.on('error', (error: unknown) => {
      reason = messageOf(error);
      pool.offline.why = error;
      if (!own && this.#first.listenerCount('error') > 0) this.#first.emit('error', error);
    });
    cluster.on('node-error', (error: unknown) => {
      pool.offline.why = error;
    });
    cluster.on('node-disconnect', () => this.#prune(parts, lane));
    if (own) return;
    proto.connect.call(cluster).then(
      () => pool.ready(lane),
      () => pool.ended(lane, reason),
    );
  }

  #prune(parts: ClusterParts, lane: Lane): void {
    for (const [client, link] of parts.links) {
      if (client.isOpen) continue;
      parts.links.delete(client);
      lane.detach(link.wire);
    }
  }
}

export function takeOverCluster(raw: NodeCluster, pool: Pool, guard: Guard | undefined): void {
  const proto: NodeCluster = Object.getPrototypeOf(raw);
  define(raw, kPool, pool);
  define(
    raw,
    '_executeWithPolicies',
    function run(
      this: NodeCluster & FaceState,
      parser: NodeParser,
      isReadonly: boolean | undefined,
      options: CommandOptions | undefined,
      makeRun: MakeRun,
    ) {
      if (!raw.isOpen && !pool.closed)
        return proto._executeWithPolicies.call(raw, parser, isReadonly, options, makeRun);
      guard?.(String(parser.redisArgs[0]), parser.redisArgs, 1);
      const call = new ClusterCall(parser, options, pool, (lane, all, make) =>
        proto._executeWithPolicies.call(
          (lane.raw as ClusterParts).cluster,
          parser,
          isReadonly,
          all,
          make(makeRun),
        ),
      );
      pool.submit(call);
      return call.promise;
    },
  );
  const MULTI = proto.MULTI as (this: NodeCluster, routing?: unknown) => Record<string, unknown>;
  const multi = function multi(this: NodeCluster, routing?: unknown): unknown {
    // The library's object collects the commands; where they go is decided when they are executed.
    const collected = MULTI.call(this, routing);
    for (const [name, label] of [
      ['exec', 'MULTI'],
      ['execAsPipeline', 'pipeline'],
    ] as const) {
      const run = collected[name] as AnyMethod;
      define(collected, name, (...args: unknown[]) =>
        runBatch(this, pool, label, () => run.apply(collected, args)),
      );
    }
    return collected;
  };
  define(raw, 'MULTI', multi);
  define(raw, 'multi', multi);
  eachSubscription(
    proto,
    (method, ...args) => {
      if (pool.closed) throw closedError('SUBSCRIBE');
      return method.apply(raw, args);
    },
    (name, method) => define(raw, name, method),
  );
  define(raw, 'connect', async function connect(this: NodeCluster) {
    if (pool.closed) throw closedError('connect()');
    await proto.connect.call(raw);
    for (const lane of pool.lanes) if ((lane.raw as ClusterParts).cluster === raw) pool.ready(lane);
    return this;
  });
  for (const name of ['close', 'quit']) define(raw, name, () => pool.close());
  for (const name of ['destroy', 'disconnect']) {
    define(raw, name, () => {
      pool.destroy(`${name}() was called`);
      return name === 'disconnect' ? Promise.resolve() : undefined;
    });
  }
}

/** A batch of a cluster goes over the first lane's own clients: the library binds it to a node by its keys. */
function runBatch(
  view: NodeCluster,
  pool: Pool,
  label: string,
  run: () => Promise<unknown>,
): Promise<unknown> {
  const options = view._commandOptions;
  const chain = options?.[kChain] as Chain | undefined;
  const calling = options?.[kCalling] as Calling | undefined;
  const onLane = async (lane: Lane): Promise<unknown> => {
    try {
      return await run();
    } catch (error) {
      if (isErrorReply(error) || !isConnectionError(error)) throw error;
      throw new UnknownOutcomeError(label, undefined, error);
    } finally {
      for (const call of batch.calls) pool.release(call, lane);
    }
  };
  // Its keys are the library's secret: order against other lanes is kept by waiting for all.
  const batch: NodeBatch = new NodeBatch(label, [['exec']], calling, chain, onLane, 'barrier');
  pool.submitBatch(batch);
  return batch.promise;
}

type Start = (
  lane: Lane,
  options: CommandOptions,
  make: (makeRun: MakeRun) => MakeRun,
) => Promise<unknown>;

class ClusterCall extends Call {
  readonly promise: Promise<unknown>;
  readonly #parser: NodeParser;
  readonly #options: CommandOptions | undefined;
  readonly #pool: Pool;
  readonly #start: Start;
  #resolve: (reply: unknown) => void = noop;
  #reject: (error: unknown) => void = noop;
  #parts: Watched[] = [];

  constructor(parser: NodeParser, options: CommandOptions | undefined, pool: Pool, start: Start) {
    const signal = options?.abortSignal;
    const calling = options?.[kCalling] as Calling | undefined;
    super(
      String(parser.redisArgs[0]),
      parser.redisArgs as readonly RedisArgument[],
      1,
      signal instanceof AbortSignal ? { ...calling, signal } : calling,
    );
    this.chain = options?.[kChain] as Chain | undefined;
    this.#parser = parser;
    this.#options = options;
    this.#pool = pool;
    this.#start = start;
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  override send(lane: Lane): void {
    this.writtenAt = 0;
    this.headAt = 0;
    this.firstByteAt = 0;
    this.bytesIn = 0;
    this.#parts = [];
    const { link } = lane.raw as ClusterParts;
    const options = { ...this.#options, timeout: undefined };
    const make =
      (makeRun: MakeRun): MakeRun =>
      (parser) => {
        const run = makeRun(parser);
        return (client, more) => {
          const on = link(client);
          const part = new Watched(new Part(this, parser), on);
          this.#parts.push(part);
          return run(client, { ...more, abortSignal: part });
        };
      };
    this.#start(lane, options, make).then(
      (reply) => {
        this.#over(lane);
        this.succeed(reply);
      },
      (error: unknown) => this.#failed(error, lane),
    );
  }

  #over(lane: Lane): void {
    this.#pool.answered(this, performance.now());
    this.#pool.release(this, lane);
  }

  #failed(error: unknown, lane: Lane): void {
    if (this.lane !== lane) return;
    if (isConnectionError(error)) return this.#pool.lost(this, lane, this.writtenAt > 0, error);
    if (this.#pool.refused(this, lane, error)) return;
    this.#pool.release(this, lane);
    this.fail(error);
  }

  override twin(): Call {
    const twin = new ClusterCall(this.#parser, this.#options, this.#pool, this.#start);
    // The original's fate is the answer if this one fails.
    twin.promise.then((reply) => this.succeed(reply), noop);
    return twin;
  }

  override succeed(reply: unknown): void {
    if (this.settled) return;
    this.settled = true;
    this.#resolve(reply);
  }

  override fail(error: unknown): void {
    if (this.settled) return;
    this.settled = true;
    this.unheed();
    this.#reject(error);
    for (const part of this.#parts) part.drop();
  }
}

/** What a call put on one node's connection; the call takes its times from its parts. */
class Part implements Sent {
  readonly name: string;
  readonly key: string | undefined;
  readonly call: ClusterCall;
  bytesOut: number;
  queuedAt: number;
  #writtenAt = 0;
  headAt = 0;
  firstByteAt = 0;
  bytesIn = 0;
  announced = 0;
  endpoint = '';

  constructor(call: ClusterCall, _parser: NodeParser) {
    this.call = call;
    this.name = call.name;
    this.key = call.key;
    this.bytesOut = call.bytesOut;
    this.queuedAt = call.queuedAt;
  }

  get writtenAt(): number {
    return this.#writtenAt;
  }

  set writtenAt(at: number) {
    this.#writtenAt = at;
    if (this.call.writtenAt === 0) this.call.writtenAt = at;
  }

  answered(_now: number): void {
    const { call } = this;
    call.endpoint = this.endpoint;
    call.headAt = this.headAt;
    call.firstByteAt = this.firstByteAt;
    call.bytesIn += this.bytesIn;
  }
}

function define(target: object, name: string | symbol, value: unknown): void {
  Object.defineProperty(target, name, {
    value,
    configurable: true,
    writable: true,
    enumerable: false,
  });
}

function noop(): void {}
