/**
 * Canceling an operation. Only a change of the number of shards takes long enough to be regretted and
 * has a way back at every point: the same plan, with the figures that were before. Nothing stops
 * half-way: the operation goes on until everything is as it was, and ends as Canceled.
 */
import { counted } from '../counted.ts';
import { ControlError } from '../errors.ts';
import { afterMaintenance } from '../plan/upgrade.ts';
import type {
  ClusterRecord,
  DatabaseRecord,
  OperationRecord,
  StateReason,
  Store,
} from '../store/index.ts';
import { endOperation, isOpen, type Stamp } from './operations.ts';

export interface Cancellation {
  readonly cluster: ClusterRecord;
  readonly database: DatabaseRecord;
  /** The database's operation, which goes back. */
  readonly child: OperationRecord;
}

/** Pure. `asked`: what the user named; `child`: the database's operation of it, if there is one. */
function decideCancel(
  asked: OperationRecord,
  child: OperationRecord | null,
  database: DatabaseRecord | null,
  cluster: ClusterRecord | null,
  { now, actor: { name: by } }: Pick<Stamp, 'now' | 'actor'>,
): Cancellation {
  if (!isOpen(asked)) {
    throw new ControlError(
      'OperationEnded',
      409,
      `Operation ${asked.id} has ended already (${asked.status}): there is nothing to cancel.`,
    );
  }
  const scaling = database?.scaling ?? null;
  if (child === null || database === null || cluster === null || scaling === null) {
    throw new ControlError(
      'OperationNotCancelable',
      409,
      `Operation ${asked.id} (${asked.kind}) cannot be canceled: only maintenance can, and a change of the number of shards while slots are moving. It ends by itself.`,
    );
  }
  if (scaling.canceled) {
    throw new ControlError(
      'OperationBeingCanceled',
      409,
      `Operation ${asked.id} is being canceled already: the slots are on their way back.`,
    );
  }
  const { from } = scaling;
  const reason = {
    code: 'canceling',
    message: `The change was canceled: slots move back to ${from.shards} shards.`,
  };
  return {
    cluster: {
      ...cluster,
      sku: from.sku,
      capacity: capacityBefore(child),
      reason,
      modifiedAt: now,
    },
    database: {
      ...database,
      sizing: from,
      scaling: { ...scaling, from: database.sizing, canceled: true, notBefore: 0 },
      generation: database.generation + 1,
      reason,
      modifiedAt: now,
    },
    child: {
      ...child,
      generation: database.generation + 1,
      input: { ...child.input, canceled: true, canceledBy: by, canceledAt: now },
    },
  };
}

function capacityBefore(child: OperationRecord): number | null {
  const capacity = child.input['capacityBefore'];
  return typeof capacity === 'number' ? capacity : null;
}

export function cancelOperation(store: Store, id: string, stamp: Stamp): OperationRecord {
  const asked = store.operation(id);
  if (asked === null) {
    throw new ControlError('ResourceNotFound', 404, `There is no operation '${id.slice(0, 60)}'.`);
  }
  const childId = asked.input['child'];
  const child =
    typeof childId === 'string'
      ? store.operation(childId)
      : asked.kind === 'UpdateDatabase'
        ? asked
        : null;
  if (asked.kind === 'Maintain' && isOpen(asked)) return stopMaintenance(store, asked, stamp);
  const database = child?.databaseId == null ? null : store.databaseById(child.databaseId);
  const cluster = database === null ? null : store.clusterById(database.clusterId);
  const decision = decideCancel(asked, child, database, cluster, stamp);
  const { shards } = decision.database.sizing;
  store.write(() => {
    store.putCluster(decision.cluster);
    store.putDatabase(decision.database);
    store.putOperation(decision.child);
    store.addEvent({
      reason: 'operation-canceled',
      severity: 'warning',
      message: `Cluster '${decision.cluster.name}': its change was canceled by ${stamp.actor.name}; it goes back to ${counted(shards, 'shard')}.`,
      clusterId: decision.cluster.id,
      databaseId: decision.database.id,
      shard: null,
      instance: null,
      data: { operation: asked.id, correlationId: stamp.actor.correlationId },
    });
  });
  return store.operation(id) ?? asked;
}

/** What an operation that went back to its beginning says at its end. */
export function wentBack({ canceledBy, canceledAt }: OperationRecord['input']): StateReason {
  const known = typeof canceledBy === 'string' && typeof canceledAt === 'number';
  const by = known ? `by ${canceledBy} at ${timeOf(canceledAt)}` : 'on request';
  return { code: 'Canceled', message: `Canceled ${by}: everything is as it was before.` };
}

/** To the second, in UTC. */
function timeOf(at: number): string {
  return `${new Date(at).toISOString().slice(0, 19)}Z`;
}

/** No further process is touched; one whose turn has begun comes back by itself. */
function stopMaintenance(store: Store, asked: OperationRecord, stamp: Stamp): OperationRecord {
  const message = `Maintenance was canceled by ${stamp.actor.name} at ${timeOf(stamp.now)}: processes that were replaced by then stay.`;
  const error = { code: 'Canceled', message };
  const ended = endOperation(asked, 'Canceled', stamp.now, error);
  store.write(() => {
    const database = store.databaseById(asked.databaseId ?? '');
    if (database?.maintenance?.operation === asked.id) {
      const engines = store.instances(database.id).map((each) => each.engine);
      const upgrade = afterMaintenance(database.upgrade, engines, stamp.now);
      store.putDatabase({ ...database, maintenance: null, upgrade });
    }
    store.putOperation(ended);
    store.addEvent({
      reason: 'operation-canceled',
      severity: 'warning',
      message,
      clusterId: asked.clusterId,
      databaseId: asked.databaseId,
      shard: null,
      instance: null,
      data: { operation: asked.id, correlationId: stamp.actor.correlationId },
    });
  });
  return ended;
}
