/**
 * Which replicas of a shard may be read from, and by whom.
 *
 * A replica is behind by as much as its stream is. For a session that reads there two things matter:
 * its own writes must be on it, and nobody's data may be older than the bound. Offsets answer both.
 * The primary's offset, asked for at a moment, covers every write that was acknowledged before that
 * moment; once a replica has reached that offset it has all of them. So each replica has a time that
 * it *covers*: it may serve a session that wrote nothing since, and its lag is how long ago that is.
 *
 * A replica that does not answer (stopped, cut off) keeps its last covered time, so its lag grows by
 * itself until it is over the bound. Nothing is asked while nobody reads from replicas.
 */
import type { InstanceView } from '../control-protocol.ts';
import { Lane } from './lane.ts';
import type { LaneGroup } from './lane-group.ts';
import { REPLICA_LAG_MS, REPLICA_OFFSETS, REPLICA_POLL_MS, REPLICA_UNUSED_MS } from './limits.ts';
import { field, INFO_REPLICATION, text } from './replication-info.ts';
import type { Shard } from './shard.ts';

interface Copy {
  readonly instance: InstanceView;
  lane: Lane | null;
  /** performance.now(): writes acknowledged before are on it. -Infinity: nothing is known. */
  covers: number;
  /** performance.now() of the question that is not answered; 0: none. */
  askedAt: number;
}

export class ReplicaWatch {
  readonly #shard: Shard;
  #copies: Copy[] = [];
  /** Offsets of the primary, each covering what was acknowledged before its time; oldest first. */
  #offsets: { readonly at: number; readonly offset: number }[] = [];
  #primary = '';
  #usedAt = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | null = null;
  #group: LaneGroup | null = null;
  #asking = false;

  constructor(shard: Shard) {
    this.#shard = shard;
  }

  /** The members changed: what was known of those that stay on the same primary still holds. */
  apply(): void {
    const { primary, replicas } = this.#shard.view;
    if (primary?.node !== this.#primary) {
      this.#primary = primary?.node ?? '';
      this.#offsets = [];
      this.#drop(this.#copies);
      this.#copies = [];
    }
    const kept = this.#copies.filter((copy) =>
      replicas.some((instance) => instance.node === copy.instance.node),
    );
    this.#drop(this.#copies.filter((copy) => !kept.includes(copy)));
    const known = new Set(kept.map((copy) => copy.instance.node));
    this.#copies = [
      ...kept,
      ...replicas
        .filter((instance) => !known.has(instance.node))
        .map((instance) => ({
          instance,
          lane: null,
          covers: Number.NEGATIVE_INFINITY,
          askedAt: 0,
        })),
    ];
  }

  /** A replica that has every write acknowledged before `since`; null: read from the primary. */
  choose(since: number, group: LaneGroup): InstanceView | null {
    if (this.#copies.length === 0) return null;
    this.#group ??= group;
    const now = performance.now();
    this.#usedAt = now;
    if (this.#timer === null) {
      this.#timer = setInterval(() => this.#poll(), REPLICA_POLL_MS);
      this.#poll();
    }
    let best: Copy | null = null;
    for (const copy of this.#copies) {
      if (copy.covers < since || now - copy.covers > REPLICA_LAG_MS) continue;
      if (best === null || copy.covers > best.covers) best = copy;
    }
    return best?.instance ?? null;
  }

  /** An open lane to a replica that has all that was acknowledged before `since`; null: there is none. */
  lane(group: LaneGroup, since: number): Lane | null {
    const at = this.#shard.obstacle === '' ? this.choose(since, group) : null;
    if (at === null) return null;
    const known = group.replica;
    if (known === null || known.node !== at.node || known.retired || known.state === 'closed') {
      if (known !== null) this.#shard.retire(known);
      group.replica = this.#open(at, group);
      return null;
    }
    return known.open ? known : null;
  }

  /** Reads that were on it go to the primary; the control process hears nothing of it. */
  laneClosed(lane: Lane): void {
    for (const group of this.#shard.groups.values()) {
      if (group.replica === lane) group.replica = null;
    }
  }

  #open(at: InstanceView, group: LaneGroup): Lane {
    const { world, lanes } = this.#shard;
    const copy = world.topology.cluster ? 'cluster-replica' : 'replica';
    const lane = new Lane(world, this.#shard, at, group.login, 'small', copy);
    lanes.add(lane);
    return lane;
  }

  /** Too late: what was asked of it goes to the primary. */
  #closeLanes(node: string): void {
    for (const lane of [...this.#shard.lanes]) {
      if (lane.copy !== 'primary' && lane.node === node) lane.close('replica-late');
    }
  }

  /** Milliseconds behind, by instance; null: not known. */
  lags(): Map<string, number | null> {
    const now = performance.now();
    return new Map(
      this.#copies.map(({ instance, covers }) => [
        instance.node,
        Number.isFinite(covers) ? Math.max(0, Math.round(now - covers)) : null,
      ]),
    );
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#group = null;
    this.#drop(this.#copies);
    this.#offsets = [];
    for (const copy of this.#copies) copy.covers = Number.NEGATIVE_INFINITY;
  }

  #drop(copies: readonly Copy[]): void {
    for (const copy of copies) {
      copy.lane?.close('not needed');
      copy.lane = null;
      copy.askedAt = 0;
    }
  }

  #poll(): void {
    const group = this.#group;
    if (group === null || performance.now() - this.#usedAt > REPLICA_UNUSED_MS) return this.close();
    const primary = this.#shard.smallLane(group);
    if (primary !== null && !this.#asking) {
      this.#asking = true;
      const at = performance.now();
      const { node } = primary;
      primary.question(INFO_REPLICATION, (reply) => {
        this.#asking = false;
        const offset = field(reply, 'master_repl_offset');
        if (offset === null || node !== this.#primary) return;
        this.#offsets.push({ at, offset });
        if (this.#offsets.length > REPLICA_OFFSETS) this.#offsets.shift();
      });
    }
    for (const copy of this.#copies) this.#ask(copy, group);
  }

  #ask(copy: Copy, group: LaneGroup): void {
    if (copy.lane === null || copy.lane.state === 'closed') {
      copy.lane = this.#open(copy.instance, group);
      copy.askedAt = 0;
    }
    const { lane } = copy;
    const now = performance.now();
    if (copy.askedAt > 0 && now - copy.askedAt > REPLICA_LAG_MS) {
      this.#closeLanes(copy.instance.node);
      return;
    }
    if (copy.askedAt > 0 || lane?.state !== 'ready') return;
    copy.askedAt = now;
    lane.question(INFO_REPLICATION, (reply) => {
      copy.askedAt = 0;
      if (copy.lane !== lane || text(reply, 'master_link_status') !== 'up') return;
      const reached = field(reply, 'slave_repl_offset');
      if (reached === null) return;
      for (const { at, offset } of this.#offsets) {
        if (offset <= reached && at > copy.covers) copy.covers = at;
      }
    });
  }
}
