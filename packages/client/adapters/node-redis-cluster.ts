/**
 * lanes() over node-redis clusters (`createCluster`).
 *
 * Here a lane is a whole cluster client, and the library goes on choosing nodes, following MOVED and
 * ASK and splitting commands over shards: the kit comes in before that (which lane) and after it
 * (the wires of each node's connection, attached when a command first goes to it). Calls go through
 * the library's queues; as to the rest, a call is one whatever it became on its way.
 */
import { closedError, messageOf } from '../errors.ts';
import type { Lane } from '../lanes/lane.ts';
import { turnedLarge } from '../lanes/measure.ts';
import type { Pool } from '../lanes/pool.ts';
import type { Driver } from '../lanes/roster.ts';
import { leisurely, reconnectDelay } from '../retries/backoff.ts';
import { connectedInTime } from './connect.ts';
import { type FaceState, kPool } from './face.ts';
import { fresh, take } from './factory.ts';
import { PartCall } from './node-redis-batch.ts';
import { ClusterBatch } from './node-redis-cluster-batch.ts';
import { ClusterCall, type ClusterParts, Part } from './node-redis-cluster-call.ts';
import { ClusterEnd } from './node-redis-cluster-end.ts';
import { BatchTaker } from './node-redis-cluster-multi.ts';
import { cutOff } from './node-redis-hold.ts';
import { eachSubscription } from './node-redis-lanes.ts';
import { NodeLink } from './node-redis-link.ts';
import {
  type CommandOptions,
  isNodeRedisCluster,
  type MakeRun,
  type NodeClient,
  type NodeCluster,
  type NodeParser,
} from './node-redis-shape.ts';
import { SlotOrder } from './node-redis-slots.ts';

type Guard = (name: string, args: readonly unknown[], from: number) => void;
type AnyMethod = (...args: unknown[]) => Promise<unknown>;

export class NodeClusterDriver implements Driver {
  readonly #factory: () => unknown;
  readonly #first: NodeCluster;
  readonly #staggered: boolean;
  #used = false;
  pool: Pool | undefined;

  constructor(first: NodeCluster, factory: () => unknown, staggered: boolean) {
    this.#first = first;
    this.#factory = factory;
    this.#staggered = staggered;
  }

