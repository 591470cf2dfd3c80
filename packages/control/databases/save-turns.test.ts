import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SAVE_DEADLINE_MS, SAVES_AT_ONCE, STOP_PAUSE_MS } from './limits.ts';
import { SaveTurns } from './save-turns.ts';

const GB = 1024 ** 3;
/** Of a disk that most would call broken. */
const SLOW_BYTES_S = 20 * 1024 ** 2;

test('a stop has the time that a slow disk takes for all that is to be written', () => {
  assert.equal(new SaveTurns(0).deadlineMs, SAVE_DEADLINE_MS);
  for (const bytes of [12 * GB, 500 * GB]) {
    const turns = new SaveTurns(bytes);
    const takes = (bytes / SLOW_BYTES_S) * 1000;
    assert.ok(turns.deadlineMs > takes, `${bytes}: ${turns.deadlineMs}`);
    assert.ok(turns.pauseMs >= turns.deadlineMs + STOP_PAUSE_MS - SAVE_DEADLINE_MS);
  }
});

test('files are written in turn, in the order they were asked for; a failure hands its turn on', async () => {
  const turns = new SaveTurns(0);
  const begun: number[] = [];
  const ends: PromiseWithResolvers<void>[] = [];
  let most = 0;
  let now = 0;
  const works = Array.from({ length: 3 * SAVES_AT_ONCE }, (_, i) =>
    turns.take(async () => {
      begun.push(i);
      most = Math.max(most, ++now);
      const end = Promise.withResolvers<void>();
      ends.push(end);
      await end.promise.finally(() => now--);
    }),
  );
  const settled = Promise.allSettled(works);
  for (let i = 0; i < works.length; i++) {
    await new Promise(setImmediate);
    const end = ends[i];
    assert.ok(end !== undefined, `the turn of ${i} has come`);
    if (i % 2 === 0) end.resolve();
    else end.reject(new Error('no room'));
  }
  const results = await settled;
  assert.deepEqual(
    begun,
    works.map((_, i) => i),
  );
  assert.equal(most, SAVES_AT_ONCE);
  assert.equal(results.filter(({ status }) => status === 'rejected').length, works.length / 2);
});
