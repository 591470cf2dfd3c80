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
    if (database.observedGeneration === 0) {
      loop.event('database-running', 'info', 'The database runs.');
    }
  });
}
