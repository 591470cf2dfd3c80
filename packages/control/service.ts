/**
 * What the HTTP API asks of the control plane. The API speaks ARM (paths, versions, shapes,
 * headers); this speaks records. One side never sees the other's words.
 *
 * Writers validate, then commit desired state, operation record and event in one transaction, then
 * wake the database's loop; they do not wait for the work. Every refusal is a ControlError.
 */
import type {
  AccessKeys,
  ClusterRecord,
  DatabaseRecord,
  DatabaseSettings,
  EventRecord,
  GroupRecord,
  InstanceRecord,
  OperationRecord,
  ShardRecord,
  Upgrade,
} from './store/records.ts';

export interface Actor {
  readonly name: string;
  readonly apiVersion: string;
  readonly correlationId: string;
}

export interface ClusterInput {
  readonly group: string;
  readonly name: string;
  readonly location: string;
  readonly tags: Readonly<Record<string, string>> | null;
  readonly sku: string;
  readonly capacity: number | null;
  readonly highAvailability: boolean;
  readonly publicNetworkAccess: 'Enabled' | 'Disabled' | null;
  readonly zones: readonly string[] | null;
  readonly echoed: Readonly<Record<string, unknown>>;
}

export interface DatabaseInput {
  readonly settings: DatabaseSettings;
  /** Null: the first free one from 10000 up. */
  readonly port: number | null;
}

export interface Written<T> {
  readonly record: T;
  readonly operation: OperationRecord;
  readonly created: boolean;
}

/** What an instance is seen to do now; not stored. */
export interface InstanceStatus {
  readonly instance: InstanceRecord;
  /** Where clients reach it, if they talk to it directly; 0: they are not to. */
  readonly clientPort: number;
  readonly role: 'primary' | 'replica' | 'unknown';
  /** Named: 'in-sync', 'syncing', 'starting', 'mute', 'busy', 'dead', ... */
  readonly condition: string;
  readonly lagBytes: number | null;
  readonly usedMemoryBytes: number | null;
  /** The part of it that is not data: the engine without keys, and its backlog for replicas. */
  readonly idleMemoryBytes: number | null;
  /** Of its process. */
  readonly residentBytes: number | null;
  readonly keys: number | null;
}

export interface ShardStatus {
  readonly shard: ShardRecord;
  readonly instances: readonly InstanceStatus[];
}

/** What speaks for making the processes of a database anew. */
export interface Due {
  readonly code: 'engine' | 'settings' | 'fragmentation';
  readonly message: string;
}

/** What becomes of what is due. */
export type MaintenancePlan =
  | 'under-way'
  | 'nothing-due'
  | 'no-window'
  | 'deferred'
  | 'skipped'
  | 'in-window';

export interface MaintenanceView {
  readonly cluster: string;
  readonly due: readonly Due[];
  /** How many a week. */
  readonly windows: number;
  /** The window that is open, or the next; ms since 1970. */
  readonly next: { readonly startsAt: number; readonly endsAt: number } | null;
  readonly plan: MaintenancePlan;
  readonly skippedUntil: number | null;
  /** Between two versions, or the way back to the one before is open; null: neither. */
  readonly upgrade: Upgrade | null;
}

/** Maintenance of running databases. */
export interface MaintenanceSource {
  calendar(): MaintenanceView[];
  view(databaseId: string): MaintenanceView;
  /** The next window passes without it. */
  skip(databaseId: string, actor: Actor): MaintenanceView;
  /** Now. */
  ask(databaseId: string, actor: Actor): OperationRecord;
  /** To the newer engine in use; the way back is kept for so many hours (null: a day). */
  upgrade(databaseId: string, wayBackHours: number | null, actor: Actor): OperationRecord;
  /** To the engine from before. */
  back(databaseId: string, actor: Actor): OperationRecord;
  /** Closes the way back. */
  finish(databaseId: string, actor: Actor): Promise<MaintenanceView>;
}

/** Something that is wrong now, said to whoever looks at the resource. */
export interface Problem {
  readonly code: string;
  readonly message: string;
}

