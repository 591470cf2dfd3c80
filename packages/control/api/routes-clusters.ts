/** Clusters: Microsoft.Cache/redisEnterprise. */
import { clusterNameProblem, requireName } from '../catalog/names.ts';
import { CLUSTER_TYPE } from '../resources/index.ts';
import type { ClusterRecord } from '../store/records.ts';
import type { Answer } from './answer.ts';
import { NO_CONTENT, ok } from './answer.ts';
import { type Call, clusterOf, param } from './call.ts';
import { asyncHeaders } from './lro.ts';
import { page } from './paging.ts';
import type { Route } from './router.ts';
import { clusterView, type ViewFacts } from './views.ts';

const SUB = '/subscriptions/:sub';
const PROVIDER = `providers/${CLUSTER_TYPE}`;
const GROUP = `${SUB}/resourceGroups/:group`;
export const CLUSTER_PATH = `${GROUP}/${PROVIDER}/:cluster`;

export const CLUSTER_ROUTES: readonly Route[] = [
  provided('GET', `${SUB}/${PROVIDER}`, (call) => list(call, call.service.clusters())),
  provided('GET', `${GROUP}/${PROVIDER}`, (call) =>
    list(call, call.service.clusters(param(call, 'group'))),
  ),
  provided('GET', CLUSTER_PATH, (call) => ok(view(call, clusterOf(call)))),
  provided('PUT', CLUSTER_PATH, put),
  provided('PATCH', CLUSTER_PATH, patch),
  provided('DELETE', CLUSTER_PATH, remove),
  provided('POST', `${CLUSTER_PATH}/listSkusForScaling`, (call) => {
    const { skus, ...why } = call.context.skus.skusForScaling(clusterOf(call).id);
    // Azure's list, and beside it what Azure keeps to itself: why the others are not in it.
    return ok({ skus, cinnabar: why });
  }),
];

function provided(method: Route['method'], path: string, handle: Route['handle']): Route {
  return { method, path, kind: 'provider', handle };
}

export function factsFor(call: Call, cluster: ClusterRecord): ViewFacts {
  return {
    subscriptionId: call.service.subscriptionId,
    version: call.version,
    engineVersion: call.service.status().engine.version.split('.').slice(0, 2).join('.'),
    hostName: call.service.hostName(cluster),
  };
}

export function view(call: Call, cluster: ClusterRecord): Record<string, unknown> {
  return clusterView(cluster, factsFor(call, cluster));
}

function list(call: Call, clusters: readonly ClusterRecord[]): Answer {
  return page(
    call,
    clusters,
    (cluster) => `${cluster.group}/${cluster.name}`.toLowerCase(),
    (cluster) => view(call, cluster),
  );
}

function put(call: Call): Answer {
  const names = { group: param(call, 'group'), name: param(call, 'cluster') };
  const current = call.service.cluster(names.group, names.name);
  // Before the body: whoever mends that first would send it again for nothing.
  if (current === null) requireName(clusterNameProblem(names.name), 'name');
  const { value, ignored } = call.bodies.clusterFromPut(call.body, names, current, call.version);
  call.ignored(ignored);
  const { record, operation, created } = call.service.putCluster(value, call.actor);
  return {
    status: created ? 201 : 200,
    body: view(call, record),
    headers: asyncHeaders(call, operation, 'resource'),
  };
}

function patch(call: Call): Answer {
  const current = clusterOf(call);
  const { value, ignored } = call.bodies.clusterFromPatch(call.body, current, call.version);
  call.ignored(ignored);
  const written = call.service.patchCluster(current.group, current.name, value, call.actor);
  return {
    status: 202,
    body: view(call, written.record),
    headers: asyncHeaders(call, written.operation, 'result'),
  };
}

function remove(call: Call): Answer {
  const group = param(call, 'group');
  const name = param(call, 'cluster');
  const operation = call.service.deleteCluster(group, name, call.actor);
  if (operation === null) return NO_CONTENT;
  const cluster = call.service.cluster(group, name);
  const headers = asyncHeaders(call, operation, 'result');
  return cluster === null
    ? { status: 202, headers }
    : { status: 202, headers, body: view(call, cluster) };
}
