/**
 * A shard that is to give many keys away gets its memory in order first.
 *
 * An engine deletes what it gave away in one go, and answers nobody meanwhile
 * (docs/design/slots.md). What that takes depends on how the keys lie. Where clients wrote them in any order the keys of one
 * slot are all over the memory, each on pages of its own that the fork for the batch has write-protected:
 * three faults a key, and the smallest batch stops writers for longer than is promised. A copy that was
 * built from a snapshot has them one slot after the other, and deletes ten times as many in that time. So
 * a shard of many keys is given one more copy, that copy takes over by a planned switch, and then slots travel.
 *
 * Which engines have their keys in order is not recorded but asked: each counts what it loaded of a snapshot.
 * What came by batches lies in order, too, and is counted where batches end. A shard that was emptied and
 * written anew since then is taken for one in order; its slots leave in smaller batches, or stop writers longer.
 */
import type { EngineFacts } from '../../engine/contract.ts';
import type { InstanceRecord, Scaling, ShardRecord } from '../store/records.ts';
import { COPIES_FOLLOW_MS, WAIT_POLL_MS } from './limits.ts';
import { type Action, type ArrangeEnd, ours, UNSEEN, type View, type Wait } from './model.ts';

/** Before `source` gives so many keys away. */
export function isToBeArranged(
  view: View,
  scaling: Scaling,
  source: ShardRecord,
  keysToGive: number,
): boolean {
  const { sizing, maintenance } = view.database;
  // Without a replica, one would carry the only copy of the data through; and who goes back wants to be back.
  if (sizing.replicas === 0 || scaling.canceled) return false;
  // Its spare is one for another purpose, and perhaps of another shard.
  if (maintenance !== null) return false;
  if (keysToGive < view.arranging.fromKeys || scaling.arranged?.includes(source.index))
    return false;
  const facts = view.seen.get(source.primary ?? '')?.facts;
  return facts != null && !liesInOrder(source, facts);
}

/** Most of what it holds. */
export function liesInOrder(shard: ShardRecord, facts: EngineFacts): boolean {
  return 2 * (facts.loadedKeys + (shard.keysByBatches ?? 0)) >= facts.keys;
}

/** What is next for the shard that is being arranged. */
export function planArrangement(view: View, scaling: Scaling): Action | Wait {
  const { arranging } = scaling;
  const shard = view.shards.find((each) => each.index === arranging?.shard);
  const end = (reason: ArrangeEnd): Action => ({ kind: 'end-arrange', reason });
  if (arranging == null || shard === undefined) return end('shard-gone');
  const wait = (reason: string, refresh: readonly string[] = []): Wait => ({
    reason,
    shard: shard.index,
    recheckMs: WAIT_POLL_MS,
    refresh,
  });
  if (shard.handover !== null) return wait('handover-under-way');
  const facts = view.seen.get(shard.primary ?? '')?.facts;
  const began = ours(view, arranging.at);
  const copies = view.instances.filter(
    (each) => each.shard === shard.index && each.id !== shard.primary,
  );
  const { replicas } = view.database.sizing;
  if (facts != null && liesInOrder(shard, facts)) {
    const next = planFollowers(view, scaling, shard, copies);
    return typeof next === 'string'
      ? wait(
          next,
          copies.map(({ id }) => id),
        )
      : (next ?? end('in-order'));
  }
  if (scaling.canceled) return end('canceled');
  if (view.database.maintenance !== null) return end('maintained');
  const runs = copies.filter((each) => each.phase === 'running').length > replicas;
  const { startMs, deadlineMs } = view.arranging;
  if (view.now - began > (runs ? deadlineMs : startMs)) return end('late');
  const whole = copies.filter((each) => isWhole(view, each));
  const successor = whole.find((each) => isInOrder(view.seen.get(each.id)?.facts));
  if (successor !== undefined) {
    return { kind: 'wish-handover', shard: shard.index, instance: successor.id };
  }
  // The new one as well: what was written while it was made is more than what it was made of.
  const all = copies.length > replicas && whole.length === copies.length;
  if (all) return end('no-copy-in-order');
  return wait(
    'copy-in-order-of-slots',
    copies.map(({ id }) => id),
  );
}

/**
 * Its copies delete the same keys, in the same moment and on the same cores. One whose keys lie as clients wrote
 * them has several times as much to do as its primary, and is in the way of all. So each of these is replaced by
 * one that is built from the new primary, one after the other, or copies all anew by itself after the switch.
 * A name: that is waited for; null: slots may leave.
 */
function planFollowers(
  view: View,
  scaling: Scaling,
  shard: ShardRecord,
  copies: readonly InstanceRecord[],
): Action | string | null {
  const { database, arranging } = view;
  const { replicas } = database.sizing;
  const decided = ours(view, shard.decidedAt);
  const follow = copies.filter(
    (each) => isWhole(view, each) && (view.seen.get(each.id)?.factsAt ?? 0) > decided,
  );
  if (follow.filter((each) => isInOrder(view.seen.get(each.id)?.facts)).length >= replicas)
    return null;
  const since = view.now - ours(view, scaling.arranging?.at ?? 0);
  if (scaling.canceled || database.maintenance !== null || since > arranging.deadlineMs) {
    // Which of the others goes is decided when it is known who follows.
    const known = follow.length >= replicas || view.now - decided > COPIES_FOLLOW_MS;
    return known ? null : 'copies-to-follow';
  }
  if (follow.length <= replicas) return 'copy-in-order-of-slots';
  // None twice: one that is younger than the primary was built from it, or from what that was built from.
  const leads = view.instances.find((each) => each.id === shard.primary)?.startedAt ?? 0;
  const older = follow.find(
    (each) => each.startedAt < leads && !isInOrder(view.seen.get(each.id)?.facts),
  );
  return older === undefined ? null : { kind: 'dismiss', instance: older.id };
}

function isWhole(view: View, instance: InstanceRecord): boolean {
  const { condition, facts } = view.seen.get(instance.id) ?? UNSEEN;
  if (instance.phase !== 'running' || !instance.synced) return false;
  return condition === 'answering' && facts?.role === 'replica' && facts.link === 'up';
}

/** What came by batches counts for nothing here: such a copy has read it in the order of its primary. */
export function isInOrder(facts: EngineFacts | null | undefined): boolean {
  return facts != null && 2 * facts.loadedKeys >= facts.keys;
}
