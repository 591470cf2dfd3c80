/**
 * The resources: reads and writes of desired state. Each write is one turn of the event loop: read
 * the records, let a pure function decide, commit everything that it decided in one transaction,
 * then wake whoever does the work. Nothing here waits for that work, keys excepted.
 */
import { clusterNameProblem } from '../catalog/names.ts';
import { ControlError } from '../errors.ts';
import type {
  Actor,
  ClusterInput,
  ControlService,
  DatabaseInput,
  Problem,
  ShardStatus,
  SystemStatus,
  Written,
} from '../service.ts';
import type {
  AccessKeys,
  ClusterRecord,
  DatabaseRecord,
  DatabaseSettings,
  EventRecord,
  GroupRecord,
  OperationRecord,
  Store,
} from '../store/index.ts';
import { cancelOperation } from './cancel.ts';
import { inputOf } from './cluster-input.ts';
import { ClusterSteps } from './cluster-steps.ts';
import type { ResourceDeps } from './contract.ts';
import { decideCluster, usableGroup } from './decide-cluster.ts';
import { decideDatabase } from './decide-database.ts';
import { decideClusterDelete, decideDatabaseDelete, runningDelete } from './decide-delete.ts';
import { decideGroup, decideGroupDelete } from './decide-group.ts';
import { type FailoverInput, startFailover } from './failover.ts';
import { regenerateKey, startFlush, storedKeys, storeNewSecrets } from './keys.ts';
import type { Stamp } from './operations.ts';
import { startPlannedFailover } from './planned-failover.ts';
import { accepted } from './said.ts';
import { Situations } from './situations.ts';
import { type SkuQuestion, type SkuView, scalingSkus, skuViews } from './sku-views.ts';

export class Resources implements ControlService {
  readonly subscriptionId: string;
  readonly #store: Store;
  readonly #deps: ResourceDeps;
  readonly #steps: ClusterSteps;
  readonly #situations: Situations;

  constructor(store: Store, deps: ResourceDeps) {
    this.subscriptionId = deps.subscriptionId;
    this.#store = store;
    this.#deps = deps;
    this.#steps = new ClusterSteps(store, deps);
    this.#situations = new Situations(store, deps);
  }

  /** Goes on with what a previous process left unfinished. */
  start(): void {
    this.#steps.signal();
  }

  /** Ends the loop of cluster operations; what runs is awaited. */
  stop(): Promise<void> {
    return this.#steps.stop();
  }

  // --- groups ------------------------------------------------------------------------------

  groups(): GroupRecord[] {
    return this.#store.groups();
  }

  group(name: string): GroupRecord | null {
    return this.#store.group(name);
  }

