/**
 * An engine that runs when a control process begins: ours, or nobody's.
 *
 * One that was started and not recorded, because the control process died between the two, is not
 * rubbish. It was started as what its record says, it has followed its primary since, and when that
 * one died meanwhile it holds the only copy there is. So it is recorded now. What no record has a
 * place for is left to the caller to end.
 */
import type { ProcessRef } from '../../engine/contract.ts';
import type { InstanceRecord, ShardRecord, StartKind } from '../store/records.ts';
import type { Store } from '../store/store.ts';

export interface FoundEngine {
  readonly dataDir: string;
  readonly process: ProcessRef;
}

/** Whether it is recorded now. */
export function adoptEngine(store: Store, { dataDir, process }: FoundEngine): boolean {
  const instance = store
    .databases()
    .flatMap((database) => store.instances(database.id))
    .find((each) => each.dataDir === dataDir);
  if (instance === undefined) return false;
  const { process: known } = instance;
  if (known !== null) return known.pid === process.pid && known.startTicks === process.startTicks;
  const shard = store.shard(instance.databaseId, instance.shard);
  if (shard === null || (instance.phase !== 'planned' && instance.phase !== 'dead')) return false;
  store.write(() => {
    store.putInstance({
      ...instance,
      phase: 'running',
      start: startedAs(instance, shard),
      process,
      synced: false,
      endedAt: 0,
    });
    store.addEvent({
      reason: 'engine-adopted',
      severity: 'warning',
      message: 'An engine that was started and not yet recorded is taken over.',
      clusterId: store.databaseById(instance.databaseId)?.clusterId ?? null,
      databaseId: instance.databaseId,
      shard: instance.shard,
      instance: instance.id,
      data: { pid: process.pid },
    });
  });
  return true;
}

/** What a start of this one was allowed to be: nothing of the shard was decided since. */
function startedAs(instance: InstanceRecord, shard: ShardRecord): StartKind {
  if (shard.phase === 'new') return instance.start;
  return shard.primary === instance.id ? 'cold' : 'follow';
}
