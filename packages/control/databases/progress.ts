/**
 * What an operation's record shows while it runs, and its end.
 *
 * Steps are derived from the records and sightings, never kept by the code that does the work: so
 * they are right after a restart too, and a step that became undone shows it.
 */
import { CREATE_DEADLINE_MS } from '../plan/limits.ts';
import type { Plan, View } from '../plan/model.ts';
import { afterMaintenance } from '../plan/upgrade.ts';
import { wentBack } from '../resources/cancel.ts';
import type { OperationRecord, OperationStep, StateReason } from '../store/records.ts';
import { passing } from './failpoints.ts';
import { FAILING_FOR_MS, FLUSH_DEADLINE_MS, REFUSED_FOR_MS, WAITS_SHOWN } from './limits.ts';
import type { DatabaseLoop } from './loop.ts';
import { isPlanned, plannedSteps, wishNext } from './planned-failover.ts';
import type { Failure } from './problems.ts';
import { APPLY, type StepState, scalingSteps } from './scaling-progress.ts';
import { leaveTakenPort } from './steps/endpoint-port.ts';

/** Called after each plan: updates open operations, does what is theirs alone, ends the hopeless. */
export function followOperations(loop: DatabaseLoop, view: View, planned: Plan): void {
  const { store, clock } = loop.deps;
  for (const operation of store.openOperations(loop.id)) {
    if (operation.kind === 'Flush') {
      if (allServe(view))
        loop.once(`flush ${operation.id}`, () =>
          passing('flush', () => flush(loop, operation, view)),
        );
      continue;
    }
    if (operation.kind === 'RegenerateKey') continue; // ended by whoever applies the key
    const states = stepsFor(operation, view, loop.deps.listenProblem(loop.id));
    const steps = advance(operation.steps, states, clock.now(), operation.startedAt);
    if (steps !== operation.steps) {
      store.decide(() => store.putOperation({ ...operation, status: 'InProgress', steps }));
    }
    if (operation.kind === 'Failover') {
      if (states.every((state) => state.done)) {
        store.write(() => endOperations(loop, (o) => o.id === operation.id, null));
        loop.wake();
      } else if (isPlanned(operation)) wishNext(loop, operation, view);
      continue;
    }
    if (operation.kind === 'Maintain') {
      const error = view.database.maintenance === null ? null : loop.failure;
      if (error !== null && hopeless(loop, loop.ageOf(operation.id))) {
        store.write(() => failOperation(loop, operation.id, stuck(error)));
      }
      continue;
    }
    const creating = view.database.provisioningState === 'Creating';
    const age = loop.ageOf(operation.id);
    if (creating && operation.kind === 'CreateDatabase') leaveTakenPort(loop, operation);
    if (creating && operation.kind === 'CreateDatabase' && age > CREATE_DEADLINE_MS) {
      failCreate(
        loop,
        planned,
        view.shards.every((shard) => shard.primary === null),
      );
    }
    if (!creating && operation.kind === 'UpdateDatabase' && hopeless(loop, age)) failUpdate(loop);
  }
}

function stepsFor(
  operation: OperationRecord,
  view: View,
  listenProblem: string | null,
): StepState[] {
  if (operation.kind === 'DeleteDatabase') return removalSteps(view);
  if (isPlanned(operation)) return plannedSteps(operation, view);
  if (operation.kind === 'Maintain') return maintenanceSteps(operation, view);
  if (operation.kind === 'Failover') return failoverSteps(operation, view);
  if (operation.kind === 'CreateDatabase') return runningSteps(view, listenProblem);
  return scalingSteps(operation, view) ?? changeSteps(operation, view);
}

function failoverSteps(operation: OperationRecord, view: View): StepState[] {
  const asked = operation.input['shards'];
  const shards = view.shards.filter((s) => Array.isArray(asked) && asked.includes(s.index));
  return shards.map((shard) => ({
    name: `Let shard ${shard.index} serve`,
    done: shard.phase === 'serving',
    detail: shard.phase === 'serving' ? '' : shard.reason.code,
  }));
}

function maintenanceSteps(operation: OperationRecord, view: View): StepState[] {
  const all = Number(operation.input['processes'] ?? 0);
  const { maintenance } = view.database;
  // Without replicas the old process goes, and the one that took over was never due.
  const left = view.instances.filter(({ id }) => maintenance?.pending.includes(id)).length;
  const { kind, engine } = operation.input;
  const name =
    kind === 'up' || kind === 'back'
      ? `${kind === 'up' ? 'Upgrade to' : 'Go back to'} ${engine}, one process at a time`
      : kind === 'scripts'
        ? 'Replace the process that executes no script any more'
        : 'Replace every process, one at a time';
  return [{ name, done: maintenance === null, detail: `${Math.max(0, all - left)} of ${all}` }];
}

