/**
 * Who owns which slot, from what the engines say. One engine's word is not enough: news of a
 * hand-over travels by gossip, and for a moment source and target tell two stories. So every primary
 * that serves is asked, after the moment in question, and all have to tell the same.
 */
import type { ClusterFacts, EngineFacts, SlotRange } from '../../engine/contract.ts';
import type { ShardRecord, SlotMove } from '../store/records.ts';
import { SLOT_FACTS_FRESH_MS } from './limits.ts';
import { UNSEEN, type View } from './model.ts';
import { covers, intersect, normal, type Ranges, sameSlots, subtract } from './slot-ranges.ts';

/** Index of the shard that owns all of these slots; 'lost': all agree that nobody alive does. */
export function whereIs(view: View, ranges: Ranges, since: number): number | 'lost' | 'unknown' {
  let answer: number | 'lost' | null = null;
  for (const shard of view.shards) {
    if (shard.phase !== 'serving') continue;
    const facts = factsOf(view, shard, since);
    if (facts === null) return 'unknown';
    const owner = facts.cluster?.nodes.find((node) => covers(node.slots, ranges));
    const index = owner === undefined ? null : shardOfNode(view, owner.id);
    if (owner === undefined || index === null) return 'unknown';
    if (answer !== null && answer !== index) return 'unknown';
    answer = index;
  }
  return answer ?? 'unknown';
}

/**
 * A node's slots are its shard's only while it is the primary there; a dead one owns nothing. Where nobody of
 * a shard is left, whoever of it is named stands for it: of one that took over and died within milliseconds
 * others may never have heard.
 */
function shardOfNode(view: View, id: string): number | 'lost' | null {
  const instance = view.instances.find((i) => i.id === id);
  const shard = view.shards.find((s) => s.index === instance?.shard);
  if (shard === undefined) return 'lost';
  if (shard.primary === id || shard.phase === 'down') return shard.index;
  return shard.phase === 'serving' ? 'lost' : null;
}

export interface Owners {
  /** As recorded by shard, or as all primaries say where that differs. */
  readonly slots: readonly { readonly shard: number; readonly ranges: readonly SlotRange[] }[];
  readonly differ: boolean;
}

export interface SlotsNow {
  /** What the primaries say that they have themselves. */
  readonly owned: readonly SlotRange[];
  /** What all of them say of every shard; unknown while two tell different stories. */
  readonly owners: Owners | 'unknown';
}

/** What all primaries say now; unknown: one of them was not asked lately. */
export function slotsNow(view: View): SlotsNow | 'unknown' {
  const since = view.now - SLOT_FACTS_FRESH_MS;
  const told: { shard: ShardRecord; cluster: ClusterFacts; ranges: SlotRange[] }[] = [];
  for (const shard of view.shards) {
    if (shard.phase === 'leaving') continue;
    const cluster = factsOf(view, shard, since)?.cluster;
    if (cluster === undefined || cluster === null) return 'unknown';
    told.push({ shard, cluster, ranges: normal(cluster.slots) });
  }
  const agreed = told.every(({ shard, ranges }) =>
    told.every(({ cluster }) => {
      const node = cluster.nodes.find(({ id }) => id === shard.primary);
      return node !== undefined && sameSlots(node.slots, ranges);
    }),
  );
  const owners: Owners = {
    slots: told.map(({ shard, ranges }) => ({ shard: shard.index, ranges })),
    differ: told.some(({ shard, ranges }) => !sameSlots(shard.slots, ranges)),
  };
  return {
    owned: normal(told.flatMap(({ ranges }) => ranges)),
    owners: agreed ? owners : 'unknown',
  };
}

/** Of its primary, asked after `since`; null when there are none. */
function factsOf(view: View, shard: ShardRecord, since: number): EngineFacts | null {
  const seen = view.seen.get(shard.primary ?? '') ?? UNSEEN;
  if (shard.phase !== 'serving' || seen.condition !== 'answering') return null;
  return seen.facts?.role === 'primary' && seen.factsAt > since ? seen.facts : null;
}

/**
 * What a replica would take from other shards if it took over now. It claims what it believes its primary
 * to own, and to whom slots went it hears from their new owner alone: for up to a second after a move (seen:
 * 754 ms) it may believe in the old one, who may be dead by then. Its newer epoch would win, and what the
 * owner acknowledged meanwhile is thrown away.
 *
 * `settled`: recorded as another shard's. Its old primary had heard of that and deleted what was in them, so
 * the replica, which has read all that it sent, holds no key of these.
 * `arriving`: of a batch on its way out, what the other end says it has already (`targetOwns`). Keys of these
 * may still be there; what is on its way and has not arrived goes where the replica believes it.
 */
export function slotsOfOthers(
  replica: ClusterFacts,
  index: number,
  shards: readonly ShardRecord[],
  move: SlotMove | null,
  targetOwns: Ranges,
): { readonly settled: SlotRange[]; readonly arriving: SlotRange[] } {
  const { primaryId } = replica.nodes.find(({ id }) => id === replica.myId) ?? { primaryId: null };
  const claims = replica.nodes.find(({ id }) => id === primaryId)?.slots ?? [];
  const others = shards.filter((shard) => shard.index !== index).flatMap(({ slots }) => slots);
  const involved = move !== null && (move.source === index || move.target === index);
  const moving = involved ? move.ranges : [];
  const arrived = move?.source === index ? intersect(moving, targetOwns) : [];
  return {
    settled: intersect(claims, subtract(others, moving)),
    arriving: intersect(claims, arrived),
  };
}
