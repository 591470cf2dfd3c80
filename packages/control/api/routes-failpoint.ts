/**
 * Rehearsal of what happens when this process fails at a step: arms one failpoint for a time. Only
 * who holds the token can, and who holds it can also stop the process.
 */
import {
  ALL_STEPS,
  arm,
  disarm,
  EFFECTS,
  FAILPOINTS,
  failpointState,
} from '../databases/failpoints.ts';
import { ControlError } from '../errors.ts';
import { type Answer, ok } from './answer.ts';
import type { Call } from './call.ts';
import type { Route } from './router.ts';

const PATH = '/cinnabar/failpoint';

export const FAILPOINT_ROUTES: readonly Route[] = [
  { method: 'GET', path: PATH, kind: 'extension', handle: () => ok(failpointState()) },
  { method: 'PUT', path: PATH, kind: 'extension', handle: put },
  { method: 'DELETE', path: PATH, kind: 'extension', handle: remove },
];

function put(call: Call): Answer {
  const value = call.bodies.small.failpoint(call);
  const point = FAILPOINTS.find((each) => each === value.point);
  if (point === undefined) {
    throw bad('point', value.point, `<step>:before or <step>:after, ${words(ALL_STEPS)}`);
  }
  const effect = EFFECTS.find((each) => each === value.effect);
  if (effect === undefined) throw bad('effect', value.effect, EFFECTS.join(', '));
  arm({ point, effect }, value.forMs);
  return ok(failpointState());
}

function remove(): Answer {
  disarm();
  return ok(failpointState());
}

function words(steps: object): string {
  return `with a step of ${Object.keys(steps).join(', ')}`;
}

function bad(name: string, value: string, expected: string): ControlError {
  return new ControlError(
    'InvalidParameter',
    400,
    `${name} '${value.slice(0, 40)}' is not valid: it is ${expected}.`,
    name,
  );
}
