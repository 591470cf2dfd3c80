/** How far an operation is: its status document, and its result under the resource it works on. */

import { ControlError } from '../errors.ts';
import { clusterId, DATABASE_NAME, databaseId } from '../resources/index.ts';
import type { OperationRecord } from '../store/records.ts';
import type { Answer } from './answer.ts';
import { type Call, param } from './call.ts';
import { operationResult, operationStatus } from './lro.ts';
import type { Route } from './router.ts';
import { CLUSTER_PATH, view } from './routes-clusters.ts';
import { DATABASE_PATH, databaseDocument } from './routes-databases.ts';

const LOCATION = '/subscriptions/:sub/providers/Microsoft.Cache/locations/:location';

export const OPERATION_ROUTES: readonly Route[] = [
  // The location in the path may be 'westus3' or 'West US 3': the id alone names the operation.
  provided(`${LOCATION}/operationsStatus/:operation`, (call) =>
    operationStatus(call, operationOf(call)),
  ),
  provided(`${CLUSTER_PATH}/operationresults/:operation`, clusterResult),
  provided(`${DATABASE_PATH}/operationresults/:operation`, databaseResult),
];

/** The group may be gone before its client has asked for the last time. */
function provided(path: string, handle: Route['handle']): Route {
  return { method: 'GET', path, kind: 'provider', anyGroup: true, handle };
}

function operationOf(call: Call): OperationRecord {
  const id = param(call, 'operation');
  const operation = call.service.operation(id.toLowerCase());
  if (operation !== null) return operation;
  throw new ControlError(
    'ResourceNotFound',
    404,
    `There is no operation '${id.slice(0, 60)}': it never existed, or it ended long ago and was forgotten.`,
  );
}

/** An operation answers under its own resource only. */
function operationAt(call: Call, resourceId: string): OperationRecord {
  const operation = operationOf(call);
  if (operation.resourceId.toLowerCase() === resourceId.toLowerCase()) return operation;
  throw new ControlError(
    'ResourceNotFound',
    404,
    `Operation '${operation.id}' does not belong to ${resourceId}.`,
  );
}

function namesOf(call: Call): { group: string; name: string } {
  return { group: param(call, 'group'), name: param(call, 'cluster') };
}

function clusterResult(call: Call): Answer {
  const names = namesOf(call);
  const operation = operationAt(call, clusterId(call.service.subscriptionId, names));
  return operationResult(call, operation, resultPath(operation), () => {
    if (operation.kind === 'DeleteCluster') return undefined;
    const cluster = call.service.cluster(names.group, names.name);
    return cluster === null ? undefined : view(call, cluster);
  });
}

function databaseResult(call: Call): Answer {
  const names = namesOf(call);
  const operation = operationAt(call, databaseId(call.service.subscriptionId, names));
  return operationResult(call, operation, resultPath(operation), () => {
    if (operation.kind !== 'CreateDatabase' && operation.kind !== 'UpdateDatabase') {
      return undefined;
    }
    const cluster = call.service.cluster(names.group, names.name);
    const database = cluster && call.service.database(cluster.id, DATABASE_NAME);
    return cluster && database ? databaseDocument(call, cluster, database) : undefined;
  });
}

function resultPath(operation: OperationRecord): string {
  return `${operation.resourceId}/operationresults/${operation.id}`;
}
