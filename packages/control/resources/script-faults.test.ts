import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SCRIPTS_AGAIN_FIRST_MS as FIRST, SCRIPTS_COUNTED_MS } from './limits.ts';
import { replaceableFrom } from './script-faults.ts';

test('the first time at once, then at longer and longer pauses, until a day is over', () => {
  const now = 10 * SCRIPTS_COUNTED_MS;
  assert.equal(replaceableFrom([], now), now);
  const times: number[] = [];
  for (let at = now; at < now + SCRIPTS_COUNTED_MS; at = replaceableFrom(times, at)) times.push(at);
  assert.deepEqual(
    times.map((at) => (at - now) / FIRST),
    [0, 1, 3, 7, 15, 31, 63, 127],
  );
  // Of yesterday's only the last is counted by then.
  const next = now + SCRIPTS_COUNTED_MS + 64 * FIRST;
  assert.ok(replaceableFrom(times, next) <= next);
  // What was done while the clock was years ahead keeps nothing away.
  assert.equal(replaceableFrom([now + 365 * SCRIPTS_COUNTED_MS], now), now);
});
