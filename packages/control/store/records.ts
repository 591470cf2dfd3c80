/**
 * What the control plane remembers. Explicit data: enums and reasons, never a handful of booleans
 * (design, decision 13). Times are milliseconds since 1970.
 */

import type { GuardRule, Policy } from '../../endpoint/control-protocol.ts';
import type { AclUser, ProcessRef, SlotRange } from '../../engine/contract.ts';
import type { Maintenance, Scaling, Upgrade } from './change-records.ts';

export type { Maintenance, Scaling, SlotMove, Upgrade, UpgradePhase } from './change-records.ts';

export type ProvisioningState =
  | 'Succeeded'
  | 'Failed'
  | 'Canceled'
  | 'Creating'
  | 'Updating'
  | 'Deleting';

export type ResourceState =
  | 'Running'
  | 'Creating'
  | 'CreateFailed'
  | 'Updating'
  | 'UpdateFailed'
  | 'Deleting'
  | 'DeleteFailed'
  | 'Enabling'
  | 'EnableFailed'
  | 'Disabling'
  | 'DisableFailed'
  | 'Disabled'
  | 'Scaling'
  | 'ScalingFailed'
  | 'Moving';

export interface GroupRecord {
  readonly name: string;
  readonly location: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly state: 'Succeeded' | 'Deleting';
  readonly createdAt: number;
}

export interface ClusterRecord {
  /** Ours, never reused; the ARM name may come back after a delete. */
  readonly id: string;
  readonly group: string;
  readonly name: string;
  readonly location: string;
  readonly tags: Readonly<Record<string, string>> | null;
  readonly sku: string;
  readonly capacity: number | null;
  readonly highAvailability: boolean;
  /** Null: made with an api-version that did not know the field. */
  readonly publicNetworkAccess: 'Enabled' | 'Disabled' | null;
  readonly zones: readonly string[] | null;
  /** Fields that are kept and echoed but mean nothing here yet: identity, encryption, ... */
  readonly echoed: Readonly<Record<string, unknown>>;
  readonly provisioningState: ProvisioningState;
  readonly resourceState: ResourceState;
  /** Named reason and a sentence, for the user. */
  readonly reason: StateReason;
  readonly createdAt: number;
  readonly createdBy: string;
  readonly modifiedAt: number;
  readonly modifiedBy: string;
}

export interface StateReason {
  readonly code: string;
  readonly message: string;
}

export type EvictionPolicy =
  | 'AllKeysLFU'
  | 'AllKeysLRU'
  | 'AllKeysRandom'
  | 'VolatileLRU'
  | 'VolatileLFU'
  | 'VolatileTTL'
  | 'VolatileRandom'
  | 'NoEviction';

/** Azure's: clients that say nothing for so long are disconnected. */
export const IDLE_TIMEOUT_MINUTES = 10;

/** Writable settings of a database, as desired. */
export interface DatabaseSettings {
  readonly clientProtocol: 'Encrypted' | 'Plaintext';
  readonly policy: Policy;
  readonly evictionPolicy: EvictionPolicy;
  readonly accessKeys: 'Enabled' | 'Disabled';
  readonly deferUpgrade: 'Deferred' | 'NotDeferred';
  readonly notifyKeyspaceEvents: string;
  /** Extension: refuse Azure's whole list of blocked commands. */
  readonly azureStrict: boolean;
  /** Extension: rules for expensive commands, at most one a command. */
  readonly guard: readonly GuardRule[];
  /** Extension, OSSCluster: how clients reach a shard, itself or through the endpoint. Absent: direct. */
  readonly shardAccess?: 'direct' | 'relayed';
  /** Extension: which copy serves the reads of clients that do not say so themselves. Absent: primary. */
  readonly readFrom?: 'primary' | 'replica';
  /** Extension: a client that says nothing for so long is disconnected; 0: never. Absent: as Azure. */
  readonly idleTimeoutMinutes?: number;
  /** Extension: copies of each shard beside its primary, where high availability is on. Absent: one. */
  readonly replicas?: number;
}

type Access = Pick<DatabaseSettings, 'policy' | 'shardAccess'>;

/** Clients log in at the engines themselves. */
export function shardsDirect({ policy, shardAccess }: Access): boolean {
  return policy === 'OSSCluster' && shardAccess !== 'relayed';
}

/** Clients see a cluster whose shards are ports of the endpoint. */
export function shardsRelayed({ policy, shardAccess }: Access): boolean {
  return policy === 'OSSCluster' && shardAccess === 'relayed';
}

