/** The database of a cluster, its keys, and emptying it. */
import { ControlError } from '../errors.ts';
import { databaseId } from '../resources/index.ts';
import type { ClusterRecord, DatabaseRecord } from '../store/records.ts';
import type { Answer } from './answer.ts';
import { NO_CONTENT, ok } from './answer.ts';
import { type Call, clusterOf, databaseOf, param } from './call.ts';
import { asyncHeaders } from './lro.ts';
import { page } from './paging.ts';
import type { Route } from './router.ts';
import { CLUSTER_PATH, factsFor } from './routes-clusters.ts';
import { databaseView } from './views.ts';

const DATABASES = `${CLUSTER_PATH}/databases`;
export const DATABASE_PATH = `${DATABASES}/:database`;

export const DATABASE_ROUTES: readonly Route[] = [
  provided('GET', DATABASES, list),
  provided('GET', DATABASE_PATH, (call) => {
    const { cluster, database } = databaseOf(call);
    return ok(databaseDocument(call, cluster, database));
  }),
  provided('PUT', DATABASE_PATH, put),
  provided('PATCH', DATABASE_PATH, patch),
  provided('DELETE', DATABASE_PATH, remove),
  provided('POST', `${DATABASE_PATH}/listKeys`, listKeys),
  provided('POST', `${DATABASE_PATH}/regenerateKey`, regenerateKey),
  provided('POST', `${DATABASE_PATH}/flush`, flush),
];

function provided(method: Route['method'], path: string, handle: Route['handle']): Route {
  return { method, path, kind: 'provider', handle };
}

export function databaseDocument(
  call: Call,
  cluster: ClusterRecord,
  database: DatabaseRecord,
): Record<string, unknown> {
  const problems = call.service.problems(database.id);
  return databaseView(cluster, database, factsFor(call, cluster), problems);
}

/** Of a child that is to be written: ARM has a code of its own for its missing parent. */
function parentOf(call: Call): ClusterRecord {
  const group = param(call, 'group');
  const name = param(call, 'cluster');
  const cluster = call.service.cluster(group, name);
  if (cluster !== null) return cluster;
  throw new ControlError(
    'ParentResourceNotFound',
    404,
    `Can not perform requested operation on nested resource. Parent resource 'Microsoft.Cache/redisEnterprise/${name}' was not found in resource group '${group}': create the cluster first.`,
  );
}

function list(call: Call): Answer {
  const cluster = clusterOf(call);
  return page(
    call,
    call.service.databases(cluster.id),
    (database) => database.name,
    (database) => databaseDocument(call, cluster, database),
  );
}

function put(call: Call): Answer {
  const cluster = parentOf(call);
  const name = param(call, 'database');
  const current = call.service.database(cluster.id, name);
  const { value, ignored } = call.bodies.databaseFromPut(call.body, current, call.version);
  call.ignored(ignored);
  const written = call.service.putDatabase(cluster.id, name, value, call.actor);
  return {
    status: written.created ? 201 : 200,
    body: databaseDocument(call, cluster, written.record),
    headers: asyncHeaders(call, written.operation, 'resource'),
  };
}

function patch(call: Call): Answer {
  const { cluster, database } = databaseOf(call);
  const { value, ignored } = call.bodies.databaseFromPatch(call.body, call.version);
  call.ignored(ignored);
  const written = call.service.patchDatabase(cluster.id, database.name, value, call.actor);
  return {
    status: 202,
    body: databaseDocument(call, cluster, written.record),
    headers: asyncHeaders(call, written.operation, 'result'),
  };
}

function remove(call: Call): Answer {
  const cluster = call.service.cluster(param(call, 'group'), param(call, 'cluster'));
  if (cluster === null) return NO_CONTENT;
  const operation = call.service.deleteDatabase(cluster.id, param(call, 'database'), call.actor);
  if (operation === null) return NO_CONTENT;
  return { status: 202, headers: asyncHeaders(call, operation, 'result') };
}

function listKeys(call: Call): Answer {
  const { cluster, database } = databaseOf(call);
  if (database.settings.accessKeys === 'Disabled') {
    throw new ControlError(
      'AccessKeysAuthenticationDisabled',
      400,
      `Access keys are off for the database of cluster '${cluster.name}', so its keys would not let anybody in. Turn them on first: PATCH properties.accessKeysAuthentication to Enabled.`,
    );
  }
  return ok(call.service.keys(database.id));
}

async function regenerateKey(call: Call): Promise<Answer> {
  const { database } = databaseOf(call);
  const { keyType, disconnect } = call.bodies.small.regenerate(call);
  if (keyType === undefined) {
    throw new ControlError(
      'InvalidRequestContent',
      400,
      "'keyType' is required: Primary or Secondary.",
      'keyType',
    );
  }
  const options = { disconnect: disconnect === true };
  // Synchronous with both keys: the only form in which every client gets them.
  return ok(await call.service.regenerateKey(database.id, keyType, options, call.actor));
}

function flush(call: Call): Answer {
  const { cluster, database } = databaseOf(call);
  const { ids = [] } = call.bodies.small.flush(call);
  const own = databaseId(call.service.subscriptionId, cluster).toLowerCase();
  const foreign = ids.find((id) => id.toLowerCase() !== own);
  if (foreign !== undefined) {
    throw new ControlError(
      'InvalidParameter',
      400,
      `ids names '${foreign.slice(0, 200)}', which is not linked with this database: leave ids out.`,
      'ids',
    );
  }
  const operation = call.service.flush(database.id, call.actor);
  return { status: 202, headers: asyncHeaders(call, operation, 'result') };
}
