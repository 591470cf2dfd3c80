/** Whose children give way now: primaries that have a replica to fill, or slots to send (`engine/children.ts`). */
import type { ProcessRef } from '../../engine/contract.ts';
import type { View } from '../plan/model.ts';
import type { ExecutorDeps } from './deps.ts';
import { EASE_MS } from './limits.ts';

/** Called at each turn; what is due is due again at the next. */
export function easeCopies({ node }: ExecutorDeps, view: View): void {
  for (const process of copied(view)) node.ease(process, EASE_MS);
}

/** Processes of primaries whose data are being copied, or will be in a moment. */
export function copied({ instances, shards, seen, database }: View): ProcessRef[] {
  const running = instances.filter(({ phase }) => phase === 'running');
  return shards.flatMap(({ index, primary }) => {
    const filling = running.some(
      ({ id, shard, synced }) =>
        shard === index && id !== primary && (!synced || seen.get(id)?.facts?.syncing === true),
    );
    const sending = database.scaling?.move?.source === index;
    const process = running.find(({ id }) => id === primary)?.process ?? null;
    return process !== null && (filling || sending) ? [process] : [];
  });
}
