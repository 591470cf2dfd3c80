/**
 * The nodes of a cluster client of ioredis or iovalkey: which of them a command belongs to, and whether its
 * connection takes one now. The map of slots and the connections are the library's; a node that is asked for and has
 * no connection gets one, after a while that grows while it is lost again and again.
 */
import { performance } from 'node:perf_hooks';
import { reconnectDelay } from '../retries/backoff.ts';
import type { Sent, Wire } from '../wire/wire.ts';
import type { IoCluster, IoCommand, IoRedis } from './ioredis-shape.ts';

interface Node {
  readonly wire: Wire<Sent>;
  /** It has said so, and not only its status does: what waits for it goes first. */
  ready: boolean;
  /** It says that the slot is where it is itself, so what is behind its address has changed: it has to be made anew. */
  stale: boolean;
}

interface Loss {
  count: number;
  until: number;
}

export class ClusterNodes {
  readonly #cluster: IoCluster;
  readonly #staggered: boolean;
  readonly #wake: () => void;
  readonly #nodes = new Map<IoRedis, Node>();
  readonly #losses = new Map<string, Loss>();
  #timer: NodeJS.Timeout | undefined;
  #timerAt = Number.POSITIVE_INFINITY;

  /** `wake`: something has changed for those that wait for a node. */
  constructor(cluster: IoCluster, staggered: boolean, wake: () => void) {
    this.#cluster = cluster;
    this.#staggered = staggered;
    this.#wake = wake;
    cluster.on('refresh', wake);
  }

  add(redis: IoRedis, wire: Wire<Sent>): void {
    const { options } = redis;
    options.commandTimeout = undefined;
    options.autoResendUnfulfilledCommands = false;
    const node: Node = { wire, ready: redis.status === 'ready', stale: false };
    this.#nodes.set(redis, node);
    redis.on('ready', () => {
      node.ready = true;
      this.#losses.delete(keyOf(redis));
      this.#wake();
    });
  }

  has(redis: IoRedis): boolean {
    return this.#nodes.has(redis);
  }

  /** Its connection has ended; its calls are about to be told. */
  down(redis: IoRedis): void {
    const node = this.#nodes.get(redis);
    if (node !== undefined) node.ready = false;
  }

  /** The library has given it up, which it does as soon as its connection ends. */
  remove(redis: IoRedis): Wire<Sent> | undefined {
    const node = this.#nodes.get(redis);
    this.#nodes.delete(redis);
    const key = keyOf(redis);
    const count = (this.#losses.get(key)?.count ?? 0) + 1;
    const { retryDelayOnFailover = 0 } = this.#cluster.options;
    const ms = this.#staggered ? reconnectDelay(count) : retryDelayOnFailover;
    this.#losses.set(key, { count, until: performance.now() + ms });
    this.#wake();
    return node?.wire;
  }

  isUp(redis: IoRedis): boolean {
    const node = this.#nodes.get(redis);
    return (
      node?.ready === true &&
      !node.stale &&
      redis.status === 'ready' &&
      redis.stream?.writable === true
    );
  }

  /** The node of this address, if its connection takes commands; else it is made to. */
  at(key: string, readOnly = false): IoRedis | undefined {
    const pool = this.#cluster.connectionPool;
    if (pool.getInstanceByKey(key) === undefined) {
      const now = performance.now();
      const until = this.#losses.get(key)?.until ?? 0;
      if (now < until) {
        this.wakeIn(until - now);
        return undefined;
      }
      // It may have been lost because another one has taken over.
      this.#cluster.refreshSlotsCache();
      pool.findOrCreate(placeOf(key), readOnly);
    }
    const redis = pool.getInstanceByKey(key);
    if (redis === undefined || this.isUp(redis)) return redis;
    this.#connect(redis);
    return undefined;
  }

  /** Any one, for a command without keys. */
  any(role: 'all' | 'master' | 'slave'): IoRedis | undefined {
    const some = this.#cluster.nodes(role);
    const nodes = some.length > 0 ? some : this.#cluster.nodes('all');
    const up = sample(nodes.filter((redis) => this.isUp(redis)));
    if (up !== undefined) return up;
    const other = sample(nodes);
    if (other !== undefined) this.#connect(other);
    return undefined;
  }

  /** As the application's `scaleReads` says. Of replicas that are gone, another node of the slot is asked. */
  reader(keys: readonly string[], command: IoCommand): IoRedis | undefined {
    const { scaleReads } = this.#cluster.options;
    const pool = this.#cluster.connectionPool;
    const nodes = keys.map((key) => pool.getInstanceByKey(key));
    let chosen: IoRedis | undefined;
    if (typeof scaleReads === 'function') {
      const answer = scaleReads(nodes, command);
      chosen = (Array.isArray(answer) ? sample(answer) : answer) ?? nodes[0];
    } else {
      const replicas = scaleReads === 'slave' && keys.length > 1;
      const key = (replicas ? sample(keys.slice(1)) : sample(keys)) ?? '';
      chosen = pool.getInstanceByKey(key);
      if (chosen === undefined) this.at(key, key !== keys[0]);
    }
    if (chosen === undefined) return nodes.find((redis) => redis !== undefined && this.isUp(redis));
    if (this.isUp(chosen)) return chosen;
    this.#connect(chosen);
    return undefined;
  }

  /** `MOVED`: from now on the slot is at this address. */
  moved(slot: number, key: string, from: IoRedis): void {
    const cluster = this.#cluster;
    const { slots } = cluster;
    // A list of its own: the library's is that of a whole range of slots.
    if (slots[slot]?.[0] !== key) slots[slot] = [key];
    cluster._groupsBySlot[slot] = cluster._groupsIds[slots[slot]?.join(';') ?? ''];
    const node = this.#nodes.get(from);
    if (node !== undefined && keyOf(from) === key) node.stale = true;
    cluster.refreshSlotsCache();
  }

  /** The address that a node has told, as it is for this client; a node that does not know its own leaves the host out. */
  mapped(told: string, from: IoRedis): string {
    const host = told.slice(0, told.lastIndexOf(':'));
    const known =
      host === '' || host === '?' ? `${from.options.host}${told.slice(host.length)}` : told;
    const place = this.#cluster.natMapper(known);
    return `${place.host}:${place.port}`;
  }

  /** Ends connections that lead to the wrong place, once nothing is on them. */
  endStale(): void {
    for (const [redis, { stale, wire }] of this.#nodes)
      if (stale && wire.pending === 0) redis.disconnect();
  }

  wakeIn(ms: number): void {
    const at = performance.now() + ms;
    if (at >= this.#timerAt) return;
    clearTimeout(this.#timer);
    this.#timerAt = at;
    this.#timer = setTimeout(() => {
      this.#timerAt = Number.POSITIVE_INFINITY;
      this.#wake();
    }, ms);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timerAt = Number.POSITIVE_INFINITY;
  }

  #connect(redis: IoRedis): void {
    if (redis.status === 'wait') redis.connect().catch(noop);
  }
}

export function keyOf(redis: IoRedis): string {
  return `${redis.options.host}:${redis.options.port}`;
}

function placeOf(key: string): { host: string; port: number } {
  const at = key.lastIndexOf(':');
  return { host: key.slice(0, at), port: Number(key.slice(at + 1)) };
}

function sample<T>(items: readonly T[]): T | undefined {
  return items[Math.floor(Math.random() * items.length)];
}

/** Its error is an event, too. */
function noop(): void {}
