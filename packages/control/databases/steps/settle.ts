/** Everything that is desired is seen: say so in the records, and end what waited for it. */
import { shardsRelayed } from '../../store/records.ts';
import type { DatabaseLoop } from '../loop.ts';
import { endOperations } from '../progress.ts';
import { shutOut } from './shut-out.ts';

export async function settle(loop: DatabaseLoop): Promise<void> {
  const { store } = loop.deps;
  const { generation, settings } = loop.database();
  if (shardsRelayed(settings)) {
    await shutOut(loop);
    // More may be desired by now, and that is not seen yet.
    if (loop.database().generation !== generation) return;
  }
  loop.settled();
  store.write(() => {
    const database = loop.database();
    store.putDatabase({
      ...database,
      provisioningState: 'Succeeded',
      resourceState: 'Running',
      reason: { code: 'running', message: '' },
      observedGeneration: database.generation,
    });
    endOperations(
      loop,
      (operation) => operation.generation !== null && operation.generation <= database.generation,
      null,
    );
    followUp(loop);
    if (database.observedGeneration === 0) {
      loop.event('database-running', 'info', 'The database runs.');
    }
  });
}

/** A cluster whose change failed because its database took too long has what was asked for, after all. */
function followUp(loop: DatabaseLoop): void {
  const { store } = loop.deps;
  const cluster = loop.cluster();
  if (cluster.resourceState !== 'UpdateFailed') return;
  if (store.openOperations().some((each) => each.clusterId === cluster.id)) return;
  const reason = { code: 'running', message: '' };
  store.putCluster({
    ...cluster,
    provisioningState: 'Succeeded',
    resourceState: 'Running',
    reason,
  });
  loop.event('cluster-recovered', 'info', `Cluster '${cluster.name}' is as it was asked to be.`);
}
