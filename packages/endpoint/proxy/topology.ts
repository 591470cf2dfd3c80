/**
 * The shards of a database and which slot is whose, from the last snapshot and from MOVED.
 *
 * Behind an address of one shard there is that shard only, and the other slots are nobody's: every
 * command is then about this shard alone, as on a node of a cluster, and what belongs to others is
 * answered with MOVED. Who has it is known all the same.
 */
import { type Reply, ReplyParser, SLOTS } from '../../resp/index.ts';
import type { DatabaseView, ShardView } from '../control-protocol.ts';
import type { Lane } from './lane.ts';
import { SLOT_MAP_RETRY_MS } from './limits.ts';
import { Shard } from './shard.ts';
import { owes } from './spare-lanes.ts';
import { decided } from './succession.ts';
import type { World } from './world.ts';

/** Why a shard is down that no snapshot names any more. */
export const REMOVED = 'removed';

/** Slots, first and last, and the shard that has them. */
export type OwnedSlots = readonly [first: number, last: number, shard: string];

export class Topology {
  readonly world: World;
  view: DatabaseView;
  shards: Shard[] = [];
  /** Shard index by slot; -1: nobody's. */
  readonly slots = new Int16Array(SLOTS).fill(-1);
  /** Counts the times that a slot changed hands: see `Session`. */
  version = 0;
  /** The version that began when this slot changed hands the last time... */
  readonly changedAt = new Int32Array(SLOTS);
  /** ...and the shard that had it before. */
  readonly formerly = new Int16Array(SLOTS).fill(-1);
  epoch = 0;
  /** Stands for the slot of commands that have no key: one that is served here. */
  home = 0;
  /** Served alone; null: all are. */
  readonly only: string | null;
  /** With `only`: position in the view of each slot's shard; -1: nobody's. */
  readonly #owners: Int16Array | null;
  #askedAt = 0;

  constructor(world: World, view: DatabaseView, only: string | null) {
    this.world = world;
    this.view = view;
    this.only = only;
    this.#owners = only === null ? null : new Int16Array(SLOTS).fill(-1);
  }

  get cluster(): boolean {
    return this.view.policy !== 'NoCluster';
  }

  apply(whole: DatabaseView, epoch: number): void {
    this.view = whole;
    this.epoch = epoch;
    const view =
      this.only === null
        ? whole
        : { ...whole, shards: whole.shards.filter((shard) => shard.id === this.only) };
    this.#owners?.fill(-1);
    for (const [i, shard] of whole.shards.entries()) {
      for (const [first, last] of shard.slots) this.#owners?.fill(i, first, last + 1);
    }
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
    if (this.only !== null) this.home = Math.max(0, this.nextSlot(0));
    this.#compare(owners);
    for (const shard of this.shards) {
      decided(shard, views.get(shard.id)?.primary?.node);
      shard.apply(
        views.get(shard.id) ?? {
          ...shard.view,
          slots: [],
          state: 'down',
          reason: REMOVED,
          primary: null,
        },
      );
    }
    this.world.retries.run();
  }

  /** Shards that are there, with slots or without, in the order of the snapshot. */
  get serving(): Shard[] {
    return this.shards.filter((shard) => shard.view.reason !== REMOVED);
  }

  first(): Shard | null {
    return this.shards.find((shard) => shard.view.reason !== REMOVED) ?? null;
  }

  ofSlot(slot: number): Shard | null {
    return this.shards[this.slots[slot] ?? -1] ?? null;
  }

  /** Every shard, those that are served elsewhere as the last snapshot says. */
  known(): readonly ShardView[] {
    const own = this.serving.map(({ view }) => view);
    if (this.only === null) return own;
    return this.view.shards.map((shard) => (shard.id === this.only ? (own[0] ?? shard) : shard));
  }

  /** What a cluster client is told of a slot that is not served here; null: nothing of the kind. */
  moved(slot: number): string | null {
    if (this.#owners === null || slot < 0 || this.slots[slot] !== -1) return null;
    const owner = this.view.shards[this.#owners[slot] ?? -1];
    const at = owner?.announce ?? owner?.primary?.announce;
    return at == null ? null : `-MOVED ${slot} ${at.host}:${at.port}\r\n`;
  }

  /** The first slot from this one on that is served here; -1: none. */
  nextSlot(from: number): number {
    return this.slots.findIndex((shard, slot) => slot >= from && shard >= 0);
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

  /** What the same path of another worker is told when slots have changed hands. */
  owned(): OwnedSlots[] {
    const owned: [number, number, number][] = [];
    for (const [slot, index] of this.slots.entries()) {
      const last = owned.at(-1);
      if (last?.[2] === index) last[1] = slot;
      else owned.push([slot, slot, index]);
    }
    return owned.flatMap(([first, last, index]) => {
      const id = this.shards[index]?.id;
      return id === undefined ? [] : [[first, last, id] as const];
    });
  }

  /** Told by that path; it counts if it has not an older snapshot than this one. */
  told(owned: readonly OwnedSlots[], epoch: number): void {
    if (epoch < this.epoch) return;
    const before = Int16Array.from(this.slots);
    const indexes = new Map(this.shards.map(({ id, index }) => [id, index]));
    for (const [first, last, id] of owned) {
      const index = indexes.get(id);
      if (index !== undefined) this.slots.fill(index, first, last + 1);
    }
    this.#compare(before);
    this.world.learned();
    this.world.retries.run();
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
      const [from, to] = [Number(range[0]), Number(range[1]) + 1];
      if (shard === undefined) {
        this.#elsewhere(id, from, to);
        continue;
      }
      this.slots.fill(shard.index, from, to);
      // A replica of the same shard was promoted: go there before the snapshot says so. But where clients are
      // held, the word that lets them go on is near, and it alone knows whether the switch was planned.
      const promoted = shard.view.replicas.find((instance) => instance.node === id);
      const old = shard.view.primary;
      if (promoted !== undefined && old !== null && old.node !== id && !shard.held) {
        shard.apply({
          ...shard.view,
          primary: promoted,
          replicas: [old, ...shard.view.replicas.filter((instance) => instance !== promoted)],
        });
      }
    }
    this.#compare(owners);
    this.world.learned();
    this.world.retries.run();
  }

  /** Slots of a shard that is not served here. */
  #elsewhere(node: string, from: number, to: number): void {
    if (this.#owners === null) return;
    const owner = this.view.shards.findIndex(({ id, primary, replicas }) => {
      return id !== this.only && [primary, ...replicas].some((each) => each?.node === node);
    });
    if (owner < 0) return;
    this.#owners.fill(owner, from, to);
    this.slots.fill(-1, from, to);
    this.home = Math.max(0, this.nextSlot(0));
  }

  #compare(before: Int16Array): void {
    if (!before.some((shard, slot) => shard !== this.slots[slot])) return;
    this.version++;
    for (const [slot, shard] of before.entries()) {
      if (shard === this.slots[slot]) continue;
      this.changedAt[slot] = this.version;
      this.formerly[slot] = shard;
    }
    for (const tracking of this.world.tracking) tracking.slotsMoved();
    // Before anything goes to the new owner.
    this.world.slotsMoved();
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
        if (lane.state !== 'ready') continue;
        // One that a client may still ask about its writes goes last.
        if (oldest === null || (owes(oldest) && !owes(lane))) oldest = lane;
        else if (owes(oldest) === owes(lane) && lane.usedAt < oldest.usedAt) oldest = lane;
      }
    }
    oldest?.close('not needed');
  }
}
