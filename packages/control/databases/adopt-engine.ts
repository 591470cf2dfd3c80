/**
 * An engine that runs when a control process begins: ours, or nobody's.
 *
 * One that was started and not recorded, because the control process died between the two, is not
 * rubbish. It was started as what its record says, it has followed its primary since, and when that
 * one died meanwhile it holds the only copy there is. So it is recorded now. What no record has a
 * place for is left to the caller to end.
 */
import { basename, dirname } from 'node:path';
import type { ProcessRef } from '../../engine/contract.ts';
import { ControlError } from '../errors.ts';
import type { InstanceRecord, ShardRecord, StartKind } from '../store/records.ts';
import type { Store } from '../store/store.ts';
import type { ExecutorDeps } from './deps.ts';

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

/**
 * A data file in the folder of an engine that runs and serves is nobody's: a stop wrote it and was
 * broken off before it was recorded. The engine is newer with its next write; left there, the file
 * would one day make a cold start wait for the user's word on a copy of long ago.
 */
export async function dropStaleFile(
  { store, node, log }: Pick<ExecutorDeps, 'store' | 'node' | 'log'>,
  { dataDir }: FoundEngine,
): Promise<void> {
  const instance = store
    .databases()
    .flatMap((database) => store.instances(database.id))
    .find((each) => each.dataDir === dataDir);
  const shard = instance && store.shard(instance.databaseId, instance.shard);
  if (shard?.phase !== 'serving' || shard.saved !== null) return;
  try {
    await node.dropDataFile(dataDir);
  } catch (error) {
    log('warn', 'a file of a broken stop is left', { dataDir, error: String(error) });
  }
}

/**
 * Engines of a database that has no record are nobody's leavings: a record goes when the last engine
 * has gone. So the records are those of an earlier day, and who ended these engines by them would end
 * the last copy of what was made since.
 */
export function refuseOlderStore(store: Store, found: readonly FoundEngine[]): void {
  const strange = found.filter(
    ({ dataDir }) => store.databaseById(basename(dirname(dataDir))) === null,
  );
  const [first] = strange;
  if (first === undefined) return;
  const pids = strange.map(({ process }) => process.pid).join(', ');
  throw new ControlError(
    'store-older',
    500,
    `Engines run (${pids}) of a cache that the store does not know (${dirname(first.dataDir)}): the store is an older copy, or that of another data folder. Nothing was ended. Put back the store that knows them, or end what runs without saving it: cinnabar down --now`,
  );
}

/** Engines ran, so whoever looked after them did not end in order. */
export function tookOver(store: Store, adopted: number): void {
  const open = store.openOperations();
  const going = open.map(({ kind, id }) => `${kind} ${id.slice(0, 8)}`).join(', ');
  store.tell({
    reason: 'control-took-over',
    severity: 'warning',
    message: `The control process before this one ended without stopping everything. This one took over ${adopted} ${adopted === 1 ? 'engine' : 'engines'}; operations that go on: ${going === '' ? 'none' : going}.`,
    clusterId: null,
    databaseId: null,
    shard: null,
    instance: null,
    data: { adopted, operations: open.map(({ id }) => id) },
  });
}

/** What a start of this one was allowed to be: nothing of the shard was decided since. */
function startedAs(instance: InstanceRecord, shard: ShardRecord): StartKind {
  if (shard.phase === 'new') return instance.start;
  return shard.primary === instance.id ? 'cold' : 'follow';
}
