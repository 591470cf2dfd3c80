/** Actions on a running database: its access keys, and emptying it. */
import { newInternalSecrets } from '../auth/internal.ts';
import { newAccessKeys, regenerated } from '../auth/keys.ts';
import { ControlError } from '../errors.ts';
import type { AccessKeys, OperationRecord, Store } from '../store/index.ts';
import { databaseId as armId } from './ids.ts';
import { refuseWhenBusy, type Stamp, startOperation } from './operations.ts';
import type { ActionSituation } from './situations.ts';

/** Owner of a database's access keys in the store; its internal passwords are under its id alone. */
function keysOwner(databaseId: string): string {
  return `${databaseId}/keys`;
}

/** In the transaction that creates the database. */
export function storeNewSecrets(store: Store, databaseId: string): void {
  store.putSecret(keysOwner(databaseId), newAccessKeys());
  store.putSecret(databaseId, newInternalSecrets());
}

export function storedKeys(store: Store, databaseId: string): AccessKeys {
  const keys = store.secret<AccessKeys>(keysOwner(databaseId));
  if (keys !== null) return keys;
  throw new ControlError(
    'ResourceNotFound',
    404,
    `Database ${databaseId} does not exist any more.`,
  );
}

/** Stores the new key and opens its operation; applying it to the processes is the caller's. */
export function regenerateKey(
  store: Store,
  situation: ActionSituation,
  which: 'Primary' | 'Secondary',
  options: { readonly disconnect: boolean },
  stamp: Stamp,
): OperationRecord {
  const { database } = situation;
  refuseUnlessRan(situation);
  const operation = startAction(situation, stamp, 'RegenerateKey', {
    keyType: which,
    disconnect: options.disconnect,
  });
  const keys = storedKeys(store, database.id);
  store.write(() => {
    store.putSecret(keysOwner(database.id), regenerated(keys, which));
    store.putOperation(operation);
    addEvent(store, situation, stamp, 'key-regenerated', `The ${which} key was replaced.`);
  });
  return operation;
}

export function startFlush(
  store: Store,
  situation: ActionSituation,
  stamp: Stamp,
): OperationRecord {
  refuseUnlessRan(situation);
  const operation = startAction(situation, stamp, 'Flush', {});
  store.write(() => {
    store.putOperation(operation);
    addEvent(store, situation, stamp, 'flush-accepted', 'All keys of the database are deleted.');
  });
  return operation;
}

function startAction(
  situation: ActionSituation,
  stamp: Stamp,
  kind: 'RegenerateKey' | 'Flush',
  input: Readonly<Record<string, unknown>>,
): OperationRecord {
  const { cluster, database, open, subscriptionId } = situation;
  refuseWhenBusy(open, `Database '${database.name}' of cluster '${cluster.name}'`);
  return startOperation(stamp, {
    kind,
    resourceId: armId(subscriptionId, cluster),
    clusterId: cluster.id,
    databaseId: database.id,
    location: cluster.location,
    generation: null,
    input,
  });
}

function refuseUnlessRan({ cluster, database }: ActionSituation): void {
  const { provisioningState, resourceState, observedGeneration } = database;
  if (provisioningState !== 'Deleting' && observedGeneration > 0) return;
  throw new ControlError(
    'Conflict',
    409,
    `The database of cluster '${cluster.name}' is ${resourceState}: this works on a database that runs. ${database.reason.message}`,
  );
}

function addEvent(
  store: Store,
  { cluster, database }: ActionSituation,
  stamp: Stamp,
  reason: string,
  message: string,
): void {
  store.addEvent({
    reason,
    severity: 'info',
    message: `Cluster '${cluster.name}': ${message}`,
    clusterId: cluster.id,
    databaseId: database.id,
    shard: null,
    instance: null,
    data: { actor: stamp.actor.name, correlationId: stamp.actor.correlationId },
  });
}
