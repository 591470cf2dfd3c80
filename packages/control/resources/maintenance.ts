/**
 * Maintenance: what is due, when it will be done, and the request for it. With no window set nothing
 * happens unasked; with windows, what is due is done when one opens, unless the user deferred or
 * skipped it. Doing it is the plan's (plan/maintenance.ts).
 */
import { ControlError } from '../errors.ts';
import type {
  Actor,
  Due,
  MaintenancePlan,
  MaintenanceSource,
  MaintenanceView,
} from '../service.ts';
import type { DatabaseRecord, OperationRecord, Store } from '../store/index.ts';
import type { ResourceDeps } from './contract.ts';
import { dueOf } from './due.ts';
import { databaseId as armId } from './ids.ts';
import { CALENDAR_INTERVAL_MS } from './limits.ts';
import { isOpen, refuseWhenBusy, type Stamp, startOperation } from './operations.ts';
import { Situations } from './situations.ts';
import { nextWindow, type Window, windowCount } from './windows.ts';

const UNASKED: Actor = { name: 'maintenance window', apiVersion: '', correlationId: '' };

export class MaintenanceDesk implements MaintenanceSource {
  readonly #store: Store;
  readonly #deps: ResourceDeps;
  readonly #situations: Situations;
  #timer: NodeJS.Timeout | null = null;

  constructor(store: Store, deps: ResourceDeps) {
    this.#store = store;
    this.#deps = deps;
    this.#situations = new Situations(store, deps);
  }

  start(): void {
    this.#timer = setInterval(() => this.look(), CALENDAR_INTERVAL_MS);
    this.#timer.unref();
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
  }

  calendar(): MaintenanceView[] {
    return this.#store.databases().map((database) => this.view(database.id));
  }

  view(databaseId: string): MaintenanceView {
    const { cluster, database } = this.#situations.action(databaseId);
    const config = cluster.echoed['maintenanceConfiguration'];
    const now = this.#deps.now();
    // Each window is used once: what is still due after it would be so again, all night long.
    const next = nextWindow(config, Math.max(now, database.maintainedUntil ?? 0));
    const due = dueOf(database, this.#deps.shards(databaseId), this.#deps.engine());
    const skippedUntil = database.maintenanceSkippedUntil ?? 0;
    return {
      cluster: cluster.name,
      due,
      windows: windowCount(config),
      next,
      plan: planOf(database, due, next, skippedUntil),
      skippedUntil: skippedUntil > now ? skippedUntil : null,
    };
  }

  /** The next window passes without it. Throws when nothing would be done in one. */
  skip(databaseId: string, actor: Actor): MaintenanceView {
    const { cluster, database } = this.#situations.action(databaseId);
    const { next, plan } = this.view(databaseId);
    if (next === null || (plan !== 'in-window' && plan !== 'skipped')) {
      throw new ControlError(
        'NothingToSkip',
        409,
        `Nothing is to be done to '${cluster.name}' in a window (${plan}).`,
      );
    }
    this.#store.write(() => {
      this.#store.putDatabase({ ...database, maintenanceSkippedUntil: next.endsAt });
      this.#event(
        database,
        'maintenance-skipped',
        `${actor.name} skipped maintenance until ${new Date(next.endsAt).toISOString()}.`,
      );
    });
    return this.view(databaseId);
  }

  /** `need`: only if this is due. Asked for again while it runs: the one that runs. */
  ask(databaseId: string, need: Due['code'] | null, actor: Actor): OperationRecord {
    return this.#begin(databaseId, need, actor, {});
  }

  #begin(
    databaseId: string,
    need: Due['code'] | null,
    actor: Actor,
    change: Pick<DatabaseRecord, 'maintainedUntil'>,
  ): OperationRecord {
    const situation = this.#situations.action(databaseId);
    const { cluster, database, subscriptionId, open } = situation;
    const running = open.find((each) => each.kind === 'Maintain' && isOpen(each));
    if (running !== undefined) return running;
    refuseWhenBusy(open, `Cluster '${cluster.name}'`);
    const { due } = this.view(databaseId);
    if (need !== null && !due.some(({ code }) => code === need)) {
      throw new ControlError(
        'EngineUpToDate',
        409,
        `'${cluster.name}' runs ${this.#deps.engine()} already, the engine in use. "cinnabar engine install --refresh" fetches the newest; it is used from the next start of Cinnabar on.`,
      );
    }
    this.#refuseUnfit(cluster.name, database);
    const instances = this.#store.instances(databaseId);
    const stamp: Stamp = { now: this.#deps.now(), newId: this.#deps.newId, actor };
    const operation = startOperation(stamp, {
      kind: 'Maintain',
      resourceId: armId(subscriptionId, cluster),
      clusterId: cluster.id,
      databaseId,
      location: cluster.location,
      generation: null,
      input: { processes: instances.length, due: due.map(({ code }) => code) },
    });
    const pending = instances.map((each) => each.id);
    this.#store.write(() => {
      const maintenance = { operation: operation.id, pending };
      this.#store.putDatabase({ ...database, ...change, maintenance });
      this.#store.putOperation(operation);
      this.#event(
        database,
        'maintenance-began',
        `${actor.name} has every process of '${cluster.name}' made anew${due.length > 0 ? ` (${due.map(({ code }) => code).join(', ')})` : ''}.`,
      );
    });
    this.#deps.wake(databaseId);
    return operation;
  }

  /** Windows that are open: what is due in them begins. */
  look(): void {
    const now = this.#deps.now();
    for (const { id } of this.#store.databases()) {
      const { plan, next } = this.view(id);
      if (plan !== 'in-window' || next === null || next.startsAt > now) continue;
      try {
        this.#begin(id, null, UNASKED, { maintainedUntil: next.endsAt });
      } catch (error) {
        // Busy, or a shard is down: the window is still open at the next look.
        this.#deps.log('info', 'maintenance waits', { database: id, error: String(error) });
      }
    }
  }

  #refuseUnfit(name: string, { id, sizing, settings, observedGeneration }: DatabaseRecord): void {
    const shards = this.#store.shards(id);
    const down = shards.find(({ phase }) => phase !== 'serving');
    if (observedGeneration === 0 || down !== undefined) {
      throw new ControlError(
        'ShardNotServing',
        409,
        `'${name}' is not whole (${down === undefined ? 'it is being created' : `shard ${down.index} is ${down.phase}: ${down.reason.code}`}): nothing of it is touched. See: cinnabar show ${name}`,
      );
    }
    if (sizing.replicas > 0) return;
    // For as long as a shard's turn lasts there is one copy more.
    const { catalogue } = this.#deps;
    const others = this.#store.databases().map((each) => each.sizing);
    catalogue.requireRoom({ ...sizing, shards: 1 }, settings.policy, others);
  }

  #event(database: DatabaseRecord, reason: string, message: string): void {
    this.#store.addEvent({
      reason,
      severity: 'info',
      message,
      clusterId: database.clusterId,
      databaseId: database.id,
      shard: null,
      instance: null,
      data: {},
    });
  }
}

function planOf(
  { maintenance, settings }: DatabaseRecord,
  due: readonly Due[],
  next: Window | null,
  skippedUntil: number,
): MaintenancePlan {
  if (maintenance !== null) return 'under-way';
  if (due.length === 0) return 'nothing-due';
  // Whatever a process is made anew for, it comes back with the newer engine.
  const deferred = settings.deferUpgrade === 'Deferred';
  if (deferred && due.some(({ code }) => code === 'engine')) return 'deferred';
  if (next === null) return 'no-window';
  return skippedUntil > next.startsAt ? 'skipped' : 'in-window';
}
