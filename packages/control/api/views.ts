/** Records as ARM documents, without the fields that the caller's version does not know. Pure. */
import {
  CLUSTER_TYPE,
  clusterId,
  DATABASE_TYPE,
  databaseId,
  GROUP_TYPE,
  groupId,
} from '../resources/index.ts';
import type { Problem } from '../service.ts';
import {
  type ClusterRecord,
  type DatabaseRecord,
  type GroupRecord,
  IDLE_TIMEOUT_MINUTES,
} from '../store/records.ts';
import { displayLocation } from './regions.ts';
import type { ApiVersion } from './versions.ts';
import { clusterWarnings, databaseWarnings } from './warnings.ts';

/** What the documents need beside the record. */
export interface ViewFacts {
  readonly subscriptionId: string;
  readonly version: ApiVersion;
  /** 'valkey 9.1.2' is shown as redisVersion '9.1'. */
  readonly engineVersion: string;
  readonly hostName: string;
}

export function groupView(group: GroupRecord, subscriptionId: string): Record<string, unknown> {
  return {
    id: groupId(subscriptionId, group.name),
    name: group.name,
    type: GROUP_TYPE,
    location: group.location,
    tags: group.tags,
    properties: { provisioningState: group.state },
  };
}

export function clusterView(cluster: ClusterRecord, facts: ViewFacts): Record<string, unknown> {
  const { version } = facts;
  const { echoed } = cluster;
  return withoutUndefined({
    id: clusterId(facts.subscriptionId, cluster),
    name: cluster.name,
    type: CLUSTER_TYPE,
    location: displayLocation(cluster.location),
    tags: cluster.tags ?? {},
    sku: withoutUndefined({ name: cluster.sku, capacity: cluster.capacity ?? undefined }),
    kind: version.knows('kind') ? kindOf(cluster.sku) : undefined,
    zones: cluster.zones ?? undefined,
    identity: version.knows('identity') ? (echoed['identity'] ?? { type: 'None' }) : undefined,
    systemData: version.knows('systemData') ? systemData(cluster) : undefined,
    properties: withoutUndefined({
      provisioningState: cluster.provisioningState,
      resourceState: cluster.resourceState,
      hostName: facts.hostName,
      redisVersion: facts.engineVersion,
      minimumTlsVersion: echoed['minimumTlsVersion'] ?? '1.2',
      encryption: version.knows('encryption') ? (echoed['encryption'] ?? {}) : undefined,
      highAvailability: version.knows('highAvailability')
        ? onOff(cluster.highAvailability)
        : undefined,
      redundancyMode: version.knows('redundancyMode') ? redundancyOf(cluster) : undefined,
      publicNetworkAccess: version.knows('publicNetworkAccess')
        ? cluster.publicNetworkAccess
        : undefined,
      maintenanceConfiguration: version.knows('maintenanceConfiguration')
        ? echoed['maintenanceConfiguration']
        : undefined,
      privateEndpointConnections: [],
      cinnabar: { reason: cluster.reason, warnings: clusterWarnings(cluster) },
    }),
  });
}

export function databaseView(
  cluster: ClusterRecord,
  database: DatabaseRecord,
  facts: ViewFacts,
  problems: readonly Problem[],
): Record<string, unknown> {
  const { version } = facts;
  const { settings, sizing } = database;
  return withoutUndefined({
    id: databaseId(facts.subscriptionId, cluster),
    name: database.name,
    type: DATABASE_TYPE,
    systemData: version.knows('systemData') ? systemData({ ...cluster, ...database }) : undefined,
    properties: withoutUndefined({
      provisioningState: database.provisioningState,
      resourceState: database.resourceState,
      clientProtocol: settings.clientProtocol,
      port: database.port,
      clusteringPolicy: settings.policy,
      evictionPolicy: settings.evictionPolicy,
      persistence: { aofEnabled: false, rdbEnabled: false },
      modules: [],
      redisVersion: version.knows('databaseRedisVersion') ? facts.engineVersion : undefined,
      deferUpgrade: version.knows('deferUpgrade') ? settings.deferUpgrade : undefined,
      accessKeysAuthentication: version.knows('accessKeysAuthentication')
        ? settings.accessKeys
        : undefined,
      notifyKeyspaceEvents: version.knows('notifyKeyspaceEvents')
        ? settings.notifyKeyspaceEvents
        : undefined,
      cinnabar: {
        azureStrict: settings.azureStrict,
        guard: settings.guard,
        readFrom: settings.readFrom ?? 'primary',
        shardAccess:
          settings.policy === 'OSSCluster' ? (settings.shardAccess ?? 'direct') : undefined,
        config: database.config,
        replicas: sizing.replicas,
        idleTimeoutMinutes: settings.idleTimeoutMinutes ?? IDLE_TIMEOUT_MINUTES,
        sizing,
        miniature: sizing.scaled,
        upgrade: database.upgrade ?? undefined,
        reason: database.reason,
        generation: database.generation,
        observedGeneration: database.observedGeneration,
        warnings: databaseWarnings(database, problems),
      },
    }),
  });
}

/** v1: the retired Enterprise names. v2: Managed Redis. */
function kindOf(sku: string): 'v1' | 'v2' {
  return sku.startsWith('Enterprise') ? 'v1' : 'v2';
}

function redundancyOf(cluster: ClusterRecord): 'None' | 'LR' | 'ZR' {
  if (!cluster.highAvailability) return 'None';
  return (cluster.zones ?? []).length > 1 ? 'ZR' : 'LR';
}

function onOff(on: boolean): 'Enabled' | 'Disabled' {
  return on ? 'Enabled' : 'Disabled';
}

function systemData(record: {
  readonly createdAt: number;
  readonly createdBy: string;
  readonly modifiedAt: number;
  readonly modifiedBy: string;
}): Record<string, string> {
  return {
    createdBy: record.createdBy,
    createdByType: 'Application',
    createdAt: new Date(record.createdAt).toISOString(),
    lastModifiedBy: record.modifiedBy,
    lastModifiedByType: 'Application',
    lastModifiedAt: new Date(record.modifiedAt).toISOString(),
  };
}

function withoutUndefined(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
