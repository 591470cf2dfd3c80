/** What a write to a database means. Pure, as decide-cluster. */
import { databaseNameProblem, requireName } from '../catalog/names.ts';
import { ControlError } from '../errors.ts';
import type { DatabaseInput } from '../service.ts';
import type {
  ClusterRecord,
  DatabaseRecord,
  DatabaseSettings,
  OperationRecord,
  PortClaim,
  Sizing,
} from '../store/records.ts';
import { shardsDirect } from '../store/records.ts';
import type { Catalogue } from './catalogue.ts';
import { decidePort, type PortSituation } from './decide-port.ts';
import { DATABASE_NAME, databaseId } from './ids.ts';
import { refuseWhenBusy, type Stamp, startOperation } from './operations.ts';
import { checkGuard, checkNotify } from './rules.ts';

export interface DatabaseSituation {
  readonly subscriptionId: string;
  readonly catalogue: Catalogue;
  readonly cluster: ClusterRecord;
  readonly current: DatabaseRecord | null;
  /** Unfinished operations of the cluster and its database. */
  readonly open: readonly OperationRecord[];
  readonly ports: PortSituation;
  /** What the others may use of this machine. */
  readonly others: readonly Sizing[];
}

export interface DatabaseDecision {
  readonly database: DatabaseRecord;
  readonly operation: OperationRecord;
  /** Only for a new database. */
  readonly claim: PortClaim | null;
  readonly created: boolean;
}

export function decideDatabase(
  situation: DatabaseSituation,
  name: string,
  input: DatabaseInput,
  stamp: Stamp,
): DatabaseDecision {
  requireName(databaseNameProblem(name.toLowerCase()), 'databaseName');
  checkNotify(input.settings.notifyKeyspaceEvents);
  const { cluster, current, catalogue } = situation;
  const { sku, capacity, highAvailability } = cluster;
  const { policy } = input.settings;
  const sizing = {
    ...catalogue.sizing({ sku, capacity, highAvailability, policy }),
    replicas: replicasOf(highAvailability, input.settings),
  };
  checkGuard(input.settings);
  checkReadFrom(input.settings);
  checkShardAccess(input.settings, current?.settings.shardAccess);
  return current === null
    ? create(situation, input, sizing, stamp)
    : update(situation, current, input, sizing, stamp);
}

/** Only with OSSCluster have shards addresses of their own. */
function checkShardAccess(
  { policy, shardAccess }: DatabaseSettings,
  before: DatabaseSettings['shardAccess'],
): void {
  // One that was set before sleeps while another policy is chosen.
  if (policy === 'OSSCluster' || shardAccess !== 'relayed' || before === 'relayed') return;
  throw new ControlError(
    'InvalidParameter',
    400,
    `properties.cinnabar.shardAccess 'relayed' is for OSSCluster; with ${policy} every client comes through the endpoint anyway. Leave it out.`,
    'properties.cinnabar.shardAccess',
  );
}

/** Clients of direct shards talk to the copies themselves: nobody stands in between to choose one. */
function checkReadFrom(settings: DatabaseSettings): void {
  const { readFrom, azureStrict } = settings;
  if (readFrom !== 'replica') return;
  if (azureStrict) {
    throw new ControlError(
      'InvalidParameter',
      400,
      "properties.cinnabar.readFrom 'replica' needs READONLY, which azureStrict refuses: choose one of them.",
      'properties.cinnabar.readFrom',
    );
  }
  if (!shardsDirect(settings)) return;
  throw new ControlError(
    'InvalidParameter',
    400,
    "properties.cinnabar.readFrom 'replica' is for what the endpoint serves; with OSSCluster and direct shards a client chooses by READONLY on a replica's own port. Set shardAccess to relayed as well, or use another policy.",
    'properties.cinnabar.readFrom',
  );
}

