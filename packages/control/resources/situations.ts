/** Reads from the store what a decision needs to know. */
import { ControlError } from '../errors.ts';
import type { InstanceStatus, ShardStatus } from '../service.ts';
import type {
  ClusterRecord,
  DatabaseRecord,
  OperationRecord,
  Sizing,
  StateReason,
  Store,
} from '../store/index.ts';
import type { ScalingStart } from './catalogue.ts';
import type { ResourceDeps } from './contract.ts';
import type { ClusterSituation } from './decide-cluster.ts';
import type { DatabaseSituation } from './decide-database.ts';
import { slotsKept } from './upgrade.ts';

const FIRST_WITH_MOVES = 9;

/** A database on which an action (keys, flush) is asked for. */
export interface ActionSituation {
  readonly subscriptionId: string;
  readonly cluster: ClusterRecord;
  readonly database: DatabaseRecord;
  readonly open: readonly OperationRecord[];
}

export class Situations {
  readonly #store: Store;
  readonly #deps: ResourceDeps;

  constructor(store: Store, deps: ResourceDeps) {
    this.#store = store;
    this.#deps = deps;
  }

  /** Unfinished operations of a cluster and its database. */
  open(clusterId: string): OperationRecord[] {
    return this.#store.openOperations().filter((each) => each.clusterId === clusterId);
  }

  cluster(group: string, name: string): ClusterSituation {
    const current = this.#store.cluster(group, name);
    const database = current === null ? null : (this.#store.databases(current.id)[0] ?? null);
    const neighbours = this.#store.clusters().filter((each) => each.id !== current?.id);
    return {
      subscriptionId: this.#deps.subscriptionId,
      catalogue: this.#deps.catalogue,
      group: this.#store.group(group),
      current,
      database,
      open: current === null ? [] : this.open(current.id),
      neighbours,
      others: neighbours.map((each) => this.promised(each)),
      ...this.#used(database),
    };
  }

  database(clusterId: string): DatabaseSituation {
    const cluster = this.#store.clusterById(clusterId);
    if (cluster === null) throw gone(clusterId);
    return {
      subscriptionId: this.#deps.subscriptionId,
      catalogue: this.#deps.catalogue,
      cluster,
      current: this.#store.databases(clusterId)[0] ?? null,
      open: this.open(clusterId),
      others: this.#store
        .clusters()
        .filter((each) => each.id !== clusterId)
        .map((each) => this.promised(each)),
      ports: {
        claims: this.#store.ports(),
        listening: this.#deps.ports.listening(),
        firstPort: this.#deps.firstPort,
        describe: this.#deps.ports.describe,
        ownerName: (owner) => this.#ownerName(owner),
      },
    };
  }

  action(databaseId: string): ActionSituation {
    const database = this.#store.databaseById(databaseId);
    const cluster = database === null ? null : this.#store.clusterById(database.clusterId);
    if (database === null || cluster === null) throw gone(databaseId);
    const { subscriptionId } = this.#deps;
    return { subscriptionId, cluster, database, open: this.open(cluster.id) };
  }

  promisedToAll(): Sizing[] {
    return this.#store.clusters().map((each) => this.promised(each));
  }

  scaling(clusterId: string): { readonly start: ScalingStart; readonly runs: boolean } {
    const found = this.#store.clusterById(clusterId);
    if (found === null) throw gone(clusterId);
    const situation = this.cluster(found.group, found.name);
    const { current, database, others, usedBytes, usedInAllBytes, idleBytes, slotsStay } =
      situation;
    const cluster = current ?? found;
    return {
      runs: database !== null && database.observedGeneration > 0,
      start: {
        current: this.promised(cluster),
        capacity: cluster.capacity,
        policy: database?.settings.policy ?? 'OSSCluster',
        others,
        usedBytes,
        usedInAllBytes,
        idleBytes,
        slotsStay,
      },
    };
  }

  /** What a cluster may use of this machine: its database's figures, or the least that it would get. */
  promised(cluster: ClusterRecord): Sizing {
    const database = this.#store.databases(cluster.id)[0];
    if (database !== undefined) return database.sizing;
    const { sku, capacity, highAvailability } = cluster;
    return this.#deps.catalogue.least({ sku, capacity, highAvailability }).figures;
  }

  /** What the running shards hold, and whether their engines can hand slots to each other. */
  #used(
    database: DatabaseRecord | null,
  ): Pick<ClusterSituation, 'usedBytes' | 'usedInAllBytes' | 'idleBytes' | 'slotsStay'> {
    const shards = database === null ? [] : this.#deps.shards(database.id);
    const most = (of: (each: InstanceStatus) => number | null, shard: ShardStatus) =>
      Math.max(0, ...shard.instances.map((each) => of(each) ?? 0));
    const used = shards.map((shard) => most((each) => each.usedMemoryBytes, shard));
    const idle = shards.map((shard) => most((each) => each.idleMemoryBytes, shard));
    const unknown = used.every((bytes) => bytes === 0);
    return {
      usedBytes: unknown ? null : Math.max(...used),
      usedInAllBytes: unknown
        ? null
        : used.reduce((sum, bytes, i) => sum + Math.max(0, bytes - (idle[i] ?? 0)), 0),
      idleBytes: Math.max(0, ...idle),
      slotsStay: (database === null ? null : slotsKept(database)) ?? enginesKeepSlots(shards),
    };
  }

  /** 'cache1' for the claims of its database; the raw owner for anything else. */
  #ownerName(owner: string): string {
    const database = this.#store.databaseById(owner.split('/')[0] ?? owner);
    const cluster = database === null ? null : this.#store.clusterById(database.clusterId);
    return cluster === null ? owner : `cluster '${cluster.name}'`;
  }
}

function enginesKeepSlots(shards: readonly ShardStatus[]): StateReason | null {
  const all = shards.flatMap((shard) => shard.instances);
  if (all.every(({ instance }) => movesSlots(instance.engine))) return null;
  return {
    code: 'EngineCannotMoveSlots',
    message:
      'Its engines cannot hand slots to each other (that needs Valkey 9): upgrade the engine first, or choose a SKU with as many shards.',
  };
}

/** CLUSTER MIGRATESLOTS came with Valkey 9; `engine` as recorded, e.g. 'valkey 9.1.2'. */
function movesSlots(engine: string): boolean {
  const [name, version] = engine.split(' ');
  return name === 'valkey' && Number.parseInt(version ?? '', 10) >= FIRST_WITH_MOVES;
}

function gone(id: string): ControlError {
  return new ControlError('ResourceNotFound', 404, `The resource ${id} does not exist any more.`);
}
