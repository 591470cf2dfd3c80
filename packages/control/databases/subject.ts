/** What an action works on: one at a time on each. */
import type { Action } from '../plan/model.ts';

/** Moving slots is one at a time, and never in the way of a failover at either end. */
const OF_SLOTS: ReadonlySet<Action['kind']> = new Set([
  'add-shards',
  'begin-move',
  'end-move',
  'cancel-move',
  'note-slots',
  'claim-slots',
  'end-scaling',
  'arrange',
  'end-arrange',
]);

export function subjectOf(action: Action): string {
  if (OF_SLOTS.has(action.kind)) return 'slots';
  if ('shard' in action) return `shard ${action.shard}`;
  // Whoever is told does nothing for it, and may be a primary whose end cannot wait.
  if (action.kind === 'meet') return `instance ${action.through}`;
  if ('instance' in action) return `instance ${action.instance}`;
  return 'database';
}
