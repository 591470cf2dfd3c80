/** Resource groups, what is in them, and tags on all of it. */

import { ControlError } from '../errors.ts';
import { CLUSTER_TYPE, clusterId } from '../resources/index.ts';
import type { ClusterRecord } from '../store/records.ts';
import type { Answer } from './answer.ts';
import { NO_CONTENT, ok } from './answer.ts';
import { type Call, param } from './call.ts';
import { RETRY_AFTER_S } from './limits.ts';
import { absolute } from './lro.ts';
import { page } from './paging.ts';
import { displayLocation } from './regions.ts';
import type { Route } from './router.ts';
import { groupView } from './views.ts';

const SUB = '/subscriptions/:sub';
const GROUPS = `${SUB}/resourceGroups`;
const GROUP = `${GROUPS}/:group`;

export const GROUP_ROUTES: readonly Route[] = [
  core('GET', GROUPS, listGroups),
  { ...core('PUT', GROUP, putGroup), anyGroup: true },
  core('GET', GROUP, (call) => ok(view(call))),
  core('PATCH', GROUP, patchGroup),
  core('DELETE', GROUP, deleteGroup),
  core('GET', `${SUB}/operationresults/:operation`, groupDeleted),
  core('GET', `${SUB}/resources`, (call) => listResources(call, call.service.clusters())),
  core('GET', `${GROUP}/resources`, (call) =>
    listResources(call, call.service.clusters(groupOf(call).name)),
  ),
  core('GET', `${SUB}/tagNames`, tagNames),
];

function core(method: Route['method'], path: string, handle: Route['handle']): Route {
  return { method, path, kind: 'core', handle };
}

function groupOf(call: Call) {
  const name = param(call, 'group');
  const group = call.service.group(name);
  if (group !== null) return group;
  throw new ControlError(
    'ResourceGroupNotFound',
    404,
    `Resource group '${name}' could not be found.`,
  );
}

function view(call: Call): unknown {
  return groupView(groupOf(call), call.service.subscriptionId);
}

function listGroups(call: Call): Answer {
  const wanted = tagFilter(call.query.get('$filter'));
  const groups = call.service
    .groups()
    .filter((group) => wanted === null || matches(group.tags, wanted));
  return page(
    call,
    groups,
    (group) => group.name.toLowerCase(),
    (group) => groupView(group, call.service.subscriptionId),
  );
}

function putGroup(call: Call): Answer {
  const name = param(call, 'group');
  const input = call.bodies.readGroup(call, name);
  const { record, created } = call.service.putGroup(input, call.actor);
  return {
    status: created ? 201 : 200,
    body: groupView(record, call.service.subscriptionId),
  };
}

function patchGroup(call: Call): Answer {
  const group = groupOf(call);
  const tags = call.bodies.readTags(call) ?? { ...group.tags };
  const record = call.service.patchGroup(group.name, tags, call.actor);
  return ok(groupView(record, call.service.subscriptionId));
}

function deleteGroup(call: Call): Answer {
  const group = groupOf(call);
  const operation = call.service.deleteGroup(group.name, call.actor);
  if (operation === null) return NO_CONTENT;
  const { subscriptionId } = call.service;
  return {
    status: 202,
    headers: {
      location: absolute(call, `/subscriptions/${subscriptionId}/operationresults/${operation.id}`),
      'retry-after': String(RETRY_AFTER_S),
    },
  };
}

/** Core's own operations have no status document: 202 until done, then 200. */
function groupDeleted(call: Call): Answer {
  const id = param(call, 'operation');
  const operation = call.service.operation(id);
  if (operation?.kind !== 'DeleteGroup') {
    throw new ControlError('ResourceNotFound', 404, `There is no operation '${id.slice(0, 60)}'.`);
  }
  if (operation.endedAt === null) {
    const location = absolute(call, `/subscriptions/${param(call, 'sub')}/operationresults/${id}`);
    return { status: 202, headers: { location, 'retry-after': String(RETRY_AFTER_S) } };
  }
  if (operation.status === 'Succeeded') return { status: 200 };
  const { code, message } = operation.error ?? { code: 'OperationFailed', message: 'It failed.' };
  throw new ControlError(code, 409, message);
}

