import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { describe, test } from 'node:test';
import { simulate } from './run.ts';
import { KEPT_SEEDS } from './seeds.ts';

const STEPS = 6_000;
/** Together more than 50,000 steps on seeds that nobody has seen before. */
const FRESH_RUNS = 9;

async function mustPass(seed: number): Promise<void> {
  const result = await simulate({ seed, steps: STEPS });
  if (result.error === null) return;
  const replay = `node packages/control/simulation/main.ts --seed ${seed} --steps ${STEPS} --verbose`;
  assert.fail(`${result.error}\nreplay: ${replay}\n${result.timeline.slice(-60).join('\n')}`);
}

describe('the control plane in trouble, simulated', () => {
  for (const [seed, found] of KEPT_SEEDS) {
    test(`seed ${seed}: ${found}`, () => mustPass(seed));
  }

  test(`${FRESH_RUNS * STEPS} steps on fresh seeds`, async (t) => {
    const first = randomInt(2 ** 31 - FRESH_RUNS);
    t.diagnostic(`seeds ${first} to ${first + FRESH_RUNS - 1}`);
    for (let run = 0; run < FRESH_RUNS; run++) await mustPass(first + run);
  });

  test('the same seed is the same life', async () => {
    const [a, b] = [
      await simulate({ seed: 7, steps: 800 }),
      await simulate({ seed: 7, steps: 800 }),
    ];
    assert.deepEqual(a, b);
  });
});
