/** How often an engine is asked, by its role and by whether anybody writes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Due, dueAt } from './due.ts';
import { BEAT_MS, BEATS_PER_SAMPLE, SAMPLES_PER_LOOK } from './limits.ts';

const BEATS = BEATS_PER_SAMPLE * SAMPLES_PER_LOOK;

function asked(role: 'primary' | 'replica', quiet: boolean): { due: Due[]; longestMs: number } {
  const due = Array.from({ length: BEATS }, (_, beat) => dueAt(beat, role, quiet));
  const gaps = due.map((_, i) => {
    const next = [...due, ...due].findIndex((each, j) => j > i && each !== 'nothing');
    return next - i;
  });
  return { due, longestMs: Math.max(...gaps) * BEAT_MS };
}

test('a primary that is written to is asked at every beat, a quiet one when it is sampled', () => {
  assert.equal(asked('primary', false).longestMs, BEAT_MS);
  assert.equal(asked('primary', true).longestMs, BEATS_PER_SAMPLE * BEAT_MS);
});

test('every engine is sampled each second and looked at as a whole now and then', () => {
  for (const [role, quiet] of [
    ['primary', false],
    ['primary', true],
    ['replica', false],
  ] as const) {
    const { due } = asked(role, quiet);
    assert.equal(due.filter((each) => each === 'look').length, 1);
    assert.equal(due.filter((each) => each === 'sample').length, SAMPLES_PER_LOOK - 1);
    if (role === 'replica' || quiet) assert.ok(!due.includes('ping'));
  }
});
