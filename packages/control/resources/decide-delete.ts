/** What deleting a cluster or a database means. Pure, as decide-cluster. */
import type { ClusterRecord, DatabaseRecord, OperationRecord } from '../store/records.ts';
import { clusterId, databaseId } from './ids.ts';
import { isOpen, refuseWhenBusy, type Stamp, startOperation } from './operations.ts';

export interface DeleteSituation {
  readonly subscriptionId: string;
  readonly current: ClusterRecord;
  readonly database: DatabaseRecord | null;
  /** Unfinished operations of the cluster and its database. */
  readonly open: readonly OperationRecord[];
}

export interface ClusterDeletion {
  readonly cluster: ClusterRecord;
  readonly database: DatabaseRecord | null;
  readonly operation: OperationRecord;
  readonly child: OperationRecord | null;
}

export interface DatabaseDeletion {
  readonly database: DatabaseRecord;
  readonly operation: OperationRecord;
}

/** The delete that runs already: asking twice is one delete. */
export function runningDelete(
  open: readonly OperationRecord[],
  kind: 'DeleteCluster' | 'DeleteDatabase',
): OperationRecord | null {
  return open.find((operation) => operation.kind === kind && isOpen(operation)) ?? null;
}

export function decideClusterDelete(situation: DeleteSituation, stamp: Stamp): ClusterDeletion {
  const { current, database, open, subscriptionId } = situation;
  refuseWhenBusy(open, `Cluster '${current.name}'`);
  const inner = database === null ? null : decideDatabaseDelete({ ...situation, database }, stamp);
  return {
    cluster: {
      ...current,
      provisioningState: 'Deleting',
      resourceState: 'Deleting',
      reason: { code: 'deleting', message: `Deletion was asked for by ${stamp.actor.name}.` },
      modifiedAt: stamp.now,
      modifiedBy: stamp.actor.name,
    },
    database: inner?.database ?? null,
    child: inner?.operation ?? null,
    operation: startOperation(stamp, {
      kind: 'DeleteCluster',
      resourceId: clusterId(subscriptionId, current),
      clusterId: current.id,
      databaseId: null,
      location: current.location,
      generation: null,
      input: inner === null ? {} : { child: inner.operation.id },
    }),
  };
}

export function decideDatabaseDelete(
  situation: DeleteSituation & { readonly database: DatabaseRecord },
  stamp: Stamp,
): DatabaseDeletion {
  const { current, database, open, subscriptionId } = situation;
  refuseWhenBusy(open, `Database '${database.name}' of cluster '${current.name}'`);
  const generation = database.generation + 1;
  return {
    database: {
      ...database,
      provisioningState: 'Deleting',
      resourceState: 'Deleting',
      reason: { code: 'deleting', message: `Deletion was asked for by ${stamp.actor.name}.` },
      generation,
      modifiedAt: stamp.now,
    },
    operation: startOperation(stamp, {
      kind: 'DeleteDatabase',
      resourceId: databaseId(subscriptionId, current),
      clusterId: current.id,
      databaseId: database.id,
      location: current.location,
      generation,
    }),
  };
}
