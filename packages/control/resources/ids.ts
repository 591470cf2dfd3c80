/** ARM ids in their canonical case. azurerm parses the fixed words case-sensitively. */
import type { ClusterRecord } from '../store/records.ts';

export const CLUSTER_TYPE = 'Microsoft.Cache/redisEnterprise';
export const DATABASE_TYPE = 'Microsoft.Cache/redisEnterprise/databases';
export const GROUP_TYPE = 'Microsoft.Resources/resourceGroups';
/** The one database that a cluster has. */
export const DATABASE_NAME = 'default';

export function groupId(subscription: string, group: string): string {
  return `/subscriptions/${subscription}/resourceGroups/${group}`;
}

export function clusterId(
  subscription: string,
  cluster: Pick<ClusterRecord, 'group' | 'name'>,
): string {
  return `${groupId(subscription, cluster.group)}/providers/${CLUSTER_TYPE}/${cluster.name}`;
}

export function databaseId(
  subscription: string,
  cluster: Pick<ClusterRecord, 'group' | 'name'>,
): string {
  return `${clusterId(subscription, cluster)}/databases/${DATABASE_NAME}`;
}

/** 'West US 3' and 'westus3' are one location. */
export function normalLocation(location: string): string {
  return location.toLowerCase().replace(/[\s_]/g, '');
}
