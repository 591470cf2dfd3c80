/** Everything that is desired is seen: say so in the records, and end what waited for it. */
import type { DatabaseLoop } from '../loop.ts';
import { endOperations } from '../progress.ts';

export async function settle(loop: DatabaseLoop): Promise<void> {
  const { store } = loop.deps;
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