function create(
  situation: DatabaseSituation,
  input: DatabaseInput,
  sizing: DatabaseRecord['sizing'],
  stamp: Stamp,
): DatabaseDecision {
  const { cluster } = situation;
  // az creates the database right behind the cluster (--no-wait): it waits for it, as Pending.
  const queued = cluster.provisioningState === 'Creating';
  if (!queued) {
    refuseWhenBusy(situation.open, `Cluster '${cluster.name}'`);
    refuseUnlessRunning(cluster);
  }
  const port = decidePort(input.port, situation.ports);
  const database: DatabaseRecord = {
    id: stamp.newId(),
    clusterId: cluster.id,
    name: DATABASE_NAME,
    settings: input.settings,
    config: {},
    port,
    sizing,
    scaling: null,
    maintenance: null,
    upgrade: null,
    provisioningState: 'Creating',
    resourceState: 'Creating',
    reason: queued
      ? { code: 'waiting-for-cluster', message: 'The cluster is still being created.' }
      : { code: 'creating', message: 'Creation was accepted.' },
    generation: 1,
    observedGeneration: 0,
    createdAt: stamp.now,
    modifiedAt: stamp.now,
  };
  return {
    database,
    operation: startOperation(stamp, {
      kind: 'CreateDatabase',
      resourceId: databaseId(situation.subscriptionId, cluster),
      clusterId: cluster.id,
      databaseId: database.id,
      location: cluster.location,
      generation: database.generation,
      status: queued ? 'Pending' : 'InProgress',
      // One that the user named is kept, whoever takes it.
      input: { portChosen: input.port === null },
    }),
    claim: { port, owner: database.id, purpose: 'endpoint' },
    created: true,
  };
}

function update(
  situation: DatabaseSituation,
  current: DatabaseRecord,
  input: DatabaseInput,
  sizing: DatabaseRecord['sizing'],
  stamp: Stamp,
): DatabaseDecision {
  const { cluster } = situation;
  refuseWhenBusy(situation.open, `Database '${current.name}' of cluster '${cluster.name}'`);
  refuseUnlessRunning(cluster);
  const neverRan = current.observedGeneration === 0;
  if (!neverRan) {
    refusePolicyChange(current, input);
  }
  if (input.port !== null && input.port !== current.port) {
    throw new ControlError(
      'InvalidParameter',
      400,
      `properties.port is settled at creation (${current.port}) and cannot become ${input.port}. Leave it out; for another port create a second cache.`,
      'properties.port',
    );
  }
  const database: DatabaseRecord = {
    ...current,
    settings: input.settings,
    sizing: neverRan ? sizing : resized(situation, current, sizing),
    provisioningState: neverRan ? 'Creating' : 'Updating',
    resourceState: neverRan ? 'Creating' : 'Updating',
    reason: { code: neverRan ? 'creating' : 'updating', message: 'A change was accepted.' },
    generation: current.generation + 1,
    modifiedAt: stamp.now,
  };
  return {
    database,
    operation: startOperation(stamp, {
      kind: neverRan ? 'CreateDatabase' : 'UpdateDatabase',
      resourceId: databaseId(situation.subscriptionId, cluster),
      clusterId: cluster.id,
      databaseId: database.id,
      location: cluster.location,
      generation: database.generation,
    }),
    claim: null,
    created: false,
  };
}

/** Its figures stay as they were made, but for what the database itself chooses. */
function resized(
  { catalogue, others }: DatabaseSituation,
  { sizing, settings }: DatabaseRecord,
  { bandwidthMbps, replicas }: Sizing,
): Sizing {
  const next = { ...sizing, bandwidthMbps, replicas };
  if (replicas > sizing.replicas) catalogue.requireRoom(next, settings.policy, others);
  return next;
}

/** Copies beside each primary. */
export function replicasOf(
  highAvailability: boolean,
  { replicas }: Pick<DatabaseSettings, 'replicas'>,
): number {
  return highAvailability ? (replicas ?? 1) : 0;
}

function refusePolicyChange(current: DatabaseRecord, input: DatabaseInput): void {
  const from = current.settings.policy;
  const to = input.settings.policy;
  if (from === to) return;
  // Both are clusters of the same engines: only the way in is another one.
  if (from !== 'NoCluster' && to !== 'NoCluster') return;
  if (from === 'NoCluster') {
    throw new ControlError(
      'NotImplemented',
      501,
      `Moving a database from NoCluster to ${to} is not built yet: a node of a cluster cannot follow a standalone engine. Create a second cluster with ${to} and copy the data.`,
      'properties.clusteringPolicy',
    );
  }
  throw new ControlError(
    'InvalidParameter',
    400,
    `clusteringPolicy is ${from} and cannot become ${to}: the shards of a cluster cannot become one server. OSSCluster and EnterpriseCluster can become each other.`,
    'properties.clusteringPolicy',
  );
}

function refuseUnlessRunning(cluster: ClusterRecord): void {
  if (cluster.provisioningState === 'Succeeded') return;
  if (cluster.provisioningState === 'Failed' && cluster.resourceState === 'UpdateFailed') return;
  throw new ControlError(
    'Conflict',
    409,
    `Cluster '${cluster.name}' is ${cluster.resourceState} (${cluster.reason.message}). Its database can be written once the cluster is Running: wait, or send the cluster's PUT again.`,
  );
}
