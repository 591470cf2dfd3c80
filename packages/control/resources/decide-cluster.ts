/**
 * What a write to a cluster means. Pure: records and the catalogue come in, new records go out, and
 * every refusal is thrown before anything exists.
 *
 * A cluster has no processes of its own. What touches processes (another SKU, replicas on or off)
 * becomes a change of its database with an operation of its own; the cluster's operation names that
 * one as its child and ends as the child ends.
 */
import { ControlError } from '../errors.ts';
import { beginScaling } from '../plan/pace.ts';
import type { ClusterInput } from '../service.ts';
import type {
  ClusterRecord,
  DatabaseRecord,
  GroupRecord,
  OperationRecord,
  Scaling,
  Sizing,
  StateReason,
} from '../store/records.ts';
import type { Catalogue } from './catalogue.ts';
import { replicasOf } from './decide-database.ts';
import { clusterId, databaseId, normalLocation } from './ids.ts';
import { MAX_CLUSTERS } from './limits.ts';
import { refuseWhenBusy, type Stamp, startOperation } from './operations.ts';
import { checkLocation, checkTags, checkZones } from './rules.ts';
import { checkWindows } from './windows.ts';

export interface ClusterSituation {
  readonly subscriptionId: string;
  readonly catalogue: Catalogue;
  readonly group: GroupRecord | null;
  readonly current: ClusterRecord | null;
  readonly database: DatabaseRecord | null;
  /** Unfinished operations of the cluster and its database. */
  readonly open: readonly OperationRecord[];
  /** Every other cluster of the installation. */
  readonly neighbours: readonly ClusterRecord[];
  /** What the others may use of this machine. */
  readonly others: readonly Sizing[];
  /** Memory that the fullest shard uses; null: not known. */
  readonly usedBytes: number | null;
  /** Data of all its shards together, bytes; null: not known. */
  readonly usedInAllBytes: number | null;
  /** What one of its engines uses beside its data, bytes. */
  readonly idleBytes: number;
  /** Its engines can hand slots to each other. */
  readonly slotsStay: StateReason | null;
}

export interface ClusterDecision {
  readonly cluster: ClusterRecord;
  /** The database as it is wanted now; null: untouched. */
  readonly database: DatabaseRecord | null;
  readonly operation: OperationRecord;
  readonly child: OperationRecord | null;
  readonly created: boolean;
}

export type SkuChoice = Pick<ClusterRecord, 'sku' | 'capacity' | 'highAvailability'>;

export function usableGroup(group: GroupRecord | null, name: string): GroupRecord {
  if (group === null) {
    throw new ControlError(
      'ResourceGroupNotFound',
      404,
      `Resource group '${name}' could not be found.`,
    );
  }
  if (group.state === 'Deleting') {
    throw new ControlError(
      'ResourceGroupBeingDeleted',
      409,
      `The resource group '${group.name}' is being deleted: nothing can be created or changed in it.`,
    );
  }
  return group;
}

export function decideCluster(
  situation: ClusterSituation,
  input: ClusterInput,
  stamp: Stamp,
): ClusterDecision {
  const group = usableGroup(situation.group, input.group);
  const { current, catalogue } = situation;
  checkLocation(input.location);
  if (input.tags !== null) checkTags(input.tags, current?.tags ?? null);
  checkWindows(input.echoed['maintenanceConfiguration']);
  const { sku, capacity } = catalogue.offer(input.sku, input.capacity);
  const choice = { sku: sku.name, capacity, highAvailability: input.highAvailability };

  if (current === null) {
    checkZones(sku, input.zones);
    refuseTakenName(situation, input);
    const { figures, policy } = catalogue.least(choice);
    catalogue.requireRoom(figures, policy, situation.others);
    return create(situation, group, input, choice, stamp);
  }
  refuseWhenBusy(situation.open, `Cluster '${current.name}'`);
  refuseCreateOnlyChanges(current, input);
  return update(situation, current, input, choice, stamp);
}

function create(
  situation: ClusterSituation,
  group: GroupRecord,
  input: ClusterInput,
  choice: SkuChoice,
  stamp: Stamp,
): ClusterDecision {
  const cluster: ClusterRecord = {
    id: stamp.newId(),
    group: group.name,
    name: input.name,
    location: normalLocation(input.location),
    tags: input.tags,
    ...choice,
    publicNetworkAccess: input.publicNetworkAccess,
    zones: input.zones,
    echoed: input.echoed,
    provisioningState: 'Creating',
    resourceState: 'Creating',
    reason: { code: 'creating', message: 'Certificates are being made.' },
    createdAt: stamp.now,
    createdBy: stamp.actor.name,
    modifiedAt: stamp.now,
    modifiedBy: stamp.actor.name,
  };
  const operation = startOperation(stamp, {
    kind: 'CreateCluster',
    resourceId: clusterId(situation.subscriptionId, cluster),
    clusterId: cluster.id,
    databaseId: null,
    location: cluster.location,
    generation: null,
  });
  return { cluster, database: null, operation, child: null, created: true };
}

