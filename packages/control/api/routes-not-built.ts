/**
 * What Azure offers and this does not build: each answers 501 with the reason. Lists of things that
 * cannot exist here are empty, which is the truth.
 */
import type { Answer } from './answer.ts';
import { notImplemented, ok } from './answer.ts';
import { type Call, clusterOf, databaseOf, param, resourceNotFound } from './call.ts';
import type { Method, Route } from './router.ts';
import { CLUSTER_PATH } from './routes-clusters.ts';
import { DATABASE_PATH } from './routes-databases.ts';

const GROUP = '/subscriptions/:sub/resourceGroups/:group';
const DEPLOYMENTS =
  'Template deployments are not built. Send the resources themselves: clients like az and Terraform do.';
const EVERY: readonly Method[] = ['GET', 'PUT', 'PATCH', 'POST', 'DELETE'];

export const NOT_BUILT_ROUTES: readonly Route[] = [
  ...action('import', 'Import is not built yet. Load the data with a client.'),
  ...action('export', 'Export is not built yet. Read the data with a client.'),
  ...action('forceUnlink', 'Geo-replication is not built: there is no group to leave.'),
  ...action('forceLinkToReplicationGroup', 'Geo-replication is not built: there is no group.'),
  ...empty(`${DATABASE_PATH}/accessPolicyAssignments`, (call) => databaseOf(call)),
  ...each(
    `${DATABASE_PATH}/accessPolicyAssignments/:name`,
    (call) => databaseOf(call).cluster.group,
    'Access policy assignments are not built yet: clients log in with the access keys.',
  ),
  ...empty(`${CLUSTER_PATH}/privateEndpointConnections`, (call) => clusterOf(call)),
  ...each(
    `${CLUSTER_PATH}/privateEndpointConnections/:name`,
    (call) => clusterOf(call).group,
    'Private endpoints are not built: there is no virtual network here. "cinnabar up --listen" chooses the addresses.',
  ),
  ...empty(`${CLUSTER_PATH}/privateLinkResources`, (call) => clusterOf(call)),
  ...empty(`${CLUSTER_PATH}/migrations`, (call) => clusterOf(call)),
  ...each(
    `${CLUSTER_PATH}/migrations/:name`,
    (call) => clusterOf(call).group,
    'Migration from Azure Cache for Redis is not built.',
  ),
  ...refuse('POST', `${CLUSTER_PATH}/migrations/:name/:action`, 'Migration is not built.'),
  ...refuse('POST', `${CLUSTER_PATH}/unlinkMigratedEndpoint`, 'Migration is not built.'),
  ...unbuilt(`${GROUP}/providers/Microsoft.Resources/deployments`, DEPLOYMENTS),
  ...unbuilt(`${GROUP}/providers/Microsoft.Resources/deployments/:name`, DEPLOYMENTS),
  ...unbuilt(`${GROUP}/providers/Microsoft.Resources/deployments/:name/:action`, DEPLOYMENTS),
  ...monitor(`${CLUSTER_PATH}/providers/Microsoft.Insights/:kind`),
  ...monitor(`${CLUSTER_PATH}/providers/Microsoft.Insights/:kind/:name`),
  ...monitor('/subscriptions/:sub/providers/Microsoft.Insights/:kind'),
  ...monitor(`${GROUP}/providers/Microsoft.Insights/:kind`),
  ...monitor(`${GROUP}/providers/Microsoft.Insights/:kind/:name`),
  ...monitor(`${GROUP}/providers/Microsoft.Insights/:kind/:name/:part`),
];

function action(name: string, reason: string): Route[] {
  return refuse('POST', `${DATABASE_PATH}/${name}`, reason, (call) => databaseOf(call));
}

/** The resource is looked for first: an absent one is a 404, whatever is asked of it. */
function refuse(
  method: Method,
  path: string,
  reason: string,
  find: (call: Call) => unknown = clusterOf,
): Route[] {
  const handle = (call: Call): Answer => {
    find(call);
    return notImplemented(reason);
  };
  return [{ method, path, kind: 'provider', handle }];
}

function empty(path: string, find: (call: Call) => unknown): Route[] {
  const handle = (call: Call): Answer => {
    find(call);
    return ok({ value: [] });
  };
  return [{ method: 'GET', path, kind: 'provider', handle }];
}

/** One of a list that is always empty: it cannot be made (501), so it is never there (404, 204). */
function each(path: string, groupOf: (call: Call) => string, reason: string): Route[] {
  return [
    {
      method: 'GET',
      path,
      kind: 'provider',
      handle: (call) => {
        throw resourceNotFound(param(call, 'name'), groupOf(call));
      },
    },
    ...refuse('PUT', path, reason, groupOf),
    {
      method: 'DELETE',
      path,
      kind: 'provider',
      handle: (call) => {
        groupOf(call);
        return { status: 204 };
      },
    },
  ];
}

function monitor(path: string): Route[] {
  return unbuilt(
    path,
    'Metrics, alerts and diagnostic settings (Microsoft.Insights) are not built yet.',
  );
}

function unbuilt(path: string, reason: string): Route[] {
  const handle = (): Answer => notImplemented(reason);
  return EVERY.map((method) => ({ method, path, kind: 'core', handle }));
}
