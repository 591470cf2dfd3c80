/**
 * The connections on which a cluster client of ioredis or iovalkey listens: one for all channels, and if it is so set
 * one to each shard. They are the library's own, which makes another one when one ends, and subscribes it. Nothing of
 * the kit is sent over them; but what brings nothing for long has to be asked whether it lives, and here nobody would:
 * a subscription waits in silence for as long as its connection seems to be there.
 */
import type { Socket } from 'node:net';
import type { Lane } from '../lanes/lane.ts';
import { type Sent, Wire } from '../wire/wire.ts';
import type { IoCluster, IoRedis } from './ioredis-shape.ts';

/** Parts of the library that may be missing: then there is nothing to look at. */
interface Listens {
  getInstance?(): IoRedis | null;
}

interface Inside {
  readonly subscriber?: Listens;
  readonly shardedSubscribers?: { readonly shardedSubscribers?: ReadonlyMap<string, Listens> };
}

export class ClusterSubscribers {
  readonly #inside: Inside;
  readonly #lane: Lane;
  readonly #wires: Map<Wire<Sent>, IoRedis>;
  readonly #seen = new WeakSet<Socket>();

  /** `wires`: all of the lane, and whose they are. */
  constructor(cluster: IoCluster, lane: Lane, wires: Map<Wire<Sent>, IoRedis>) {
    this.#inside = cluster as unknown as Inside;
    this.#lane = lane;
    this.#wires = wires;
  }

  /** Those that are there now have wires. */
  attach(): void {
    const { subscriber, shardedSubscribers } = this.#inside;
    for (const listens of [
      subscriber,
      ...(shardedSubscribers?.shardedSubscribers?.values() ?? []),
    ]) {
      const redis = listens?.getInstance?.();
      const socket = redis?.stream;
      if (redis?.status !== 'ready' || socket === undefined || this.#seen.has(socket)) continue;
      this.#seen.add(socket);
      this.#watch(redis, socket);
    }
  }

  #watch(redis: IoRedis, socket: Socket): void {
    const { host, port } = redis.options;
    const wire = new Wire<Sent>(`${host}:${port}`, { answered() {}, large() {} });
    wire.listening = true;
    this.#wires.set(wire, redis);
    this.#lane.wires.push(wire);
    socket.on('data', (chunk: Buffer) => wire.received(chunk, () => {}));
    socket.once('close', () => {
      this.#wires.delete(wire);
      this.#lane.detach(wire);
    });
  }
}
