/** The shards of a database and which slot is whose, from the last snapshot and from MOVED. */
import { type Reply, ReplyParser, SLOTS } from '../../resp/index.ts';
import type { DatabaseView } from '../control-protocol.ts';
import type { Lane } from './lane.ts';
import { SLOT_MAP_RETRY_MS } from './limits.ts';
import { Shard } from './shard.ts';
import type { World } from './world.ts';

export class Topology {
  readonly world: World;
  view: DatabaseView;
  shards: Shard[] = [];
  /** Shard index by slot; -1: nobody's. */
  readonly slots = new Int16Array(SLOTS).fill(-1);
  /** Counts the times that a slot changed hands: see `Session`. */
  version = 0;
  epoch = 0;
  #askedAt = 0;

  constructor(world: World, view: DatabaseView) {
    this.world = world;
    this.view = view;
  }

  get cluster(): boolean {
    return this.view.policy !== 'NoCluster';
  }

  apply(view: DatabaseView, epoch: number): void {
    this.view = view;
    this.epoch = epoch;
    const before = this.shards;
    const kept = new Map(before.map((shard) => [shard.id, shard]));
    const same =
      before.length === view.shards.length &&
      before.every((shard, i) => shard.id === view.shards[i]?.id);
    if (!same) {
      // Sessions count what is in flight by shard index, so an index is never given to another shard.
      const next = [...before];
      for (const shard of view.shards) {
        if (!kept.has(shard.id)) next.push(new Shard(this.world, next.length, shard));
      }
      this.shards = next;
    }
    const views = new Map(view.shards.map((shard) => [shard.id, shard]));
    const owners = Int16Array.from(this.slots);
    this.slots.fill(-1);
    for (const shard of this.shards) {
      const shardView = views.get(shard.id);
      for (const [first, last] of shardView?.slots ?? []) {
        this.slots.fill(shard.index, first, last + 1);
      }
      if (!this.cluster && shardView !== undefined) this.slots.fill(shard.index);
    }
    this.#compare(owners);
    for (const shard of this.shards) {
      shard.apply(
        views.get(shard.id) ?? {
          ...shard.view,
          slots: [],
          state: 'down',
          reason: 'removed',
          primary: null,
        },
      );
    }
    this.world.retries.run();
  }

  /** Shards that own slots, in the order of the snapshot. */
  get serving(): Shard[] {
    return this.shards.filter((shard) => shard.view.reason !== 'removed');
  }

  first(): Shard | null {
    return this.shards.find((shard) => shard.view.reason !== 'removed') ?? null;
  }

  ofSlot(slot: number): Shard | null {
    return this.shards[this.slots[slot] ?? -1] ?? null;
  }

  /**
   * An engine said MOVED: asks it who owns what. Its answer names nodes by the ids that the snapshot
   * names instances by, so no address is believed. The snapshot that follows says the same.
   */
  askSlots(lane: Lane): void {
    const now = performance.now();
    if (now - this.#askedAt < SLOT_MAP_RETRY_MS || lane.state !== 'ready') return;
    this.#askedAt = now;
    lane.question(['CLUSTER', 'SLOTS'], (bytes) => {
      if (bytes === null) return;
      this.learn(bytes);
    });
  }

  /** What an engine says of who owns what: its answer to CLUSTER SLOTS. */
  learn(bytes: Buffer): void {
    new ReplyParser({ onReply: (reply) => this.#learn(reply) }).push(bytes);
  }

  #learn(reply: Reply): void {
    if (!Array.isArray(reply)) return;
    const owners = Int16Array.from(this.slots);
    const owner = new Map<string, Shard>();
    for (const shard of this.shards) {
      for (const instance of [shard.view.primary, ...shard.view.replicas]) {
        if (instance !== null) owner.set(instance.node, shard);
      }
    }
    for (const range of reply) {
      if (!Array.isArray(range)) continue;
      const node = range[2];
      const id = Array.isArray(node) ? String(node[2]) : '';
      const shard = owner.get(id);
      if (shard === undefined) continue;
      this.slots.fill(shard.index, Number(range[0]), Number(range[1]) + 1);
      // A replica of the same shard was promoted: go there before the snapshot says so.
      const promoted = shard.view.replicas.find((instance) => instance.node === id);
      const old = shard.view.primary;
      if (promoted !== undefined && old !== null && old.node !== id) {
        shard.apply({
          ...shard.view,
          primary: promoted,
          replicas: [old, ...shard.view.replicas.filter((instance) => instance !== promoted)],
        });
      }
    }
    this.#compare(owners);
    this.world.retries.run();
  }

  #compare(before: Int16Array): void {
    if (before.some((shard, slot) => shard !== this.slots[slot])) this.version++;
  }

  /** Lanes of users other than the default one. */
  otherLanes(): number {
    let count = 0;
    for (const shard of this.shards) {
      for (const lane of shard.lanes) if (lane.login.user !== 'default') count++;
    }
    return count;
  }

  /** Makes room for another user's lane: the one that was idle longest goes. */
  closeIdleLane(): void {
    let oldest: Lane | null = null;
    for (const shard of this.shards) {
      for (const lane of shard.lanes) {
        if (lane.login.user === 'default' || lane.inFlight > 0 || lane.kind === 'own') continue;
        if (lane.state === 'ready' && (oldest === null || lane.usedAt < oldest.usedAt))
          oldest = lane;
      }
    }
    oldest?.close('not needed');
  }
}