export interface SystemStatus {
  readonly version: string;
  readonly build: string;
  readonly pid: number;
  readonly startedAt: number;
  readonly node: string;
  readonly engine: { readonly name: string; readonly version: string; readonly origin: string };
  readonly home: string;
  readonly api: { readonly http: string | null; readonly https: string | null };
  readonly caFile: string;
  readonly endpoint: {
    readonly pid: number | null;
    readonly workers: readonly {
      readonly pid: number;
      readonly epoch: number;
      /** 'serving', 'draining' (replaced, finishing), 'starting', ... */
      readonly state: string;
    }[];
  };
  readonly domain: string;
  readonly listen: readonly string[];
  readonly warnings: readonly string[];
  readonly capacity: {
    readonly totalBytes: number;
    readonly reservedBytes: number;
    readonly freeBytes: number;
  };
}

export interface ControlService {
  readonly subscriptionId: string;

  groups(): GroupRecord[];
  group(name: string): GroupRecord | null;
  putGroup(
    input: { name: string; location: string; tags: Record<string, string> },
    actor: Actor,
  ): { record: GroupRecord; created: boolean };
  patchGroup(name: string, tags: Record<string, string>, actor: Actor): GroupRecord;
  /** Deletes what is in it, then the group; null when there is no such group. */
  deleteGroup(name: string, actor: Actor): OperationRecord | null;

  clusters(group?: string): ClusterRecord[];
  cluster(group: string, name: string): ClusterRecord | null;
  clusterById(id: string): ClusterRecord | null;
  putCluster(input: ClusterInput, actor: Actor): Written<ClusterRecord>;
  /** Only the fields that are present change. */
  patchCluster(
    group: string,
    name: string,
    change: Partial<Omit<ClusterInput, 'group' | 'name'>>,
    actor: Actor,
  ): Written<ClusterRecord>;
  deleteCluster(group: string, name: string, actor: Actor): OperationRecord | null;
  /** Why a name cannot be used, or null when it can. */
  nameProblem(name: string): { code: string; message: string } | null;

  databases(clusterId: string): DatabaseRecord[];
  database(clusterId: string, name: string): DatabaseRecord | null;
  putDatabase(
    clusterId: string,
    name: string,
    input: DatabaseInput,
    actor: Actor,
  ): Written<DatabaseRecord>;
  patchDatabase(
    clusterId: string,
    name: string,
    change: { settings: Partial<DatabaseSettings>; port?: number },
    actor: Actor,
  ): Written<DatabaseRecord>;
  deleteDatabase(clusterId: string, name: string, actor: Actor): OperationRecord | null;
  keys(databaseId: string): AccessKeys;
  /** Applied to every process before it resolves. Ends the sessions of the old value where they can be told apart. */
  regenerateKey(
    databaseId: string,
    which: 'Primary' | 'Secondary',
    options: { disconnect: boolean },
    actor: Actor,
  ): Promise<AccessKeys>;
  flush(databaseId: string, actor: Actor): OperationRecord;
  /**
   * The replica of a shard (null: of each, one after the other) takes over from its living primary.
   * With `acceptDataLoss`: older copies serve where no provably last one is left.
   */
  failover(
    databaseId: string,
    input: { acceptDataLoss: boolean; shard: number | null },
    actor: Actor,
  ): OperationRecord;
  shards(databaseId: string): ShardStatus[];
  problems(databaseId: string): Problem[];

  operation(id: string): OperationRecord | null;
  /** Goes back to what was before; the operation ends as Canceled when it is there. */
  cancelOperation(id: string, actor: Actor): OperationRecord;
  operations(filter: { clusterId?: string; limit: number; before?: string }): OperationRecord[];
  events(filter: { clusterId?: string; since?: number; limit: number }): EventRecord[];
  audit(entry: {
    actor: string;
    method: string;
    path: string;
    apiVersion: string;
    status: number;
    code: string | null;
    requestId: string;
    correlationId: string;
  }): void;

  status(): SystemStatus;
  /** The name clients connect to, without a port. */
  hostName(cluster: ClusterRecord): string;
}