export interface DatabaseRecord {
  readonly id: string;
  readonly clusterId: string;
  /** Always `default`. */
  readonly name: string;
  readonly settings: DatabaseSettings;
  /**
   * Settings of the engines that clients chose by CONFIG SET, by their present names. Not among them:
   * notify-keyspace-events, which is a property of the database.
   */
  readonly config: Readonly<Record<string, string>>;
  /** The public port; recorded and stable. */
  readonly port: number;
  readonly sizing: Sizing;
  /** Slots are being moved because the number of shards changed; null: they are where they belong. */
  readonly scaling: Scaling | null;
  /** Its processes are being made anew; null: they are not. */
  readonly maintenance: Maintenance | null;
  /** It goes from one version of the engine to another, or may go back; null: neither. */
  readonly upgrade: Upgrade | null;
  /** What is due is not done in windows that begin before this time; absent: it is. */
  readonly maintenanceSkippedUntil?: number;
  /** End of the last window in which it was maintained unasked: once in each. */
  readonly maintainedUntil?: number;
  readonly provisioningState: ProvisioningState;
  readonly resourceState: ResourceState;
  readonly reason: StateReason;
  /** Grows with every accepted change of what is desired. */
  readonly generation: number;
  /** The generation that the running processes show. */
  readonly observedGeneration: number;
  readonly createdAt: number;
  readonly modifiedAt: number;
}

/** What the SKU means on this machine: each figure is applied and read back by a test. */
export interface Sizing {
  readonly sku: string;
  readonly shards: number;
  /** Of each shard. */
  readonly replicas: number;
  /** `maxmemory` of one shard, bytes. */
  readonly maxMemoryBytes: number;
  /** Client connections of the whole database. */
  readonly maxConnections: number;
  readonly ioThreads: number;
  /** As in Valkey's client-output-buffer-limit for normal clients. */
  readonly outputBufferBytes: number;
  readonly bandwidthMbps: number;
  /** Set when a miniature setting changed the catalogue's figures; shown wherever they are. */
  readonly scaled: string | null;
}

/**
 * - new: engines are being made for the first time; it never held data.
 * - serving: `primary` serves. (Replicas may be missing: that shows on the instances.)
 * - switching: `successor` was committed to take over from `primary`, which lives: a planned change.
 * - promoting: `successor` was committed as the next primary and may already serve.
 * - down: nobody may serve; `reason` says why and what the user can do.
 * - leaving: its last slot has moved away and it is empty; its engines are being removed.
 */
export type ShardPhase = 'new' | 'serving' | 'switching' | 'promoting' | 'down' | 'leaving';

/**
 * - joining: made while others serve; it gets no slot before it holds every function.
 * - member: may own slots.
 */
export type Membership = 'joining' | 'member';

export interface ShardRecord {
  readonly databaseId: string;
  readonly index: number;
  readonly slots: readonly SlotRange[];
  readonly phase: ShardPhase;
  readonly membership: Membership;
  readonly reason: StateReason;
  /** Instance ids. */
  readonly primary: string | null;
  readonly successor: string | null;
  /** Counts committed decisions about who is primary; never goes back (engine rule 3). */
  readonly epoch: number;
  /** Last sample of the stream that the primary wrote (engine rule 3d). */
  readonly replicationId: string;
  readonly offset: number;
  /** Cluster mode: the engine's configuration epoch of the primary, as last sampled; else 0. */
  readonly configEpoch: number;
  /** The file of an orderly stop: valid once, for this instance (engine rule 11). */
  readonly saved: SavedFile | null;
  /**
   * Desired state: the user lets the best living copy serve, though it is not provably the last.
   * Counts for one promotion: the decision that uses it clears it.
   */
  readonly lossAccepted: LossAccepted | null;
  /** Desired state: a replica is to take over from a primary that lives. */
  readonly handover: Handover | null;
  /** It had to start empty, and nobody has taken note: said until a flush, or the user's word. */
  readonly dataLost: DataLost | null;
  /** In ticks of the process that decided. */
  readonly decidedAt: number;
  /** When its primary was last replaced because of a deadline, in ticks; absent: never. */
  readonly deadlineAt?: number;
  /** Keys that came with slots, and so lie in their order; absent: none. */
  readonly keysByBatches?: number;
}

export interface DataLost {
  readonly at: number;
  /** A sentence: what was missing. */
  readonly message: string;
}

/** Asks for a planned switch. Cleared when another instance is primary, or when it is given up. */
export interface Handover {
  /** The instance that is to be primary; null: the best replica. */
  readonly to: string | null;
  /** The operation that asked; it fails with the reason when the switch is given up. */
  readonly operation: string | null;
  readonly at: number;
  /** Tries that ended without a switch, and why the last one did. */
  readonly tries: number;
  readonly problem: StateReason | null;
  /** Not before this time. */
  readonly notBefore: number;
}

export interface LossAccepted {
  readonly at: number;
  readonly by: string;
}