function update(
  situation: ClusterSituation,
  current: ClusterRecord,
  input: ClusterInput,
  choice: SkuChoice,
  stamp: Stamp,
): ClusterDecision {
  const again = current.resourceState === 'CreateFailed';
  const cluster: ClusterRecord = {
    ...current,
    tags: input.tags,
    ...choice,
    publicNetworkAccess: input.publicNetworkAccess,
    echoed: input.echoed,
    provisioningState: again ? 'Creating' : 'Updating',
    resourceState: again ? 'Creating' : 'Updating',
    reason: { code: again ? 'creating' : 'updating', message: 'A change was accepted.' },
    modifiedAt: stamp.now,
    modifiedBy: stamp.actor.name,
  };
  const database = changedDatabase(situation, current, choice, stamp);
  const common = { clusterId: cluster.id, location: cluster.location };
  const child =
    database === null
      ? null
      : startOperation(stamp, {
          ...common,
          kind: database.observedGeneration === 0 ? 'CreateDatabase' : 'UpdateDatabase',
          resourceId: databaseId(situation.subscriptionId, cluster),
          databaseId: database.id,
          generation: database.generation,
          input: scalingInput(current, database),
        });
  const operation = startOperation(stamp, {
    ...common,
    kind: again ? 'CreateCluster' : 'UpdateCluster',
    resourceId: clusterId(situation.subscriptionId, cluster),
    databaseId: null,
    generation: null,
    input: child === null ? {} : { child: child.id },
  });
  return { cluster, database, operation, child, created: false };
}

/** The database with the sizing of the new choice; null when its processes need no change. */
function changedDatabase(
  situation: ClusterSituation,
  current: ClusterRecord,
  choice: SkuChoice,
  stamp: Stamp,
): DatabaseRecord | null {
  const { database } = situation;
  const sizing = changedSizing(situation, current, choice);
  if (database === null) return null;
  const retry = current.provisioningState === 'Failed' && database.provisioningState === 'Failed';
  if (sizing === null && !retry) return null;
  const neverRan = database.observedGeneration === 0;
  return {
    ...database,
    sizing: sizing ?? database.sizing,
    scaling: scalingTo(database, sizing, stamp.now),
    generation: database.generation + 1,
    provisioningState: neverRan ? 'Creating' : 'Updating',
    resourceState: neverRan ? 'Creating' : 'Scaling',
    reason: { code: 'updating', message: `The cluster's SKU is now ${choice.sku}.` },
    modifiedAt: stamp.now,
  };
}

/** What the database's operation shows, and what canceling it needs. */
function scalingInput(before: ClusterRecord, database: DatabaseRecord): Record<string, unknown> {
  const { scaling, sizing } = database;
  if (scaling === null) return {};
  return {
    shards: { from: scaling.from.shards, to: sizing.shards },
    capacityBefore: before.capacity,
  };
}

/** Another number of shards of a database that has them already: slots have to travel. */
function scalingTo(database: DatabaseRecord, sizing: Sizing | null, now: number): Scaling | null {
  const from = database.sizing;
  if (sizing === null || sizing.shards === from.shards || database.observedGeneration === 0) {
    return database.scaling;
  }
  return beginScaling(from, now);
}

/**
 * The figures of another choice, or null when it is the one that runs: its figures stay as they
 * were made, also if the machine or the miniature setting is another one now.
 */
function changedSizing(
  situation: ClusterSituation,
  current: ClusterRecord,
  choice: SkuChoice,
): Sizing | null {
  if (sameChoice(choice, current)) return null;
  const { catalogue, database, others, usedBytes } = situation;
  if (database === null) {
    const { figures, policy } = catalogue.least(choice);
    catalogue.requireRoom(figures, policy, others);
    return figures;
  }
  const { policy } = database.settings;
  let sizing: Sizing;
  if (database.observedGeneration === 0) {
    sizing = catalogue.sizing({ ...choice, policy });
  } else {
    const { capacity } = current;
    const { usedInAllBytes, idleBytes, slotsStay } = situation;
    const used = { usedBytes, usedInAllBytes, idleBytes, slotsStay };
    const start = { current: database.sizing, capacity, policy, others, ...used };
    const scaled = catalogue.requireScaling(start, choice.sku, choice.capacity);
    sizing = { ...scaled, replicas: replicasOf(choice.highAvailability, database.settings) };
  }
  catalogue.requireRoom(sizing, policy, others);
  return sizing;
}

function refuseCreateOnlyChanges(current: ClusterRecord, input: ClusterInput): void {
  if (normalLocation(input.location) !== current.location) {
    throw new ControlError(
      'InvalidResourceLocation',
      409,
      `The resource '${current.name}' already exists in location '${current.location}' in resource group '${current.group}'. A resource with the same name cannot be created in location '${input.location}'. Please select a new resource name.`,
      'location',
    );
  }
  const zones = (list: readonly string[] | null) => [...(list ?? [])].sort().join(',');
  if (zones(input.zones) !== zones(current.zones)) {
    throw new ControlError(
      'InvalidParameter',
      400,
      `zones are settled at creation (${zones(current.zones) || 'none'}) and cannot change.`,
      'zones',
    );
  }
}

function refuseTakenName(situation: ClusterSituation, input: ClusterInput): void {
  if (situation.neighbours.length >= MAX_CLUSTERS) {
    throw new ControlError(
      'QuotaExceeded',
      409,
      `There are ${situation.neighbours.length} clusters already, the most that an installation holds.`,
    );
  }
  const taken = situation.neighbours.find(
    (other) =>
      other.name.toLowerCase() === input.name.toLowerCase() &&
      other.location === normalLocation(input.location),
  );
  if (taken === undefined) return;
  throw new ControlError(
    'NameNotAvailable',
    409,
    `The name '${input.name}' is taken in location '${taken.location}' by a cluster in resource group '${taken.group}': both would have the same host name.`,
    'name',
  );
}

function sameChoice(a: SkuChoice, b: SkuChoice): boolean {
  return a.sku === b.sku && a.capacity === b.capacity && a.highAvailability === b.highAvailability;
}