  putGroup(
    input: { name: string; location: string; tags: Record<string, string> },
    actor: Actor,
  ): { record: GroupRecord; created: boolean } {
    const current = this.#store.group(input.name);
    const record = decideGroup(current, this.#store.groups().length, input, this.#deps.now());
    this.#store.write(() => {
      this.#store.putGroup(record);
      const verb = current === null ? 'created' : 'updated';
      this.#event(`group-${verb}`, `Resource group '${record.name}' was ${verb}.`, null, actor);
    });
    return { record, created: current === null };
  }

  patchGroup(name: string, tags: Record<string, string>, actor: Actor): GroupRecord {
    const current = usableGroup(this.#store.group(name), name);
    return this.putGroup({ name: current.name, location: current.location, tags }, actor).record;
  }

  deleteGroup(name: string, actor: Actor): OperationRecord | null {
    const current = this.#store.group(name);
    if (current === null) return null;
    const running = this.#store
      .openOperations()
      .find((each) => each.kind === 'DeleteGroup' && each.input['group'] === current.name);
    if (running !== undefined) return running;
    const { group, operation } = decideGroupDelete(
      this.subscriptionId,
      current,
      this.#stamp(actor),
    );
    this.#store.write(() => {
      this.#store.putGroup(group);
      this.#store.putOperation(operation);
      this.#event('group-deleting', `Resource group '${group.name}' is deleted.`, null, actor);
    });
    this.#steps.signal();
    return operation;
  }

  // --- clusters ----------------------------------------------------------------------------

  clusters(group?: string): ClusterRecord[] {
    return this.#store.clusters(group);
  }

  cluster(group: string, name: string): ClusterRecord | null {
    return this.#store.cluster(group, name);
  }

  clusterById(id: string): ClusterRecord | null {
    return this.#store.clusterById(id);
  }

  putCluster(input: ClusterInput, actor: Actor): Written<ClusterRecord> {
    const situation = this.#situations.cluster(input.group, input.name);
    const decision = decideCluster(situation, input, this.#stamp(actor));
    const { cluster, database, operation, child, created } = decision;
    this.#store.write(() => {
      this.#store.putCluster(cluster);
      if (database !== null) this.#store.putDatabase(database);
      if (child !== null) this.#store.putOperation(child);
      this.#store.putOperation(operation);
      const doing = created ? 'creating' : 'updating';
      const [reason, message] = accepted('cluster', cluster.name, doing);
      const data = { sku: cluster.sku, operation: operation.id };
      this.#event(reason, message, cluster.id, actor, data);
    });
    if (database !== null) this.#deps.wake(database.id);
    this.#steps.signal();
    return { record: cluster, operation, created };
  }

  patchCluster(
    group: string,
    name: string,
    change: Partial<Omit<ClusterInput, 'group' | 'name'>>,
    actor: Actor,
  ): Written<ClusterRecord> {
    const current = this.#store.cluster(group, name);
    if (current === null) throw notFound(`Microsoft.Cache/redisEnterprise/${name}`, group);
    return this.putCluster({ ...inputOf(current), ...change }, actor);
  }

  deleteCluster(group: string, name: string, actor: Actor): OperationRecord | null {
    const current = this.#store.cluster(group, name);
    if (current === null) return null;
    const open = this.#situations.open(current.id);
    const running = runningDelete(open, 'DeleteCluster');
    if (running !== null) return running;
    const database = this.#store.databases(current.id)[0] ?? null;
    const decision = decideClusterDelete(
      { subscriptionId: this.subscriptionId, current, database, open },
      this.#stamp(actor),
    );
    this.#store.write(() => {
      this.#store.putCluster(decision.cluster);
      if (decision.database !== null) this.#store.putDatabase(decision.database);
      if (decision.child !== null) this.#store.putOperation(decision.child);
      this.#store.putOperation(decision.operation);
      this.#event(...accepted('cluster', current.name, 'deleting'), current.id, actor);
    });
    if (database !== null) this.#deps.wake(database.id);
    this.#steps.signal();
    return decision.operation;
  }

  nameProblem(name: string): { code: string; message: string } | null {
    const problem = clusterNameProblem(name);
    if (problem !== null) return problem;
    const taken = this.#store
      .clusters()
      .find((cluster) => cluster.name.toLowerCase() === name.toLowerCase());
    if (taken === undefined) return null;
    return {
      code: 'AlreadyExists',
      message: `The name '${name}' is taken by a cluster in resource group '${taken.group}'.`,
    };
  }

  // --- databases ---------------------------------------------------------------------------

  databases(clusterId: string): DatabaseRecord[] {
    return this.#store.databases(clusterId);
  }

  database(clusterId: string, name: string): DatabaseRecord | null {
    const wanted = name.toLowerCase();
    return (
      this.#store.databases(clusterId).find((each) => each.name.toLowerCase() === wanted) ?? null
    );
  }

  putDatabase(
    clusterId: string,
    name: string,
    input: DatabaseInput,
    actor: Actor,
  ): Written<DatabaseRecord> {
    const situation = this.#situations.database(clusterId);
    const decision = decideDatabase(situation, name, input, this.#stamp(actor));
    const { database, operation, claim, created } = decision;
    this.#store.write(() => {
      this.#store.putDatabase(database);
      if (claim !== null) this.#store.claimPort(claim);
      if (created) storeNewSecrets(this.#store, database.id);
      this.#store.putOperation(operation);
      const doing = created ? 'creating' : 'updating';
      const [reason, message] = accepted('database', situation.cluster.name, doing);
      const data = { databaseId: database.id, port: database.port, operation: operation.id };
      this.#event(reason, message, clusterId, actor, data);
    });
    if (operation.status !== 'Pending') this.#deps.wake(database.id);
    this.#steps.signal();
    return { record: database, operation, created };
  }

  patchDatabase(
    clusterId: string,
    name: string,
    change: { settings: Partial<DatabaseSettings>; port?: number },
    actor: Actor,
  ): Written<DatabaseRecord> {
    const current = this.database(clusterId, name);
    if (current === null) throw notFound(`databases/${name}`);
    const settings = { ...current.settings, ...change.settings };
    const input = { settings, port: change.port ?? current.port };
    return this.putDatabase(clusterId, current.name, input, actor);
  }

  deleteDatabase(clusterId: string, name: string, actor: Actor): OperationRecord | null {
    const database = this.database(clusterId, name);
    const current = this.#store.clusterById(clusterId);
    if (database === null || current === null) return null;
    const open = this.#situations.open(clusterId);
    const running = runningDelete(open, 'DeleteDatabase');
    if (running !== null) return running;
    const decision = decideDatabaseDelete(
      { subscriptionId: this.subscriptionId, current, database, open },
      this.#stamp(actor),
    );
    this.#store.write(() => {
      this.#store.putDatabase(decision.database);
      this.#store.putOperation(decision.operation);
      this.#event(...accepted('database', current.name, 'deleting'), clusterId, actor);
    });
    this.#deps.wake(database.id);
    return decision.operation;
  }

  keys(databaseId: string): AccessKeys {
    return storedKeys(this.#store, databaseId);
  }

  async regenerateKey(
    databaseId: string,
    which: 'Primary' | 'Secondary',
    options: { disconnect: boolean },
    actor: Actor,
  ): Promise<AccessKeys> {
    const situation = this.#situations.action(databaseId);
    const operation = regenerateKey(this.#store, situation, which, options, this.#stamp(actor));
    await this.#steps.run(operation, () => this.#steps.applyKey(operation, databaseId));
    return storedKeys(this.#store, databaseId);
  }

  flush(databaseId: string, actor: Actor): OperationRecord {
    const situation = this.#situations.action(databaseId);
    const operation = startFlush(this.#store, situation, this.#stamp(actor));
    this.#deps.wake(databaseId);
    return operation;
  }

  failover(databaseId: string, input: FailoverInput, actor: Actor): OperationRecord {
    const situation = this.#situations.action(databaseId);
    const stamp = this.#stamp(actor);
    const operation = input.acceptDataLoss
      ? startFailover(this.#store, situation, input, stamp)
      : startPlannedFailover(
          this.#store,
          situation,
          this.#deps.shards(databaseId),
          input.shard,
          stamp,
        );
    this.#deps.wake(databaseId);
    return operation;
  }

  // --- the catalogue -----------------------------------------------------------------------

  skus(question: SkuQuestion): SkuView[] {
    return skuViews(this.#deps.catalogue, question, this.#situations.promisedToAll());
  }

  skusForScaling(clusterId: string): ReturnType<typeof scalingSkus> {
    return scalingSkus(this.#deps.catalogue, this.#situations.scaling(clusterId));
  }

  shards(databaseId: string): ShardStatus[] {
    return this.#deps.shards(databaseId);
  }

  problems(databaseId: string): Problem[] {
    return this.#deps.problems(databaseId);
  }

  // --- what happened -----------------------------------------------------------------------

  operation(id: string): OperationRecord | null {
    return this.#store.operation(id);
  }

  operations(filter: { clusterId?: string; limit: number; before?: string }): OperationRecord[] {
    return this.#store.operations(filter);
  }

  cancelOperation(id: string, actor: Actor): OperationRecord {
    const operation = cancelOperation(this.#store, id, this.#stamp(actor));
    const database =
      operation.databaseId ?? this.#store.databases(operation.clusterId ?? '')[0]?.id ?? null;
    if (database !== null) this.#deps.wake(database);
    this.#steps.signal();
    return operation;
  }

  events(filter: { clusterId?: string; since?: number; limit: number }): EventRecord[] {
    return this.#store.events(filter);
  }

  audit(entry: Parameters<ControlService['audit']>[0]): void {
    this.#store.decide(() => this.#store.addAudit(entry));
  }

  status(): SystemStatus {
    return this.#deps.status();
  }

  hostName(cluster: ClusterRecord): string {
    const { domain } = this.#deps;
    return domain === null ? 'localhost' : `${cluster.name}.${cluster.location}.${domain}`;
  }

  #stamp(actor: Actor): Stamp {
    return { now: this.#deps.now(), newId: this.#deps.newId, actor };
  }

  #event(
    reason: string,
    message: string,
    clusterId: string | null,
    actor: Actor,
    data: Record<string, unknown> = {},
  ): void {
    this.#store.addEvent({
      reason,
      severity: 'info',
      message,
      clusterId,
      databaseId: typeof data['databaseId'] === 'string' ? data['databaseId'] : null,
      shard: null,
      instance: null,
      data: { ...data, actor: actor.name, correlationId: actor.correlationId },
    });
  }
}

function notFound(resource: string, group?: string): ControlError {
  const where = group === undefined ? '' : ` under resource group '${group}'`;
  return new ControlError(
    'ResourceNotFound',
    404,
    `The Resource '${resource}'${where} was not found.`,
  );
}
