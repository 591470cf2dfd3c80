/** `Microsoft.Resources/tags/default` on a resource group and on a cluster. */

import { ControlError } from '../errors.ts';
import { clusterId, groupId } from '../resources/index.ts';
import type { Answer } from './answer.ts';
import { notImplemented, ok } from './answer.ts';
import { type Call, clusterOf, param } from './call.ts';
import type { Route } from './router.ts';

type Tags = Readonly<Record<string, string>>;

interface Tagged {
  readonly id: string;
  readonly tags: Tags;
  write(tags: Record<string, string>): void;
}

const SUB = '/subscriptions/:sub';
const GROUP = `${SUB}/resourceGroups/:group`;
const TAGS = 'providers/Microsoft.Resources/tags/default';

export const TAG_ROUTES: readonly Route[] = [
  ...tagRoutes(`${GROUP}/${TAGS}`, taggedGroup),
  ...tagRoutes(
    `${GROUP}/providers/Microsoft.Cache/redisEnterprise/:cluster/${TAGS}`,
    taggedCluster,
  ),
  ...tagRoutes(`${SUB}/${TAGS}`, () =>
    notImplemented('Tags on the subscription are not built: tag resource groups or clusters.'),
  ),
];

function tagRoutes(path: string, find: (call: Call) => Tagged): Route[] {
  const change = (call: Call): Answer => {
    const tagged = find(call);
    const tags = call.bodies.changedTags(call, tagged.tags);
    tagged.write(tags);
    return ok(document(tagged.id, tags));
  };
  return [
    {
      method: 'GET',
      path,
      kind: 'core',
      handle: (call) => {
        const { id, tags } = find(call);
        return ok(document(id, tags));
      },
    },
    { method: 'PUT', path, kind: 'core', handle: change },
    { method: 'PATCH', path, kind: 'core', handle: change },
    {
      method: 'DELETE',
      path,
      kind: 'core',
      handle: (call) => {
        find(call).write({});
        return { status: 200 };
      },
    },
  ];
}

function document(scope: string, tags: Tags): unknown {
  return {
    id: `${scope}/${TAGS}`,
    name: 'default',
    type: 'Microsoft.Resources/tags',
    properties: { tags },
  };
}

function taggedGroup(call: Call): Tagged {
  const name = param(call, 'group');
  const group = call.service.group(name);
  if (group === null) {
    throw new ControlError(
      'ResourceGroupNotFound',
      404,
      `Resource group '${name}' could not be found.`,
    );
  }
  return {
    id: groupId(call.service.subscriptionId, group.name),
    tags: group.tags,
    write: (tags) => void call.service.patchGroup(group.name, tags, call.actor),
  };
}

function taggedCluster(call: Call): Tagged {
  const cluster = clusterOf(call);
  return {
    id: clusterId(call.service.subscriptionId, cluster),
    tags: cluster.tags ?? {},
    write: (tags) =>
      void call.service.patchCluster(cluster.group, cluster.name, { tags }, call.actor),
  };
}