  open(lane: Lane): void {
    const pool = this.pool as Pool;
    const own = !this.#used;
    const cluster = own ? take(this.#first) : fresh(this.#factory, isNodeRedisCluster)._self;
    this.#used = true;
    pool.prepare(cluster);
    const proto: NodeCluster = Object.getPrototypeOf(cluster);
    const end = new ClusterEnd(cluster, this.#staggered);
    const links = new Map<NodeClient, NodeLink>();
    const parts: ClusterParts = {
      cluster,
      links,
      order: new SlotOrder(),
      link: (client) => {
        const raw = client._self;
        const known = links.get(raw);
        if (known !== undefined) return known;
        const link = new NodeLink(raw, {
          ...(this.#staggered ? { reconnectIn } : {}),
          refused: (sent) => {
            if (sent instanceof Part) sent.call.refused(sent);
            else if (sent instanceof PartCall) sent.unreadError = true;
          },
          answered: (sent, now) => {
            if (sent instanceof Part) sent.answered(now);
            else if (sent instanceof PartCall && sent.batch instanceof ClusterBatch)
              sent.batch.partAnswered(sent, now);
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
        holdBack(raw, link, () => this.#prune(parts, lane));
        lane.wires.push(link.wire);
        if (pool.endpoint === '') pool.endpoint = link.wire.endpoint;
        return link;
      },
    };
    lane.raw = parts;
    lane.client = {
      library: cluster,
      alone: false,
      keepsUnsent: true,
      close: () => end.close(),
      destroy: () => end.destroy(),
      cut: (wire, reason) => {
        for (const [client, link] of links) {
          if (link.wire !== wire) continue;
          cutOff(
            client,
            () => client.destroy(),
            () => client.connect(),
            reason,
          );
        }
      },
      connectNow: () => {},
      ping: (wire) => {
        for (const [client, link] of links) {
          if (link.wire === wire && client.isReady) return client.sendCommand(['PING']);
        }
        return undefined;
      },
      command: () => Promise.resolve(),
    };
    let reason = 'not connected yet';
    cluster.on('error', (error: unknown) => {
      reason = messageOf(error);
      pool.connectFailed(error);
      if (!own && this.#first.listenerCount('error') > 0) this.#first.emit('error', error);
    });
    cluster.on('node-error', (error: unknown) => {
      pool.connectFailed(error);
    });
    // One that is cut is open again in a moment.
    cluster.on('node-disconnect', () => queueMicrotask(() => this.#prune(parts, lane)));
    const attach = (): void => {
      for (const client of end.clients) if (client.isReady) parts.link(client);
    };
    cluster.on('node-ready', attach);
    attach();
    if (own) return;
    proto.connect.call(cluster).then(
      () => pool.ready(lane),
      () => pool.ended(lane, reason),
    );
  }

  #prune(parts: ClusterParts, lane: Lane): void {
    for (const [client, link] of parts.links) {
      if (client.isOpen || link.hold.on) continue;
      parts.links.delete(client);
      lane.detach(link.wire);
    }
  }
}

/** Nobody has work on it: it gives way to those on whose connections there was. */
const reconnectIn = (wanted: boolean): number => (wanted ? reconnectDelay(1) : leisurely());

/** While it waits to connect again, what it is asked for waits, too; and its end is one although it is closed. */
function holdBack(client: NodeClient, { hold }: NodeLink, ended: () => void): void {
  const proto: NodeClient = Object.getPrototypeOf(client);
  for (const name of ['sendCommand', '_executeMulti', '_executePipeline']) {
    const ask = Reflect.get(proto, name) as AnyMethod;
    define(client, name, function held(this: NodeClient, ...args: unknown[]) {
      return hold.on ? hold.after(() => ask.apply(this, args)) : ask.apply(this, args);
    });
  }
  for (const name of ['destroy', 'disconnect', 'close', 'quit']) {
    const end = Reflect.get(proto, name) as AnyMethod;
    define(client, name, function over(this: NodeClient, ...args: unknown[]) {
      if (!hold.on) return end.apply(this, args);
      hold.stay();
      proto.destroy.call(client);
      ended();
      return Promise.resolve();
    });
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
    // The library's object collects the commands, and gives them to the cluster client when it is executed.
    const view: NodeCluster = Object.create(this);
    const collected = MULTI.call(view, routing);
    const taker = new BatchTaker(raw, this._commandOptions, pool, guard);
    define(view, '_self', taker);
    const exec = collected['exec'] as AnyMethod;
    const known = (error: unknown): never => {
      throw taker.known(error);
    };
    define(collected, 'exec', (asPipeline?: unknown) =>
      exec.call(collected, asPipeline).catch(known),
    );
    define(collected, 'execAsPipeline', () => taker.pipelined(() => exec.call(collected)));
    return collected;
  };
  define(raw, 'MULTI', multi);
  define(raw, 'multi', multi);
  eachSubscription(
    proto,
    (method, ...args) => {
      if (pool.closed) throw closedError('SUBSCRIBE');
      return pool.unlessClosed('SUBSCRIBE', method.apply(raw, args));
    },
    (name, method) => define(raw, name, method),
  );
  define(raw, 'connect', async function connect(this: NodeCluster) {
    if (pool.closed) throw closedError('connect()');
    await connectedInTime(pool, proto.connect.call(raw));
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

function define(target: object, name: string | symbol, value: unknown): void {
  Object.defineProperty(target, name, {
    value,
    configurable: true,
    writable: true,
    enumerable: false,
  });
}
