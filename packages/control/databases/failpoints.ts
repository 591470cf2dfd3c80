/**
 * Failpoints: a place before and one after each step of each operation, where a test or `cinnabar
 * fault` can crash, hang or fail the control process.
 *
 * How an operation joins: an action of the plan needs a line in `STEPS` (the compiler asks for it), and
 * has its two points by `perform`. A step that is no action of a plan gets a line in `OTHER_STEPS` and
 * is run by `passing(step, work)`. The line names the life in which the step is passed; the crash
 * matrix (`packages/bench/soak/lives.ts`) plays that life once for each point and effect, so a
 * new step is covered unasked. A new kind of life is added there: what is done, and what must hold
 * afterwards.
 *
 * One is armed at a time, and it acts once: by the environment when the process starts
 * (`CINNABAR_FAILPOINT` is `<step>:<before|after>=<crash|hang|fail>`), or by the management API, then for
 * a time that ends by itself.
 */
import type { Action } from '../plan/model.ts';

/** Each step, and which part of a cache's life passes it. */
export const STEPS: Readonly<Record<Action['kind'], StepLife>> = {
  'lay-out': 'create',
  'add-replica': 'rare',
  start: 'create',
  fence: 'failover',
  promote: 'create',
  crown: 'create',
  'hand-over': 'handover',
  'finish-handover': 'rare',
  'undo-handover': 'rare',
  'end-handover': 'rare',
  'wish-handover': 'maintain',
  renew: 'maintain',
  'end-maintenance': 'maintain',
  adopt: 'rare',
  'give-up': 'rare',
  follow: 'rare',
  meet: 'rare',
  configure: 'create',
  'note-copy': 'create',
  dismiss: 'delete',
  remove: 'delete',
  'remove-database': 'delete',
  keep: 'rare',
  settle: 'create',
  'add-shards': 'scale',
  admit: 'scale',
  'begin-move': 'scale',
  'end-move': 'scale',
  'cancel-move': 'rare',
  'note-slots': 'rare',
  'claim-slots': 'rare',
  'retire-shard': 'scale',
  'remove-shard': 'scale',
  'end-scaling': 'scale',
  // A life's keys are too few for it; simulated lives (`--focus scaling`) die around it.
  arrange: 'rare',
  'end-arrange': 'rare',
};

/** Steps that are no actions of a plan; those of a planned switch are parts of one action. */
const OTHER_STEPS = {
  'prepare-cluster': 'create',
  'release-cluster': 'delete',
  'apply-key': 'keys',
  flush: 'flush',
  hold: 'handover',
  pause: 'handover',
  decide: 'handover',
  tell: 'handover',
  unpause: 'handover',
  release: 'handover',
  'save-file': 'stop',
  'record-stop': 'stop',
  'end-engines': 'stop',
  'open-endpoint': 'restart',
  'adopt-databases': 'restart',
  // Between its two points the file of the last stop is set aside as read, and that it was is not recorded.
  'consume-file': 'rare',
  'close-way-back': 'upgrade',
} as const satisfies Readonly<Record<string, StepLife>>;

/** Where a step is passed besides: the matrix plays these lives for it too. */
export const ALSO: Readonly<Partial<Record<Step, readonly StepLife[]>>> = {
  start: ['failover', 'upgrade'],
  promote: ['failover'],
  crown: ['failover'],
  'note-copy': ['failover'],
  configure: ['update'],
  settle: ['update'],
  // On their way between two versions of the engine.
  renew: ['upgrade'],
  'wish-handover': ['upgrade'],
  'end-maintenance': ['upgrade'],
  decide: ['upgrade'],
};

/** `rare`: an ordinary life does not pass it. */
export type StepLife =
  | 'create'
  | 'update'
  | 'keys'
  | 'flush'
  | 'failover'
  | 'handover'
  | 'maintain'
  | 'upgrade'
  | 'scale'
  | 'stop'
  | 'restart'
  | 'delete'
  | 'rare';

export type Step = Action['kind'] | keyof typeof OTHER_STEPS;
export type Failpoint = `${Step}:${'before' | 'after'}`;
export const EFFECTS = ['crash', 'hang', 'fail'] as const;
export type FailpointEffect = (typeof EFFECTS)[number];

export interface Armed {
  readonly point: Failpoint;
  readonly effect: FailpointEffect;
}

export const FAILPOINT_VARIABLE = 'CINNABAR_FAILPOINT';

export const ALL_STEPS: Readonly<Record<Step, StepLife>> = { ...STEPS, ...OTHER_STEPS };

export const FAILPOINTS: readonly Failpoint[] = Object.keys(ALL_STEPS).flatMap(
  (step) => [`${step}:before`, `${step}:after`] as Failpoint[],
);

export class FailpointError extends Error {
  override readonly name = 'FailpointError';
  readonly code = 'failpoint';
}

let armed = parseFailpoint(process.env[FAILPOINT_VARIABLE]);
let disarmed: PromiseWithResolvers<void> = Promise.withResolvers();
let timer: NodeJS.Timeout | null = null;
let reached: Failpoint | null = null;

/** Null when nothing is asked for; throws when what is asked for does not exist. */
export function parseFailpoint(text: string | undefined): Armed | null {
  if (text === undefined || text === '') return null;
  const [name, word] = text.split('=', 2);
  const point = FAILPOINTS.find((each) => each === name);
  const effect = EFFECTS.find((each) => each === word);
  if (point === undefined || effect === undefined) {
    throw new FailpointError(
      `${FAILPOINT_VARIABLE}=${text} names no failpoint; it is <step>:<before|after>=<crash|hang|fail> with a step of ${Object.keys(ALL_STEPS).join(', ')}`,
    );
  }
  return { point, effect };
}

/** In place of what was armed; disarmed by itself after `forMs`, and what hangs there goes on. */
export function arm(wanted: Armed, forMs: number): void {
  disarm();
  reached = null;
  armed = wanted;
  timer = setTimeout(disarm, forMs).unref();
}

export function disarm(): void {
  if (timer !== null) clearTimeout(timer);
  timer = null;
  armed = null;
  disarmed.resolve();
  disarmed = Promise.withResolvers();
}

export function failpointState(): {
  readonly armed: Armed | null;
  readonly reached: string | null;
} {
  return { armed, reached };
}

export async function reach(point: Failpoint): Promise<void> {
  if (armed === null || armed.point !== point) return;
  const { effect } = armed;
  armed = null;
  reached = point;
  process.stderr.write(`${REACHED} ${point}=${effect}\n`);
  if (effect === 'fail') throw new FailpointError(`failpoint ${point}`);
  // As the power would: nothing is flushed, nobody is told.
  if (effect === 'crash') process.kill(process.pid, 'SIGKILL');
  await disarmed.promise;
}

/** What the process writes to its standard error when it gets there. */
export const REACHED = 'failpoint reached:';

/** A step that is no action of a plan, or follows another without a plan in between; with its two points. */
export async function passing<T>(step: Step, work: () => T | Promise<T>): Promise<T> {
  await reach(`${step}:before`);
  const result = await work();
  await reach(`${step}:after`);
  return result;
}
