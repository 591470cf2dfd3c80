/** Records outlive their cluster: of which one they are, by its name, and which records one asks for by a name. */
import { ControlError } from '../errors.ts';
import { CLUSTER_TYPE } from '../resources/index.ts';
import { OPERATIONS_KEPT } from '../store/limits.ts';
import type { Call } from './call.ts';

const MARKER = `/providers/${CLUSTER_TYPE}/`.toLowerCase();

interface Named {
  /** Null: in any. Lower case, as the name. */
  readonly group: string | null;
  readonly name: string;
}

/** The name of the cluster that an ARM id is about, as it is written there; null: about none. */
export function clusterNameIn(armId: string): string | null {
  const at = armId.toLowerCase().indexOf(MARKER);
  return at < 0 ? null : (armId.slice(at + MARKER.length).split('/')[0] ?? null);
}

function named(asked: string): Named {
  const name = clusterNameIn(asked);
  if (name === null) return { group: null, name: asked.toLowerCase() };
  const [scope = ''] = asked.toLowerCase().split(MARKER);
  return { group: scope.split('/').at(-1) ?? null, name: name.toLowerCase() };
}

/** The names of the clusters with these ids; null of one that is gone when its operations are forgotten, too. */
export function namesOf(
  call: Call,
  ids: Iterable<string | null>,
): Map<string | null, string | null> {
  const names = new Map<string | null, string | null>(
    call.service.clusters().map(({ id, name }) => [id, name]),
  );
  for (const id of ids) if (id !== null && !names.has(id)) names.set(id, formerName(call, id));
  return names;
}

function formerName(call: Call, clusterId: string): string | null {
  const [latest] = call.service.operations({ clusterId, limit: 1 });
  return latest === undefined ? null : clusterNameIn(latest.resourceId);
}

/** `cluster`: its ARM id, or its name where only one cluster has it; of those that are gone the last one. */
export function clusterFilter(call: Call): { clusterId?: string } {
  const asked = call.query.get('cluster');
  if (asked === undefined || asked === '') return {};
  const wanted = named(asked);
  const found = call.service
    .clusters(wanted.group ?? undefined)
    .filter((cluster) => cluster.name.toLowerCase() === wanted.name || cluster.id === asked);
  const [only] = found;
  if (only !== undefined && found.length === 1) return { clusterId: only.id };
  if (found.length > 1) {
    throw notFound(`${found.length} clusters are named '${asked.slice(0, 60)}': give the ARM id.`);
  }
  // By its internal id, too.
  if (/^[0-9a-f-]{36}$/.test(wanted.name)) return { clusterId: wanted.name };
  const clusterId = formerId(call, wanted);
  if (clusterId !== null) return { clusterId };
  throw notFound(`There is no cluster '${asked.slice(0, 200)}'.`);
}

function formerId(call: Call, { group, name }: Named): string | null {
  const scope = group === null ? '/' : `/resourcegroups/${group}/`;
  const latest = call.service
    .operations({ limit: OPERATIONS_KEPT })
    .find(
      ({ resourceId, clusterId }) =>
        clusterId !== null &&
        clusterNameIn(resourceId)?.toLowerCase() === name &&
        resourceId.toLowerCase().includes(scope),
    );
  return latest?.clusterId ?? null;
}

function notFound(message: string): ControlError {
  return new ControlError('ResourceNotFound', 404, message, 'cluster');
}
