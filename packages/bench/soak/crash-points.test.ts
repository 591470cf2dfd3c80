/**
 * A few failpoints each time, drawn anew: all of them take minutes and are walked by
 * `npm run soak -- --failpoints`. The seed is printed.
 */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { parseFailpoint } from '../../control/databases/failpoints.ts';
import { OurService } from '../benches/our-service.ts';
import { crashAt, FAILPOINTS, STEPS } from './crash-points.ts';

const DRAWN = 2;

test('the control process dies at a step, and the next one finishes the work', async (t) => {
  const usual = FAILPOINTS.filter((point) => STEPS[stepOf(point)] !== 'rare');
  const first = randomInt(usual.length);
  const service = await OurService.make();
  try {
    for (let i = 0; i < DRAWN; i += 1) {
      const point = usual[(first + i * 7) % usual.length];
      assert.ok(point !== undefined);
      t.diagnostic(`failpoint ${point}`);
      const outcome = await crashAt(service, point);
      assert.equal(outcome.crashed, true, `${point} was not passed`);
    }
  } finally {
    await service.destroy();
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

function stepOf(point: (typeof FAILPOINTS)[number]): keyof typeof STEPS {
  return point.slice(0, point.lastIndexOf(':')) as keyof typeof STEPS;
}
