/**
 * A cache is made in two writes, cluster and database, so a `create` that is killed in between leaves
 * a cluster that nobody can connect to.
 */
import { type ApiClient, LOCATION } from '../api/client.ts';
import type { Cache, ClusterResource } from '../api/shapes.ts';

export const DEFAULT_SKU = 'Balanced_B1';

/** A cluster without a database has had few. */
const EVENTS_READ = 200;

interface Wanted {
  readonly sku?: string;
  readonly capacity?: string;
  readonly ha?: string;
  readonly location?: string;
}

/** No database, and otherwise as `create` would make it now. */
export function isUnfinished({ cluster, database }: Cache, flags: Wanted): boolean {
  const { sku, location, properties } = cluster;
  return (
    database === null &&
    sku.name.toLowerCase() === (flags.sku ?? DEFAULT_SKU).toLowerCase() &&
    (flags.capacity === undefined || String(sku.capacity) === flags.capacity) &&
    (properties.highAvailability ?? 'Enabled') === (flags.ha ?? 'Enabled') &&
    location.toLowerCase() === (flags.location ?? LOCATION).toLowerCase()
  );
}

/** Whether it had one, which was deleted: nobody completes that unasked. */
export async function wasDeleted(api: ApiClient, { cluster }: Cache): Promise<boolean> {
  const events = await api.events({ cluster: cluster.name, limit: EVENTS_READ });
  return events.some(({ reason }) => reason === 'database-deleted');
}

/** What to type so that a cluster without a database gets one. */
export function completion({ name, sku, location, properties }: ClusterResource): string {
  return [
    `cinnabar create ${name}`,
    ...(sku.name === DEFAULT_SKU ? [] : [`--sku ${sku.name}`]),
    ...(sku.capacity === undefined ? [] : [`--capacity ${sku.capacity}`]),
    ...(properties.highAvailability === 'Disabled' ? ['--ha off'] : []),
    ...(location.toLowerCase() === LOCATION ? [] : [`--location ${location}`]),
  ].join(' ');
}
