/**
 * (desired, observed) -> actions. A pure function, asked again after every action and every event,
 * so nothing depends on having been there before: a control process that died half-way is replaced
 * by one that reads the same records and plans the rest.
 *
 * It says at most one thing about an instance at a time, and its actions do not depend on each
 * other, so they can run side by side; slow things (a sync, a boot) are waits with a name, never
 * actions that block the shard beside them.
 */
import type { InstanceRecord } from '../store/records.ts';
import { planMaintenance } from './maintenance.ts';
import { type Action, type Plan, UNSEEN, type View, type Wait } from './model.ts';
import { planShard } from './shard.ts';
import { planSlots } from './slots.ts';

export function plan(view: View): Plan {
  if (view.wanted === 'nothing') return planRemoval(view);
  if (view.shards.length === 0) return { actions: [{ kind: 'lay-out' }], waits: [] };
  const actions: Action[] = [];
  const waits: Wait[] = [];
  for (const shard of view.shards) {
    const part = planShard(view, shard);
    actions.push(...part.actions);
    waits.push(...part.waits);
  }
  // Only what nothing else is to be done for: every other step may be about the same copy.
  const calm = actions.length === 0 ? planMaintenance(view) : { actions: [], waits: [] };
  for (const part of [planSlots(view), calm]) {
    actions.push(...part.actions);
    waits.push(...part.waits);
  }
  const busy = new Set(actions.map(subject));
  for (const instance of view.instances) {
    if (needsSettings(view, instance) && !busy.has(instance.id)) {
      actions.push({ kind: 'configure', instance: instance.id });
    }
  }
  if (actions.length === 0) {
    const missing = unsettled(view);
    if (missing !== null) waits.push(missing);
    else if (view.database.observedGeneration < view.database.generation) {
      actions.push({ kind: 'settle' });
    }
  }
  return { actions, waits };
}

function subject(action: Action): string | null {
  return 'instance' in action ? action.instance : null;
}

/**
 * Settings (client users among them) go on only where a role is decided: an engine of a new shard
 * lets no client in, so "never held data" stays true until the shard serves.
 */
function needsSettings(view: View, instance: InstanceRecord): boolean {
  const seen = view.seen.get(instance.id) ?? UNSEEN;
  if (instance.phase !== 'running' || seen.condition !== 'answering') return false;
  const shard = view.shards.find((s) => s.index === instance.shard);
  return shard?.phase === 'serving' && seen.configured < view.database.generation;
}

/** Why what is desired is not yet seen; null when it is. */
function unsettled(view: View): Wait | null {
  const not = (reason: string, shard: number | null): Wait => ({
    reason,
    shard,
    recheckMs: null,
    refresh: [],
  });
  for (const shard of view.shards) {
    if (shard.phase !== 'serving') return not(shard.reason.code, shard.index);
    const members = view.instances.filter((i) => i.shard === shard.index);
    const whole = members.filter((i) => i.id !== shard.primary && i.synced).length;
    if (whole < view.database.sizing.replicas) return not('replica-not-in-sync', shard.index);
    if (members.some((i) => i.phase === 'leaving')) return not('instance-leaving', shard.index);
  }
  for (const instance of view.instances) {
    const seen = view.seen.get(instance.id) ?? UNSEEN;
    if (seen.configured < view.database.generation)
      return not('settings-not-applied', instance.shard);
  }
  if (view.database.scaling !== null) return not('slots-not-in-place', null);
  return view.published ? null : not('endpoint-not-told', null);
}

/** Clients first (the endpoint stops listening), then processes and files, then the records. */
function planRemoval(view: View): Plan {
  if (!view.published) {
    return {
      actions: [],
      waits: [{ reason: 'endpoint-not-told', shard: null, recheckMs: null, refresh: [] }],
    };
  }
  const actions: Action[] = view.instances.map((instance) =>
    instance.phase === 'leaving'
      ? { kind: 'remove', instance: instance.id }
      : { kind: 'dismiss', instance: instance.id },
  );
  return { actions: actions.length > 0 ? actions : [{ kind: 'remove-database' }], waits: [] };
}
