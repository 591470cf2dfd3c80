/**
 * The small loop that ends the operations that have no processes: clusters, groups, databases that
 * wait for their cluster, and key changes that a crash interrupted.
 *
 * It is level-triggered: `settle` reads the open operations and does what can be done now, so it
 * does not matter whether a signal came twice, late, or not at all after a restart. Work that takes
 * time (certificates) runs beside it, once at a time for an operation; what it ends is committed
 * with the records it concerns in one transaction, so a client that sees `Succeeded` in the status
 * document sees it in the resource too.
 */
import { passing } from '../databases/failpoints.ts';
import { ControlError } from '../errors.ts';
import type { Actor } from '../service.ts';
import type {
  ClusterRecord,
  NewEvent,
  OperationRecord,
  ResourceState,
  StateReason,
  Store,
} from '../store/index.ts';
import type { ResourceDeps } from './contract.ts';
import { decideClusterDelete } from './decide-delete.ts';
import { SETTLE_INTERVAL_MS } from './limits.ts';
import { endOperation, isOpen } from './operations.ts';

const RUNNING: StateReason = { code: 'running', message: '' };

/** Why the loop deletes a cluster: its group is being deleted. */
const SYSTEM: Actor = { name: 'cinnabar', apiVersion: '', correlationId: '' };

export class ClusterSteps {
  readonly #store: Store;
  readonly #deps: ResourceDeps;
  /** Operations whose asynchronous part runs now. */
  readonly #busy = new Map<string, Promise<void>>();
  /** Operations whose certificates are made. */
  readonly #prepared = new Set<string>();
  #timer: NodeJS.Timeout | null = null;
  #scheduled = false;
  #stopped = false;

  constructor(store: Store, deps: ResourceDeps) {
    this.#store = store;
    this.#deps = deps;
    store.onEvent(() => this.signal());
  }