/** Tracked top-level resources only: clusters. */
function listResources(call: Call, clusters: readonly ClusterRecord[]): Answer {
  const filter = call.query.get('$filter') ?? '';
  const tag = tagFilter(filter);
  const type = /resourceType eq '([^']*)'/i.exec(filter)?.[1]?.toLowerCase();
  const name = /\bname eq '([^']*)'/i.exec(filter)?.[1]?.toLowerCase();
  const expand = (call.query.get('$expand') ?? '').toLowerCase().split(',');
  const chosen = clusters.filter(
    (cluster) =>
      (type === undefined || type === CLUSTER_TYPE.toLowerCase()) &&
      (name === undefined || name === cluster.name.toLowerCase()) &&
      (tag === null || matches(cluster.tags ?? {}, tag)),
  );
  return page(
    call,
    chosen,
    (cluster) => `${cluster.group}/${cluster.name}`.toLowerCase(),
    (cluster) => resourceView(call, cluster, expand),
  );
}

function resourceView(call: Call, cluster: ClusterRecord, expand: readonly string[]): unknown {
  const extra: Record<string, unknown> = {};
  if (expand.includes('createdtime')) extra['createdTime'] = iso(cluster.createdAt);
  if (expand.includes('changedtime')) extra['changedTime'] = iso(cluster.modifiedAt);
  if (expand.includes('provisioningstate')) extra['provisioningState'] = cluster.provisioningState;
  return {
    id: clusterId(call.service.subscriptionId, cluster),
    name: cluster.name,
    type: CLUSTER_TYPE,
    location: displayLocation(cluster.location),
    tags: cluster.tags ?? {},
    sku: {
      name: cluster.sku,
      ...(cluster.capacity === null ? {} : { capacity: cluster.capacity }),
    },
    ...extra,
  };
}

function tagNames(call: Call): Answer {
  const counts = new Map<string, Map<string, number>>();
  const all = [
    ...call.service.groups().map((group) => group.tags),
    ...call.service.clusters().map((cluster) => cluster.tags ?? {}),
  ];
  for (const [name, value] of all.flatMap((tags) => Object.entries(tags))) {
    const values = counts.get(name) ?? new Map<string, number>();
    values.set(value, (values.get(value) ?? 0) + 1);
    counts.set(name, values);
  }
  return page(
    call,
    [...counts],
    ([name]) => name,
    ([tagName, values]) => ({
      id: `/subscriptions/${call.service.subscriptionId}/tagNames/${encodeURIComponent(tagName)}`,
      tagName,
      count: { type: 'Total', value: [...values.values()].reduce((sum, each) => sum + each, 0) },
      values: [...values].map(([tagValue, value]) => ({
        tagValue,
        count: { type: 'Total', value },
      })),
    }),
  );
}

interface TagFilter {
  readonly name: string;
  readonly value: string | null;
}

/** `tagName eq 'x' and tagValue eq 'y'`; az sends an empty filter, which filters nothing. */
function tagFilter(filter: string | undefined): TagFilter | null {
  const name = /tagName eq '([^']*)'/i.exec(filter ?? '')?.[1];
  if (name === undefined) return null;
  return { name, value: /tagValue eq '([^']*)'/i.exec(filter ?? '')?.[1] ?? null };
}

function matches(tags: Readonly<Record<string, string>>, wanted: TagFilter): boolean {
  return Object.entries(tags).some(
    ([name, value]) =>
      name.toLowerCase() === wanted.name.toLowerCase() &&
      (wanted.value === null || wanted.value === value),
  );
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
