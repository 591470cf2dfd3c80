/**
 * A member of a shard whose primary answers and is not in doubt: bring it to where it should be.
 */
import type { EngineFacts } from '../../engine/contract.ts';
import type { InstanceRecord } from '../store/records.ts';
import { fenceIfHung, type ShardContext, startWhenDue } from './context.ts';
import { STRAY_GRACE_MS } from './limits.ts';
import type { Sighting } from './model.ts';
import { inMove } from './slots.ts';

export function planReplica(
  context: ShardContext,
  primary: InstanceRecord,
  primaryFacts: EngineFacts,
  replica: InstanceRecord,
): void {
  const { view, seen, act, wait } = context;
  if (replica.phase === 'leaving') return act({ kind: 'remove', instance: replica.id });
  if (replica.phase !== 'running') {
    // Its primary has one place for a child process, and a batch of slots needs it.
    if (inMove(view, context.shard)) return wait('slots-moving');
    return startWhenDue(context, replica, 'follow');
  }
  const sight = seen(replica.id);
  if (sight.condition === 'mute') return fenceIfHung(context, replica, sight);
  if (sight.condition !== 'answering' || sight.facts === null)
    return wait(`replica-${sight.condition}`);
  const facts = sight.facts;
  if (facts.loading || facts.syncing) {
    if (replica.synced) act({ kind: 'note-copy', instance: replica.id, whole: false });
    return wait('replica-syncing');
  }
  if (primaryFacts.cluster !== null) {
    if (!primaryFacts.cluster.nodes.some((n) => n.id === replica.id)) {
      return act({ kind: 'meet', instance: primary.id, through: replica.id });
    }
  }
  if (facts.role === 'primary') return planStray(context, primary, replica, sight);
  if (!follows(facts, primary)) {
    return act({ kind: 'follow', instance: replica.id, primary: primary.id });
  }
  if (facts.link !== 'up') return wait('replica-link-down');
  if (facts.replicationId !== primaryFacts.replicationId) return wait('replica-of-other-history');
  if (!replica.synced) act({ kind: 'note-copy', instance: replica.id, whole: true });
}

function follows(facts: EngineFacts, primary: InstanceRecord): boolean {
  return facts.primaryPort === primary.port;
}

/**
 * It says it is a primary, and the store says otherwise. In a cluster the higher epoch demotes it
 * by gossip; what gossip does not reach is fenced and starts again as a follower. A standalone one
 * has nobody to tell it: it is told to follow.
 */
function planStray(
  { view, act, wait }: ShardContext,
  primary: InstanceRecord,
  stray: InstanceRecord,
  sight: Sighting,
): void {
  const stuck = view.now - sight.since > STRAY_GRACE_MS;
  // The other half of a newborn pair: nothing demotes a primary that has no slot to lose. It refuses while
  // it has not heard that its replica took over, and may never hear it.
  const empty = sight.facts?.keys === 0 && sight.facts.cluster?.slots.length === 0;
  const newborn = stray.start === 'first-primary' && empty && !stuck;
  if (view.database.settings.policy === 'NoCluster' || newborn) {
    return act({ kind: 'follow', instance: stray.id, primary: primary.id });
  }
  if (stuck) {
    return act({ kind: 'fence', instance: stray.id, reason: 'stray' });
  }
  wait('stray-primary');
}