function stuck({ code, message }: Failure): StateReason {
  return {
    code,
    message: `Maintenance does not get on (${message}). What was made anew stays so; ask for it again when the cause is mended.`,
  };
}

/** Of what runs already only what the change undoes for a while; its own step ends with the operation. */
function changeSteps(operation: OperationRecord, view: View): StepState[] {
  const shown = new Set(operation.steps.map((step) => step.name));
  return [
    ...runningSteps(view, null).filter((s) => s.name !== OPEN && (!s.done || shown.has(s.name))),
    APPLY,
  ];
}

const OPEN = 'Open the endpoint';

function runningSteps(view: View, listenProblem: string | null): StepState[] {
  const wantedEngines = view.shards.length * (1 + view.database.sizing.replicas);
  const running = view.instances.filter((i) => i.phase === 'running').length;
  const serving = view.shards.filter((s) => s.phase === 'serving').length;
  const replicas = view.instances.filter(
    (i) => i.synced && view.shards.every((s) => s.primary !== i.id),
  ).length;
  const wantedReplicas = view.shards.length * view.database.sizing.replicas;
  const count = (n: number, of: number) => `${Math.min(n, of)} of ${of}`;
  const laidOut = view.shards.length > 0;
  const steps: StepState[] = [
    { name: 'Choose ports and folders', done: laidOut, detail: '' },
    {
      name: 'Start engines',
      done: laidOut && running >= wantedEngines,
      detail: count(running, wantedEngines),
    },
    {
      name: 'Elect primaries',
      done: laidOut && serving === view.shards.length,
      detail: count(serving, view.shards.length),
    },
  ];
  if (wantedReplicas > 0 || !laidOut) {
    steps.push({
      name: 'Synchronise replicas',
      done: laidOut && replicas >= wantedReplicas,
      detail: count(replicas, wantedReplicas),
    });
  }
  steps.push({
    name: OPEN,
    done: laidOut && serving === view.shards.length && view.published,
    detail: listenProblem ?? `port ${view.database.port}`,
  });
  return steps;
}

function removalSteps(view: View): StepState[] {
  const left = view.instances.length;
  return [
    { name: 'Close the endpoint', done: view.published, detail: `port ${view.database.port}` },
    {
      name: 'End engines and remove files',
      done: left === 0,
      detail: left === 0 ? '' : `${left} left`,
    },
  ];
}

/**
 * The steps as they should be recorded now; the same array when nothing changed. Each begins when those before it are
 * done, the first with the operation, so that their times add up to its own.
 */
export function advance(
  before: readonly OperationStep[],
  states: readonly StepState[],
  now: number,
  began: number,
): readonly OperationStep[] {
  /** When all before were done; null: they are not. */
  let ready: number | null = began;
  const steps = states.map(({ name, done, detail }): OperationStep => {
    const old = before.find((s) => s.name === name);
    // What is new among steps that were seen before became undone just now.
    const turn: number | null =
      old === undefined && before.length > 0 && ready !== null ? now : ready;
    const startedAt = old?.startedAt ?? turn ?? (done ? now : null);
    const endedAt = done ? (old?.endedAt ?? now) : null;
    ready = ready === null || endedAt === null ? null : Math.max(ready, endedAt);
    const state = done ? 'done' : startedAt === null ? 'waiting' : 'running';
    return { name, state, startedAt, endedAt, detail };
  });
  return JSON.stringify(steps) === JSON.stringify(before) ? before : steps;
}

/** Why an operation ends when its database is deleted under it. */
export const CANCELED: StateReason = { code: 'Canceled', message: 'The database was deleted.' };

/** In a transaction: ends the open operations of this database that match. */
export function endOperations(
  loop: DatabaseLoop,
  which: (operation: OperationRecord) => boolean,
  error: StateReason | null,
): void {
  const { store, clock } = loop.deps;
  const now = clock.now();
  for (const operation of store.openOperations(loop.id)) {
    if (!which(operation)) continue;
    // The way back that was asked for has been gone to its end.
    const back =
      error === null && operation.input['canceled'] === true ? wentBack(operation.input) : null;
    const status =
      error === null && back === null
        ? 'Succeeded'
        : (back ?? error)?.code === CANCELED.code
          ? 'Canceled'
          : 'Failed';
    store.putOperation({
      ...operation,
      status,
      error: back ?? error,
      endedAt: now,
      steps: operation.steps.map((step) => ended(step, error === null, now)),
    });
  }
}

function ended(step: OperationStep, well: boolean, now: number): OperationStep {
  if (step.endedAt !== null) return step;
  if (well) return { ...step, state: 'done', startedAt: step.startedAt ?? now, endedAt: now };
  // What never began did not fail.
  return step.state === 'waiting' ? step : { ...step, state: 'failed', endedAt: now };
}