export interface SavedFile {
  readonly instance: string;
  readonly epoch: number;
  readonly sha256: string;
  readonly bytes: number;
  readonly at: number;
}

/**
 * - planned: ids, ports and folders are recorded; nothing runs, or what runs is not known to be fit.
 * - running: its process was started by us with the role in `start`.
 * - dead: its process is known to be gone; its files are untouched.
 * - leaving: on its way out; killed, forgotten by its peers, then removed.
 */
export type InstancePhase = 'planned' | 'running' | 'dead' | 'leaving';

/** Why an instance may be started and as what (engine rule 1). */
export type StartKind = 'first-primary' | 'first-replica' | 'follow' | 'cold';

export interface InstanceRecord {
  /** 40 hexadecimal digits; the cluster node id. */
  readonly id: string;
  readonly databaseId: string;
  readonly shard: number;
  readonly node: string;
  readonly phase: InstancePhase;
  readonly start: StartKind;
  readonly host: string;
  /** TLS. */
  readonly port: number;
  readonly busPort: number;
  /** Without TLS, for clients of an OSSCluster in plaintext; 0: there is none. */
  readonly plainPort: number;
  readonly dataDir: string;
  readonly socket: string;
  readonly process: ProcessRef | null;
  /** Was a complete copy of its shard at least once since its last start. */
  readonly synced: boolean;
  /** Last own sample: a candidate may not be behind it. */
  readonly replicationId: string;
  readonly offset: number;
  readonly engine: string;
  /** Threads that its process was started with: they cannot change while it runs. Absent: not known. */
  readonly threads?: number;
  readonly startedAt: number;
  /** When its last process was known to be gone; 0: never had one, or it runs. For people only. */
  readonly endedAt: number;
}

export type OperationStatus = 'Pending' | 'InProgress' | 'Succeeded' | 'Failed' | 'Canceled';

export type OperationKind =
  | 'CreateCluster'
  | 'UpdateCluster'
  | 'DeleteCluster'
  | 'CreateDatabase'
  | 'UpdateDatabase'
  | 'DeleteDatabase'
  | 'RegenerateKey'
  | 'Flush'
  | 'Failover'
  | 'Maintain'
  | 'DeleteGroup';

export interface OperationStep {
  readonly name: string;
  /** `waiting`: for the steps before it; so it stays when its operation fails or is canceled before. */
  readonly state: 'waiting' | 'running' | 'done' | 'failed';
  /** When what it waited for was done; null while it waits. */
  readonly startedAt: number | null;
  readonly endedAt: number | null;
  readonly detail: string;
}

export interface OperationRecord {
  /** A GUID. */
  readonly id: string;
  readonly kind: OperationKind;
  /** ARM id of the resource it works on. */
  readonly resourceId: string;
  readonly clusterId: string | null;
  readonly databaseId: string | null;
  readonly location: string;
  readonly status: OperationStatus;
  /** The generation of the database at which it is done; null where that does not decide. */
  readonly generation: number | null;
  readonly steps: readonly OperationStep[];
  readonly error: StateReason | null;
  readonly startedAt: number;
  readonly endedAt: number | null;
  /** What the operation needs to be resumed, by kind. */
  readonly input: Readonly<Record<string, unknown>>;
}

export type EventSeverity = 'info' | 'warning' | 'error';

/** One record type that logs, the activity log and alerts read. */
export interface EventRecord {
  readonly id: number;
  readonly at: number;
  /** Named reason, kebab case: 'engine-died', 'shard-promoted', 'false-alarm', ... */
  readonly reason: string;
  readonly severity: EventSeverity;
  readonly message: string;
  readonly clusterId: string | null;
  readonly databaseId: string | null;
  readonly shard: number | null;
  readonly instance: string | null;
  readonly data: Readonly<Record<string, unknown>>;
}

export type NewEvent = Omit<EventRecord, 'id' | 'at'>;

/** One management call: who, what, result. Bodies are kept without secrets. */
export interface AuditRecord {
  readonly id: number;
  readonly at: number;
  readonly actor: string;
  readonly method: string;
  readonly path: string;
  readonly apiVersion: string;
  readonly status: number;
  readonly code: string | null;
  readonly requestId: string;
  readonly correlationId: string;
}

export interface AccessKeys {
  readonly primaryKey: string;
  readonly secondaryKey: string;
}

/** Passwords of the users that only our own processes know; one set a database. */
export interface InternalSecrets {
  readonly admin: string;
  readonly replication: string;
  readonly endpoint: string;
}

export interface PortClaim {
  readonly port: number;
  readonly owner: string;
  readonly purpose: 'endpoint' | 'shard' | 'bus' | 'api';
}

export type { AclUser };
