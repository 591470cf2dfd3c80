/**
 * Maintenance: what is due, when it will be done, and the request for it. With no window set nothing
 * happens unasked; with windows, what is due is done when one opens, unless the user deferred or
 * skipped it. Doing it is the plan's (plan/maintenance.ts).
 */
import { passing } from '../databases/failpoints.ts';
import { ControlError } from '../errors.ts';
import { wantedEngine } from '../plan/upgrade.ts';
import type {
  Actor,
  Due,
  MaintenancePlan,
  MaintenanceSource,
  MaintenanceView,
} from '../service.ts';
import type {
  DatabaseRecord,
  InstanceRecord,
  OperationRecord,
  StateReason,
  Store,
  Upgrade,
} from '../store/index.ts';
import type { ResourceDeps } from './contract.ts';
import { dueOf } from './due.ts';
import { databaseId as armId } from './ids.ts';
import { CALENDAR_INTERVAL_MS, HOUR_MS, MOST_WAY_BACK_HOURS, WAY_BACK_HOURS } from './limits.ts';
import { isOpen, refuseWhenBusy, type Stamp, startOperation } from './operations.ts';
import { SCRIPTS, ScriptFaults, type ScriptsRefused } from './script-faults.ts';
import { Situations } from './situations.ts';
import { requireOpen, returning, upgradeOf, whyNoUpgrade } from './upgrade.ts';
import { isSkipped, nextWindow, recordedUntil, type Window, windowCount } from './windows.ts';

type Wish =
  /** New processes of what it is to run. */
  | { readonly kind: 'anew' }
  /** A new process for this one, which executes no script any more. */
  | { readonly kind: typeof SCRIPTS; readonly instance: InstanceRecord }
  | { readonly kind: 'up'; readonly keepMs: number }
  | { readonly kind: 'back' };

const UNASKED: Actor = { name: 'its maintenance window', apiVersion: '', correlationId: '' };
const ITSELF: Actor = { name: 'Cinnabar itself', apiVersion: '', correlationId: '' };

export class MaintenanceDesk implements MaintenanceSource {
  readonly #store: Store;
  readonly #deps: ResourceDeps;
  readonly #situations: Situations;
  readonly #scriptFaults: ScriptFaults;
  #timer: NodeJS.Timeout | null = null;

