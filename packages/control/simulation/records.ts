/** Records as the resources would write them, for the simulator. */
import type {
  ClusterRecord,
  DatabaseRecord,
  DatabaseSettings,
  OperationKind,
  OperationRecord,
} from '../store/index.ts';

const REASON = { code: 'creating', message: '' };

export function newCluster(id: string, now: number): ClusterRecord {
  return {
    id,
    group: 'default',
    name: id,
    location: 'local',
    tags: null,
    sku: 'Balanced_B1',
    capacity: null,
    highAvailability: true,
    publicNetworkAccess: 'Enabled',
    zones: null,
    echoed: {},
    provisioningState: 'Succeeded',
    resourceState: 'Running',
    reason: REASON,
    createdAt: now,
    createdBy: 'simulator',
    modifiedAt: now,
    modifiedBy: 'simulator',
  };
}

export function newDatabase(
  id: string,
  clusterId: string,
  policy: DatabaseSettings['policy'],
  shards: number,
  replicas: 0 | 1,
  now: number,
): DatabaseRecord {
  return {
    id,
    clusterId,
    name: 'default',
    settings: {
      clientProtocol: 'Encrypted',
      policy,
      evictionPolicy: 'VolatileLRU',
      accessKeys: 'Enabled',
      deferUpgrade: 'NotDeferred',
      notifyKeyspaceEvents: '',
      azureStrict: false,
      guard: [],
    },
    port: 10_000,
    sizing: {
      sku: 'Balanced_B1',
      shards,
      replicas,
      maxMemoryBytes: 100_000_000,
      maxConnections: 1_000,
      ioThreads: 1,
      outputBufferBytes: 0,
      bandwidthMbps: 1_000,
      scaled: null,
    },
    scaling: null,
    maintenance: null,
    upgrade: null,
    config: {},
    provisioningState: 'Creating',
    resourceState: 'Creating',
    reason: REASON,
    generation: 1,
    observedGeneration: 0,
    createdAt: now,
    modifiedAt: now,
  };
}

export function newOperation(
  id: string,
  kind: OperationKind,
  database: DatabaseRecord,
  now: number,
): OperationRecord {
  return {
    id,
    kind,
    resourceId: database.id,
    clusterId: database.clusterId,
    databaseId: database.id,
    location: 'local',
    status: 'InProgress',
    generation: kind === 'CreateDatabase' || kind === 'UpdateDatabase' ? database.generation : null,
    steps: [],
    error: null,
    startedAt: now,
    endedAt: null,
    input: {},
  };
}