  /** Something changed: look soon, in a turn of its own (an answer shows the state before it). */
  signal(): void {
    if (this.#scheduled || this.#stopped) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (!this.#stopped) this.settle();
    });
  }

  /** Ends the loop; what runs is awaited. */
  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    await Promise.allSettled(this.#busy.values());
  }

  /** Runs `work` as the operation's asynchronous part unless it runs already. */
  run(operation: OperationRecord, work: () => Promise<void>): Promise<void> {
    const running = this.#busy.get(operation.id);
    if (running !== undefined) return running;
    const promise = work().finally(() => {
      this.#busy.delete(operation.id);
      this.signal();
    });
    this.#busy.set(operation.id, promise);
    return promise;
  }

  settle(): void {
    let waiting = false;
    for (const operation of this.#store.openOperations()) {
      waiting = this.#tryStep(operation) || waiting;
    }
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = waiting ? setTimeout(() => this.settle(), SETTLE_INTERVAL_MS).unref() : null;
  }

  /** A store that cannot be written (a full disk) is no reason to end: the next look tries again. */
  #tryStep(operation: OperationRecord): boolean {
    try {
      return this.#step(operation);
    } catch (error) {
      this.#unwritten(operation, error);
      return true;
    }
  }

  #unwritten(operation: OperationRecord, error: unknown): void {
    this.#deps.log('error', 'the end of an operation could not be stored yet', {
      operation: operation.id,
      kind: operation.kind,
      error: text(error),
    });
  }

  /** True: this operation is ours and not ended yet. */
  #step(operation: OperationRecord): boolean {
    switch (operation.kind) {
      case 'CreateCluster':
      case 'UpdateCluster':
        return this.#writeCluster(operation);
      case 'DeleteCluster':
        return this.#deleteCluster(operation);
      case 'DeleteGroup':
        return this.#deleteGroup(operation);
      case 'CreateDatabase':
        return operation.status === 'Pending' && this.#releaseQueued(operation);
      case 'RegenerateKey':
        return this.#resumeKey(operation);
      default:
        return false; // the database's own loop ends these
    }
  }

  #writeCluster(operation: OperationRecord): boolean {
    const cluster = this.#clusterOf(operation);
    if (cluster === null) return this.#orphan(operation);
    if (operation.kind === 'CreateCluster' && !this.#prepared.has(operation.id)) {
      this.#background(operation, cluster, 'CreateFailed', async () => {
        await passing('prepare-cluster', () => this.#deps.prepareCluster(cluster));
        this.#prepared.add(operation.id);
      });
      return true;
    }
    const child = this.#childOf(operation);
    if (child !== null && isOpen(child)) return true;
    this.#prepared.delete(operation.id);
    const failed = operation.kind === 'CreateCluster' ? 'CreateFailed' : 'UpdateFailed';
    // Canceled on request, and everything is as it was: the cluster runs.
    const wentBack = child?.status === 'Canceled' && child.input['canceled'] === true;
    if (child !== null && child.status !== 'Succeeded' && !wentBack) {
      this.#fail(operation, cluster, failed, child.error);
    } else {
      this.#store.write(() => {
        const now = this.#deps.now();
        this.#store.putCluster({
          ...cluster,
          provisioningState: 'Succeeded',
          resourceState: 'Running',
          reason: RUNNING,
        });
        const ended = wentBack ? 'Canceled' : 'Succeeded';
        this.#store.putOperation(endOperation(operation, ended, now, child?.error ?? null));
        const verb = operation.kind === 'CreateCluster' ? 'created' : 'updated';
        this.#store.addEvent(
          event(`cluster-${verb}`, `Cluster '${cluster.name}' was ${verb}.`, cluster),
        );
      });
    }
    return false;
  }

  #deleteCluster(operation: OperationRecord): boolean {
    const cluster = this.#clusterOf(operation);
    if (cluster === null) return this.#orphan(operation);
    if (this.#store.databases(cluster.id).length > 0) {
      const child = this.#childOf(operation);
      if (child !== null && isOpen(child)) return true;
      const error = child?.error ?? {
        code: 'DatabaseNotDeleted',
        message: 'Its database is still there. Delete the cluster again.',
      };
      this.#fail(operation, cluster, 'DeleteFailed', error);
      return false;
    }
    this.#background(operation, cluster, 'DeleteFailed', async () => {
      await passing('release-cluster', () => this.#deps.releaseCluster(cluster));
      this.#store.write(() => {
        this.#store.removeCluster(cluster.id);
        this.#store.putOperation(endOperation(operation, 'Succeeded', this.#deps.now()));
        this.#store.addEvent(
          event('cluster-deleted', `Cluster '${cluster.name}' was deleted.`, cluster),
        );
      });
    });
    return true;
  }

  #deleteGroup(operation: OperationRecord): boolean {
    const group = this.#store.group(String(operation.input['group']));
    if (group === null) return this.#orphan(operation);
    const clusters = this.#store.clusters(group.name);
    const failed = clusters.find((cluster) => this.#failedSince(cluster, operation.startedAt));
    if (failed !== undefined) {
      this.#store.write(() => {
        this.#store.putGroup({ ...group, state: 'Succeeded' });
        this.#store.putOperation(
          endOperation(operation, 'Failed', this.#deps.now(), {
            code: 'ResourceGroupDeletionBlocked',
            message: `Cluster '${failed.name}' could not be deleted: ${failed.reason.message}`,
          }),
        );
      });
      return false;
    }
    if (clusters.length === 0) {
      this.#store.write(() => {
        this.#store.removeGroup(group.name);
        this.#store.putOperation(endOperation(operation, 'Succeeded', this.#deps.now()));
        this.#store.addEvent(
          event('group-deleted', `Resource group '${group.name}' was deleted.`, null),
        );
      });
      return false;
    }
    const busy = new Set(this.#store.openOperations().map((each) => each.clusterId));
    for (const cluster of clusters) if (!busy.has(cluster.id)) this.#beginDelete(cluster);
    return true;
  }

  /** A delete that failed before this one was asked for is tried again. */
  #failedSince(cluster: ClusterRecord, since: number): boolean {
    if (cluster.resourceState !== 'DeleteFailed') return false;
    const [latest] = this.#store.operations({ clusterId: cluster.id, limit: 1 });
    return (
      latest?.kind === 'DeleteCluster' && latest.status === 'Failed' && latest.startedAt >= since
    );
  }

  /** Of a cluster that is not busy; the others are left for the next look. */
  #beginDelete(cluster: ClusterRecord): void {
    const decision = decideClusterDelete(
      {
        subscriptionId: this.#deps.subscriptionId,
        current: cluster,
        database: this.#store.databases(cluster.id)[0] ?? null,
        open: [],
      },
      { now: this.#deps.now(), newId: this.#deps.newId, actor: SYSTEM },
    );
    const { database, child } = decision;
    this.#store.write(() => {
      this.#store.putCluster(decision.cluster);
      if (database !== null) this.#store.putDatabase(database);
      if (child !== null) this.#store.putOperation(child);
      this.#store.putOperation(decision.operation);
    });
    if (database !== null) this.#deps.wake(database.id);
    this.signal();
  }

  /** A database that was asked for while its cluster was being created. */
  #releaseQueued(operation: OperationRecord): boolean {
    const cluster = this.#clusterOf(operation);
    const database = this.#store.databaseById(operation.databaseId ?? '');
    if (cluster === null || database === null) return this.#orphan(operation);
    if (cluster.provisioningState === 'Creating') return true;
    if (cluster.provisioningState === 'Succeeded') {
      this.#store.write(() => this.#store.putOperation({ ...operation, status: 'InProgress' }));
      this.#deps.wake(database.id);
      return false;
    }
    const error: StateReason = {
      code: 'ClusterNotCreated',
      message: `Its cluster could not be created: ${cluster.reason.message}`,
    };
    this.#store.write(() => {
      this.#store.putDatabase({
        ...database,
        provisioningState: 'Failed',
        resourceState: 'CreateFailed',
        reason: error,
      });
      this.#store.putOperation(endOperation(operation, 'Failed', this.#deps.now(), error));
    });
    return false;
  }

  /** The process died between storing a new key and applying it: apply what is stored. */
  #resumeKey(operation: OperationRecord): boolean {
    const databaseId = operation.databaseId;
    if (databaseId === null || this.#store.databaseById(databaseId) === null) {
      return this.#orphan(operation);
    }
    void this.run(operation, () => this.applyKey(operation, databaseId)).catch((error: unknown) =>
      this.#unwritten(operation, error),
    );
    return false;
  }

  /** Applies the stored users and ends the operation, with its error if there is one. */
  async applyKey(operation: OperationRecord, databaseId: string): Promise<void> {
    const end = (status: 'Succeeded' | 'Failed', error: StateReason | null) =>
      this.#store.write(() =>
        this.#store.putOperation(endOperation(operation, status, this.#deps.now(), error)),
      );
    try {
      const disconnect = operation.input['disconnect'] === true;
      await passing('apply-key', () => this.#deps.applyUsers(databaseId, { disconnect }));
      end('Succeeded', null);
    } catch (error) {
      const message = `The new key is stored, but not every process has it yet: ${text(error)} It is applied as soon as they answer again; listKeys shows it.`;
      end('Failed', { code: 'KeyNotApplied', message });
      throw new ControlError('KeyNotApplied', 409, message);
    }
  }

  #background(
    operation: OperationRecord,
    cluster: ClusterRecord,
    failed: ResourceState,
    work: () => Promise<void>,
  ): void {
    void this.run(operation, async () => {
      try {
        await work();
      } catch (error) {
        const code = error instanceof ControlError ? error.code : 'InternalServerError';
        this.#deps.log('error', 'a cluster operation failed', {
          operation: operation.id,
          kind: operation.kind,
          error: error instanceof Error ? (error.stack ?? error.message) : String(error),
        });
        this.#fail(operation, cluster, failed, { code, message: text(error) });
      }
    }).catch((error: unknown) => this.#unwritten(operation, error));
  }

  #fail(
    operation: OperationRecord,
    cluster: ClusterRecord,
    state: ResourceState,
    error: StateReason | null,
  ): void {
    const reason = error ?? { code: 'OperationFailed', message: 'It ended without a reason.' };
    this.#store.write(() => {
      this.#store.putCluster({
        ...cluster,
        provisioningState: 'Failed',
        resourceState: state,
        reason,
      });
      this.#store.putOperation(endOperation(operation, 'Failed', this.#deps.now(), reason));
      this.#store.addEvent({
        ...event('cluster-failed', `Cluster '${cluster.name}': ${reason.message}`, cluster),
        severity: 'error',
      });
    });
  }

  /** What it works on is gone: that is the end of it. */
  #orphan(operation: OperationRecord): boolean {
    this.#store.write(() =>
      this.#store.putOperation(
        endOperation(operation, 'Canceled', this.#deps.now(), {
          code: 'ResourceGone',
          message: 'What the operation works on does not exist any more.',
        }),
      ),
    );
    return false;
  }

  #clusterOf(operation: OperationRecord): ClusterRecord | null {
    return operation.clusterId === null ? null : this.#store.clusterById(operation.clusterId);
  }

  #childOf(operation: OperationRecord): OperationRecord | null {
    const child = operation.input['child'];
    return typeof child === 'string' ? this.#store.operation(child) : null;
  }
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function event(reason: string, message: string, cluster: ClusterRecord | null): NewEvent {
  return {
    reason,
    severity: 'info',
    message,
    clusterId: cluster?.id ?? null,
    databaseId: null,
    shard: null,
    instance: null,
    data: {},
  };
}
