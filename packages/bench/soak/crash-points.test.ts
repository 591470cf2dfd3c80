/**
 * A few crashes of the matrix each time, drawn anew: all of them, and the steps that hang or fail, take
 * long and are played by `npm run soak -- --crash-points`.
 */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import {
  ALL_STEPS,
  arm,
  disarm,
  FAILPOINTS,
  failpointState,
  parseFailpoint,
  reach,
} from '../../control/databases/failpoints.ts';
import { OurService } from '../benches/our-service.ts';
import { allPlays, play } from './crash-points.ts';
import { LIVES } from './lives.ts';

const DRAWN = 2;

test('control fails at a step of an operation, and what comes afterwards is as it should be', async (t) => {
  const plays = allPlays(['crash']);
  const first = randomInt(plays.length);
  const service = await OurService.make();
  try {
    for (let i = 0; i < DRAWN; i += 1) {
      const drawn = plays[(first + i * 13) % plays.length];
      assert.ok(drawn !== undefined);
      const name = `${drawn.life} ${drawn.point}=${drawn.effect}`;
      t.diagnostic(name);
      const passed = await play(service, drawn).catch((error: Error) => {
        throw new Error(`${name}: ${error.message}`, { cause: error });
      });
      assert.ok(passed, `${name} was not passed`);
    }
  } finally {
    await service.destroy();
  }
});

test('the matrix holds every step of the table, on both sides, with each effect', () => {
  const plays = allPlays();
  for (const point of FAILPOINTS) {
    const life = ALL_STEPS[point.slice(0, point.lastIndexOf(':')) as keyof typeof ALL_STEPS];
    if (life === 'rare') continue;
    assert.ok(life in LIVES, point);
    for (const effect of ['crash', 'hang', 'fail']) {
      assert.ok(
        plays.some((each) => each.point === point && each.effect === effect),
        point,
      );
    }
  }
});

test('a failpoint that does not exist is refused by name', () => {
  assert.equal(parseFailpoint(undefined), null);
  assert.deepEqual(parseFailpoint('promote:after=hang'), {
    point: 'promote:after',
    effect: 'hang',
  });
  for (const text of ['promote=crash', 'promote:between=crash', 'promote:after=explode', 'x']) {
    assert.throws(() => parseFailpoint(text), /names no failpoint/);
  }
});

test('a failpoint acts once, and what hangs there goes on when it is disarmed', async () => {
  arm({ point: 'give-up:before', effect: 'fail' }, 60_000);
  await reach('give-up:after');
  await assert.rejects(reach('give-up:before'), /failpoint give-up:before/);
  await reach('give-up:before');
  assert.deepEqual(failpointState(), { armed: null, reached: 'give-up:before' });
  arm({ point: 'give-up:before', effect: 'hang' }, 60_000);
  let went = false;
  const hanging = reach('give-up:before').then(() => {
    went = true;
  });
  await reach('give-up:after');
  assert.equal(went, false);
  disarm();
  await hanging;
});
