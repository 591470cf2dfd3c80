import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { describe, test } from 'node:test';
import { type RunResult, simulate } from './run.ts';
import type { Focus } from './scenario.ts';
import { KEPT_SCALING_SEEDS, KEPT_SEEDS, KEPT_STORM_SEEDS, KEPT_SWITCH_SEEDS } from './seeds.ts';

const STEPS = 6_000;
/** Together more than 50,000 steps on seeds that nobody has seen before. */
const FRESH_RUNS = 9;
const MOST_RUNS = 50;

async function mustPass(
  seed: number,
  focus: Focus = 'anything',
  fewKeys = false,
  steps = STEPS,
): Promise<RunResult> {
  const result = await simulate({ seed, steps, focus, fewKeys });
  if (result.error === null) return result;
  const few = fewKeys ? ' --few-keys' : '';
  const replay = `node packages/control/simulation/main.ts --seed ${seed} --steps ${steps} --focus ${focus}${few} --verbose`;
  return assert.fail(
    `${result.error}\nreplay: ${replay}\n${result.timeline.slice(-60).join('\n')}`,
  );
}

describe('the control plane in trouble, simulated', () => {
  for (const [seed, found] of KEPT_SEEDS) {
    test(`seed ${seed}: ${found}`, async () => void (await mustPass(seed, 'anything', true)));
  }
  for (const [seed, found] of KEPT_SWITCH_SEEDS) {
    test(`switches, seed ${seed}: ${found}`, async () =>
      void (await mustPass(seed, 'switches', true)));
  }

  for (const [seed, found, steps] of KEPT_STORM_SEEDS) {
    test(`storm, seed ${seed}: ${found}`, async () =>
      void (await mustPass(seed, 'storm', true, steps)));
  }

  for (const [seed, found] of KEPT_SCALING_SEEDS) {
    test(`scaling, seed ${seed}: ${found}`, async () =>
      void (await mustPass(seed, 'scaling', true)));
  }

  test(`${FRESH_RUNS * STEPS} steps on fresh seeds`, async (t) => {
    const first = randomInt(2 ** 31 - FRESH_RUNS);
    t.diagnostic(`seeds ${first} to ${first + FRESH_RUNS - 1}`);
    for (let run = 0; run < FRESH_RUNS; run++) await mustPass(first + run);
  });

  test(`${FRESH_RUNS * STEPS} steps full of planned switches, on fresh seeds`, async (t) => {
    const first = randomInt(2 ** 31 - FRESH_RUNS);
    t.diagnostic(`seeds ${first} to ${first + FRESH_RUNS - 1}`);
    let switches = 0;
    for (let run = 0; run < FRESH_RUNS; run++)
      switches += (await mustPass(first + run, 'switches')).switches;
    assert.ok(switches > 0, 'a planned switch came about');
  });

  test(`${FRESH_RUNS * STEPS} steps in a storm, on fresh seeds`, async (t) => {
    const first = randomInt(2 ** 31 - FRESH_RUNS);
    t.diagnostic(`seeds ${first} to ${first + FRESH_RUNS - 1}`);
    for (let run = 0; run < FRESH_RUNS; run++) await mustPass(first + run, 'storm');
  });

  test(`${FRESH_RUNS * STEPS} steps of scaling, on fresh seeds`, async (t) => {
    const first = randomInt(2 ** 31 - MOST_RUNS);
    t.diagnostic(`seeds ${first} to ${first + FRESH_RUNS - 1}`);
    let arranged = 0;
    // Nearly one in each life; few are without for many in a row.
    for (let run = 0; run < FRESH_RUNS || (arranged === 0 && run < MOST_RUNS); run++) {
      arranged += (await mustPass(first + run, 'scaling')).arranged;
    }
    assert.ok(arranged > 0, 'a shard was put in order before it gave');
  });

  test(`${FRESH_RUNS * STEPS} steps among strangers who take ports, on fresh seeds`, async (t) => {
    const first = randomInt(2 ** 31 - FRESH_RUNS);
    t.diagnostic(`seeds ${first} to ${first + FRESH_RUNS - 1}`);
    for (let run = 0; run < FRESH_RUNS; run++) await mustPass(first + run, 'strangers');
  });

  test('the same seed is the same life', async () => {
    const [a, b] = [
      await simulate({ seed: 7, steps: 800 }),
      await simulate({ seed: 7, steps: 800 }),
    ];
    assert.deepEqual(a, b);
  });
});