  constructor(store: Store, deps: ResourceDeps) {
    this.#store = store;
    this.#deps = deps;
    this.#situations = new Situations(store, deps);
    this.#scriptFaults = new ScriptFaults({
      store,
      now: deps.now,
      replace: (instance) =>
        this.#unasked(instance.databaseId, () =>
          this.#begin(instance.databaseId, ITSELF, { kind: SCRIPTS, instance }),
        ),
      wouldUpgrade: (id) => this.view(id).due.some(({ code }) => code === 'engine'),
    });
  }

  start(): void {
    this.#timer = setInterval(() => this.look(), CALENDAR_INTERVAL_MS);
    this.#timer.unref();
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
  }

  calendar(): MaintenanceView[] {
    const all = this.#store.databases().map((database) => this.view(database.id));
    return all.sort((a, b) => (a.cluster < b.cluster ? -1 : 1));
  }

  view(databaseId: string): MaintenanceView {
    const { cluster, database } = this.#situations.action(databaseId);
    const config = cluster.echoed['maintenanceConfiguration'];
    const now = this.#deps.now();
    // Each window is used once: what is still due after it would be so again, all night long.
    const next = nextWindow(config, Math.max(now, recordedUntil(database.maintainedUntil, now)));
    const wanted = wantedEngine(database.upgrade, this.#deps.engine());
    const due = dueOf(database, this.#deps.shards(databaseId), wanted);
    const skippedUntil = recordedUntil(database.maintenanceSkippedUntil, now);
    return {
      cluster: cluster.name,
      due,
      windows: windowCount(config),
      next,
      plan: planOf(database, due, next, next !== null && isSkipped(next, skippedUntil, now)),
      skippedUntil: skippedUntil > now ? skippedUntil : null,
      upgrade: database.upgrade,
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
        `The next maintenance was skipped by ${actor.name}; none is done before ${minute(next.endsAt)}.`,
      );
    });
    return this.view(databaseId);
  }

  /** Asked for again while it runs: the one that runs. */
  ask(databaseId: string, actor: Actor): OperationRecord {
    return this.#begin(databaseId, actor, { kind: 'anew' });
  }

  /** To the engine in use; then the way back is kept for so long. */
  upgrade(databaseId: string, wayBackHours: number | null, actor: Actor): OperationRecord {
    const hours = wayBackHours ?? WAY_BACK_HOURS;
    if (!(hours >= 0 && hours <= MOST_WAY_BACK_HOURS)) {
      throw new ControlError(
        'InvalidWayBack',
        400,
        `The way back is kept for 0 to ${MOST_WAY_BACK_HOURS} hours; ${hours} are not possible.`,
        'wayBackHours',
      );
    }
    return this.#begin(databaseId, actor, { kind: 'up', keepMs: Math.round(hours * HOUR_MS) });
  }

  /** To the engine from before the upgrade. */
  back(databaseId: string, actor: Actor): OperationRecord {
    return this.#begin(databaseId, actor, { kind: 'back' });
  }

  /**
   * The way back is closed; resolves when what only the newer engine knows may be used on all engines
   * that answer.
   */
  async finish(databaseId: string, actor: Actor): Promise<MaintenanceView> {
    const { cluster, database, open } = this.#situations.action(databaseId);
    refuseWhenBusy(open, `Cluster '${cluster.name}'`);
    const upgrade = requireOpen(cluster.name, database);
    await passing('close-way-back', () =>
      this.#close(databaseId, upgrade, `asked for by ${actor.name}`),
    );
    try {
      await this.#deps.applyUsers(databaseId, { disconnect: false });
    } catch (error) {
      // It is closed: whoever does not answer now gets its rules when it does.
      this.#deps.log('info', 'not every engine heard of it at once', { error: String(error) });
    }
    return this.view(databaseId);
  }

  /** The engines get their rules by the generation, also if this process ends here. */
  #close(databaseId: string, { from, to }: Upgrade, why: string): void {
    this.#store.write(() => {
      const database = this.#store.databaseById(databaseId);
      if (database?.upgrade?.phase !== 'open') return;
      const generation = database.generation + 1;
      this.#store.putDatabase({ ...database, upgrade: null, generation });
      const message = `The way back to ${from} was closed (${why}): what only ${to} knows may be used now.`;
      this.#event(database, 'way-back-closed', message);
    });
    this.#deps.wake(databaseId);
  }

  #begin(
    databaseId: string,
    actor: Actor,
    wish: Wish,
    change: Pick<DatabaseRecord, 'maintainedUntil'> = {},
  ): OperationRecord {
    const situation = this.#situations.action(databaseId);
    const { cluster, database, subscriptionId, open } = situation;
    const running = open.find((each) => each.kind === 'Maintain' && isOpen(each));
    if (running !== undefined && doesToo(running.input['kind'], wish)) return running;
    refuseWhenBusy(open, `Cluster '${cluster.name}'`);
    const { due } = this.view(databaseId);
    this.#refuseUnfit(cluster.name, database);
    const instances = this.#store.instances(databaseId);
    const upgrade = this.#versionFor(cluster.name, database, wish);
    const engine = wantedEngine(upgrade, this.#deps.engine());
    const anew = instances.filter((each) => {
      if (wish.kind === SCRIPTS) return each.id === wish.instance.id;
      return wish.kind === 'anew' || each.engine !== engine;
    });
    const stamp: Stamp = { now: this.#deps.now(), newId: this.#deps.newId, actor };
    const operation = startOperation(stamp, {
      kind: 'Maintain',
      resourceId: armId(subscriptionId, cluster),
      clusterId: cluster.id,
      databaseId,
      location: cluster.location,
      generation: null,
      input: {
        processes: anew.length,
        due: due.map(({ code }) => code),
        kind: wish.kind,
        ...(wish.kind === SCRIPTS ? { shard: wish.instance.shard } : {}),
        engine,
      },
    });
    const pending = anew.map((each) => each.id);
    this.#store.write(() => {
      const maintenance = { operation: operation.id, pending };
      this.#store.putDatabase({ ...database, ...change, maintenance, upgrade });
      this.#store.putOperation(operation);
      this.#event(
        database,
        'maintenance-began',
        begins(actor.name, cluster.name, wish, engine, due),
      );
    });
    this.#deps.wake(databaseId);
    return operation;
  }

  /** The endpoint found an engine that executes no script any more. */
  scriptsRefused(told: ScriptsRefused): void {
    this.#scriptFaults.heard(told);
  }

  /** Windows that are open: what is due in them begins. Ways back whose time is over are closed. */
  look(): void {
    for (const database of this.#store.databases()) {
      this.#unasked(database.id, () => this.#lookAt(database));
    }
  }

  /** Where it is busy, a shard is down, or the disk is full, it is tried again: at the next look, or when it is told again. */
  #unasked(database: string, work: () => void): StateReason | null {
    try {
      work();
      return null;
    } catch (error) {
      this.#deps.log('info', 'maintenance waits', { database, error: String(error) });
      const code = error instanceof ControlError ? error.code : 'failed';
      return { code, message: error instanceof Error ? error.message : String(error) };
    }
  }

  #lookAt({ id, upgrade, maintenance }: DatabaseRecord): void {
    const now = this.#deps.now();
    const over = upgrade?.phase === 'open' && (upgrade.until ?? 0) <= now;
    if (over && maintenance === null) this.#close(id, upgrade, 'its time is over');
    const { plan, next } = this.view(id);
    if (plan !== 'in-window' || next === null || next.startsAt > now) return;
    this.#begin(id, UNASKED, { kind: 'anew' }, { maintainedUntil: next.endsAt });
  }

  #versionFor(name: string, database: DatabaseRecord, wish: Wish): Upgrade | null {
    const inUse = this.#deps.engine();
    const shards = this.#deps.shards(database.id);
    const engines = shards.flatMap((each) => each.instances.map(({ instance }) => instance.engine));
    if (wish.kind === SCRIPTS) return database.upgrade;
    if (wish.kind === 'back') return returning(name, database, this.#deps.canStart);
    if (wish.kind === 'up') {
      const not = whyNoUpgrade(name, database, engines, inUse);
      if (not !== null) throw new ControlError(not.code, 409, not.message);
      return upgradeOf(database, engines, inUse, wish.keepMs, true);
    }
    return upgradeOf(database, engines, inUse, WAY_BACK_HOURS * HOUR_MS, false);
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

function begins(
  who: string,
  name: string,
  { kind }: Wish,
  engine: string,
  due: readonly Due[],
): string {
  const what =
    kind === 'up'
      ? `'${name}' is upgraded to ${engine}, one process at a time`
      : kind === 'back'
        ? `'${name}' goes back to ${engine}, one process at a time`
        : kind === SCRIPTS
          ? `A process of '${name}' that executes no script any more is replaced`
          : `The processes of '${name}' are replaced, one at a time`;
  const codes = kind === 'anew' ? due.map(({ code }) => code) : [];
  const why = codes.length > 0 ? ` Due: ${codes.join(', ')}.` : '';
  return `${what}. Asked for by ${who}.${why}`;
}

/** Whether what runs does what is asked for, too: one process is not all of them, nor back the way up. */
function doesToo(running: unknown, { kind }: Wish): boolean {
  if (running === SCRIPTS) return kind === SCRIPTS;
  return (running === 'back') === (kind === 'back');
}

/** In UTC: events are read on other machines, too. */
function minute(at: number): string {
  return `${new Date(at).toISOString().slice(0, 16)}Z`;
}

function planOf(
  { maintenance, settings }: DatabaseRecord,
  due: readonly Due[],
  next: Window | null,
  skipped: boolean,
): MaintenancePlan {
  if (maintenance !== null) return 'under-way';
  if (due.length === 0) return 'nothing-due';
  // Whatever a process is made anew for, it comes back with the newer engine.
  const deferred = settings.deferUpgrade === 'Deferred';
  if (deferred && due.some(({ code }) => code === 'engine')) return 'deferred';
  if (next === null) return 'no-window';
  return skipped ? 'skipped' : 'in-window';
}
