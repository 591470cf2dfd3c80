/**
 * Every process of a database is made anew while clients go on: for another version of the engine, a
 * setting that only a start takes, or memory that went to pieces.
 *
 * A process that holds the only copy cannot be ended without losing it, and a shard without a replica
 * in sync loses data at the next fault. So there is one rule: nothing is touched before everything is
 * whole, and then one process at a time. Replicas come first; a primary's turn comes when a copy that is
 * new already can take over from it by a planned switch, after which it is a replica like others.
 *
 * For as long as its shard's turn lasts there is a spare: one replica more than wanted, new already. Without
 * it a shard with one replica would have a single copy while that one fills itself anew, and a fault in
 * these seconds would find nothing. In a database without replicas the spare carries the data from the old
 * process to the new one and stays as the primary; the old one goes.
 */
import type { InstanceRecord, ShardRecord } from '../store/records.ts';
import { WAIT_POLL_MS } from './limits.ts';
import { type Action, UNSEEN, type View, type Wait } from './model.ts';

export function planMaintenance(view: View): { actions: Action[]; waits: Wait[] } {
  const { maintenance } = view.database;
  if (maintenance === null) return { actions: [], waits: [] };
  const not = whyNotNow(view);
  if (not !== null) return { actions: [], waits: [not] };
  return { actions: [nextOf(view, maintenance.pending)], waits: [] };
}

/** How many copies beside its primary a shard is to have now. */
export function replicasWanted(view: View, shard: ShardRecord): number {
  const { replicas } = view.database.sizing;
  const spare = shardWithSpare(view) ?? view.database.scaling?.arranging?.shard ?? null;
  return replicas + (spare === shard.index ? 1 : 0);
}

/** The shard whose turn it is, when the one before has no spare any more. */
function shardWithSpare({ database, shards, instances }: View): number | null {
  const { maintenance, sizing } = database;
  if (maintenance === null || maintenance.noSpare === true) return null;
  const membersOf = ({ index }: ShardRecord) => instances.filter((each) => each.shard === index);
  const { pending } = maintenance;
  // Without replicas the old process is not made anew but goes, once the spare is primary.
  const next = shards.find((shard) =>
    sizing.replicas === 0
      ? shard.primary !== null && pending.includes(shard.primary)
      : membersOf(shard).some((each) => pending.includes(each.id)),
  );
  if (next === undefined) return null;
  const others = shards.filter((shard) => shard !== next);
  return others.every((each) => membersOf(each).length <= 1 + sizing.replicas) ? next.index : null;
}

function nextOf(view: View, pending: readonly string[]): Action {
  for (const shard of view.shards) {
    const members = view.instances.filter((each) => each.shard === shard.index);
    const replicas = members.filter((each) => each.id !== shard.primary);
    const old = replicas.find((each) => pending.includes(each.id));
    if (old !== undefined) return { kind: 'renew', instance: old.id };
    const [successor] = replicas;
    if (shard.primary !== null && pending.includes(shard.primary) && successor !== undefined) {
      return { kind: 'wish-handover', shard: shard.index, instance: successor.id };
    }
  }
  return { kind: 'end-maintenance' };
}

/** Nothing is touched unless every copy is whole, and every client sent where the records say. */
function whyNotNow(view: View): Wait | null {
  const not = (reason: string, shard: ShardRecord | null = null): Wait => ({
    reason,
    shard: shard?.index ?? null,
    recheckMs: WAIT_POLL_MS,
    refresh: [],
  });
  if (view.stopping) return not('stopping');
  if (view.database.scaling !== null) return not('slots-not-in-place');
  for (const shard of view.shards) {
    if (shard.phase !== 'serving') return not(shard.reason.code, shard);
    if (shard.handover !== null) return not('handover-under-way', shard);
    const members = view.instances.filter((each) => each.shard === shard.index);
    if (members.length !== 1 + replicasWanted(view, shard)) return not('replica-missing', shard);
    for (const member of members) {
      const reason = unsettled(view, shard, member);
      if (reason !== null) return not(reason, shard);
    }
  }
  return view.published ? null : not('endpoint-not-told');
}

function unsettled(view: View, shard: ShardRecord, member: InstanceRecord): string | null {
  const seen = view.seen.get(member.id) ?? UNSEEN;
  if (member.phase === 'leaving') return 'instance-leaving';
  if (member.phase !== 'running' || seen.condition !== 'answering') return 'instance-not-running';
  if (seen.configured < view.database.generation) return 'settings-not-applied';
  if (member.id === shard.primary) {
    return seen.facts?.role === 'primary' ? null : 'primary-not-asked';
  }
  const whole = member.synced && seen.facts?.role === 'replica' && seen.facts.link === 'up';
  return whole ? null : 'replica-not-in-sync';
}
