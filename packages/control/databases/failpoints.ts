/**
 * Failpoints: a place before and one after each step of each operation, where a test can crash,
 * hang or fail the control process. Steps are actions of the plan, so this table is the list of all
 * of them; the compiler asks for a line here when there is a new one, and the crash tests enumerate
 * it.
 *
 * Armed by the environment when the process starts, and by nothing else: `CINNABAR_FAILPOINT` is
 * `<step>:<before|after>=<crash|hang|fail>`, each once.
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
};

/** `rare`: an ordinary life does not pass it. */
export type StepLife = 'create' | 'failover' | 'delete' | 'rare';

export type Failpoint = `${Action['kind']}:${'before' | 'after'}`;
export type FailpointEffect = 'crash' | 'hang' | 'fail';

export const FAILPOINT_VARIABLE = 'CINNABAR_FAILPOINT';

export const FAILPOINTS: readonly Failpoint[] = Object.keys(STEPS).flatMap(
  (step) => [`${step}:before`, `${step}:after`] as Failpoint[],
);

export class FailpointError extends Error {
  override readonly name = 'FailpointError';
  readonly code = 'failpoint';
}

let armed = parseFailpoint(process.env[FAILPOINT_VARIABLE]);

/** Null when nothing is asked for; throws when what is asked for does not exist. */
export function parseFailpoint(
  text: string | undefined,
): { readonly point: Failpoint; readonly effect: FailpointEffect } | null {
  if (text === undefined || text === '') return null;
  const [name, effect] = text.split('=', 2);
  const point = FAILPOINTS.find((each) => each === name);
  if (point === undefined || (effect !== 'crash' && effect !== 'hang' && effect !== 'fail')) {
    throw new FailpointError(
      `${FAILPOINT_VARIABLE}=${text} names no failpoint; it is <step>:<before|after>=<crash|hang|fail> with a step of ${Object.keys(STEPS).join(', ')}`,
    );
  }
  return { point, effect };
}

export async function reach(point: Failpoint): Promise<void> {
  if (armed === null || armed.point !== point) return;
  const { effect } = armed;
  armed = null;
  if (effect === 'fail') throw new FailpointError(`failpoint ${point}`);
  // As the power would: nothing is flushed, nobody is told.
  if (effect === 'crash') process.kill(process.pid, 'SIGKILL');
  await new Promise<never>(() => {});
}
