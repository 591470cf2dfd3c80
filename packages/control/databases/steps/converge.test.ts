import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MEET_AGAIN_MS } from '../limits.ts';
import type { DatabaseLoop } from '../loop.ts';
import { meet } from './converge.ts';

test('one introduction in a while for two engines, however often it is asked for; looks each time', async () => {
  let now = 0;
  const met: string[] = [];
  let looks = 0;
  const watch = (through: string) => ({
    link: { meet: async (host: string) => met.push(`${through} to ${host} at ${now}`) },
    refresh: async () => {
      looks += 1;
    },
  });
  const loop = {
    introduced: new Map<string, number>(),
    deps: { clock: { ticks: () => now } },
    instance: (id: string) => ({ host: id, port: 1, busPort: 2 }),
    watch,
  } as unknown as DatabaseLoop;
  for (; now < 2 * MEET_AGAIN_MS; now += MEET_AGAIN_MS / 8) await meet(loop, 'b', 'a');
  await meet(loop, 'c', 'a');
  assert.deepEqual(met, [
    'a to b at 0',
    `a to b at ${MEET_AGAIN_MS}`,
    `a to c at ${2 * MEET_AGAIN_MS}`,
  ]);
  assert.equal(looks, 2 * 17);
  assert.ok(loop.introduced.size <= 2, 'those of long ago are forgotten');
});