/** In a transaction: one operation ends with this reason, if it has not ended yet. */
export function failOperation(loop: DatabaseLoop, id: string, error: StateReason): void {
  endOperations(loop, (operation) => operation.id === id, error);
  const database = loop.database();
  if (database.maintenance?.operation !== id) return;
  const engines = loop.instances().map((each) => each.engine);
  const upgrade = afterMaintenance(database.upgrade, engines, loop.deps.clock.now());
  loop.deps.store.putDatabase({ ...database, maintenance: null, upgrade });
}

/**
 * A create that got nowhere is rolled back. One that served already may hold a client's data: that
 * is kept, and the loop goes on; only the operation ends.
 */
function failCreate(loop: DatabaseLoop, planned: Plan, neverServed: boolean): void {
  const { store } = loop.deps;
  const reasons = [...new Set(planned.waits.map((w) => w.reason))].slice(0, WAITS_SHOWN);
  const why =
    loop.deps.listenProblem(loop.id) ??
    loop.failure?.message ??
    `waiting for: ${reasons.join(', ')}`;
  const what = neverServed
    ? 'What was started is removed; delete it or send the request again.'
    : 'It serves what is up and goes on trying.';
  const error: StateReason = {
    code: loop.failure?.code ?? 'CreateTimedOut',
    message: `The database was not complete within ${CREATE_DEADLINE_MS / 1000} s (${why}). ${what}`,
  };
  store.write(() => {
    store.putDatabase({
      ...loop.database(),
      provisioningState: 'Failed',
      resourceState: neverServed ? 'CreateFailed' : 'UpdateFailed',
      reason: error,
    });
    endOperations(loop, (o) => o.kind === 'CreateDatabase' || o.kind === 'UpdateDatabase', error);
    loop.event('create-failed', 'error', error.message);
  });
  loop.deps.publish(loop.id);
  loop.wake();
}

/**
 * A step was refused again and again since the operation began, `ageMs` ago: nothing says that the
 * next try is another one. What would lose data is refused once.
 */
function hopeless(loop: DatabaseLoop, ageMs: number): boolean {
  const { failure } = loop;
  if (failure === null) return false;
  if (AT_ONCE.has(failure.code)) return true;
  const patience = REFUSALS.has(failure.code) ? REFUSED_FOR_MS : FAILING_FOR_MS;
  return Math.min(ageMs, loop.deps.clock.ticks() - failure.since) > patience;
}

/** Nothing that time could change. */
const AT_ONCE: ReadonlySet<string> = new Set(['EngineDowngradeUnsafe', 'EngineMissing']);

/** What an engine answers that understood and does not want; everything else may pass. */
const REFUSALS: ReadonlySet<string> = new Set(['engine-refused', 'engine-permission']);

/** The operation ends and says why. The loop goes on trying: what has changed since may let it through. */
function failUpdate(loop: DatabaseLoop): void {
  const { store } = loop.deps;
  const error: StateReason = {
    code: loop.failure?.code ?? 'UpdateFailed',
    message: `The update is not complete: ${loop.failure?.message ?? 'a step fails'}. What could be changed is changed, and the rest is tried again; another update replaces it.`,
  };
  store.write(() => {
    store.putDatabase({
      ...loop.database(),
      provisioningState: 'Failed',
      resourceState: 'UpdateFailed',
      reason: error,
    });
    endOperations(loop, (o) => o.kind === 'UpdateDatabase', error);
    loop.event('update-failed', 'error', error.message);
  });
}

/** Asked before it is begun: work that ends at once without effect would wake the loop for ever. */
function allServe(view: View): boolean {
  return view.shards.every((shard) => shard.phase === 'serving' && shard.primary !== null);
}

/** FLUSHALL on every primary. Repeating it after a crash empties what came in between: it is said. */
async function flush(loop: DatabaseLoop, operation: OperationRecord, view: View): Promise<void> {
  const { store } = loop.deps;
  if (operation.status === 'Pending') {
    store.decide(() => store.putOperation({ ...operation, status: 'InProgress' }));
  }
  await Promise.all(
    // Async: a connection that is missing must reject this one, not orphan those before it.
    view.shards.map(async (shard) => {
      await loop.watch(shard.primary ?? '').link.flush(FLUSH_DEADLINE_MS);
    }),
  );
  store.write(() => {
    for (const shard of loop.shards()) {
      if (shard.dataLost !== null) store.putShard({ ...shard, dataLost: null });
    }
    endOperations(loop, (o) => o.id === operation.id, null);
    loop.event('flushed', 'warning', 'All keys were deleted on request.');
  });
}
