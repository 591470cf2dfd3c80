import type { ClusterInput } from '../service.ts';
import type { ClusterRecord } from '../store/index.ts';

/** What a full write of the cluster as it is would say. */
export function inputOf(cluster: ClusterRecord): ClusterInput {
  const { group, name, location, tags, sku, capacity, highAvailability } = cluster;
  const { publicNetworkAccess, zones, echoed } = cluster;
  return {
    group,
    name,
    location,
    tags,
    sku,
    capacity,
    highAvailability,
    publicNetworkAccess,
    zones,
    echoed,
  };
}
