import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { OperationStep } from '../store/records.ts';
import { advance } from './progress.ts';

const NAMES = ['Start', 'Elect', 'Open'];
const states = (...done: readonly boolean[]) =>
  done.map((is, i) => ({ name: NAMES[i] ?? '', done: is, detail: '' }));

test('a step that waits for others says so, and their times add up to the whole', () => {
  const began = 1_000;
  let steps: readonly OperationStep[] = advance([], states(false, false, false), 1_080, began);
  assert.deepEqual(
    steps.map(({ state, startedAt }) => [state, startedAt]),
    [
      ['running', began],
      ['waiting', null],
      ['waiting', null],
    ],
  );
  steps = advance(steps, states(true, false, false), 1_200, began);
  assert.deepEqual(
    steps.map(({ state, startedAt }) => [state, startedAt]),
    [
      ['done', began],
      ['running', 1_200],
      ['waiting', null],
    ],
  );
  steps = advance(steps, states(true, true, true), 1_500, began);
  const times = steps.map(({ startedAt, endedAt }) => (endedAt ?? 0) - (startedAt ?? 0));
  assert.deepEqual(times, [200, 300, 0]);
  assert.equal(advance(steps, states(true, true, true), 1_600, began), steps);
});

test('a step that is done before its turn took no time; one undone goes on', () => {
  const before = advance([], states(false, true), 10, 1);
  assert.deepEqual([before[1]?.startedAt, before[1]?.endedAt], [10, 10]);
  const done = advance(before, states(true, true), 30, 1);
  assert.equal(advance(done, states(false, true), 40, 1)[0]?.state, 'running');
});

test('a step that appears among others begins then', () => {
  const before = advance([], states(false).slice(0, 1), 10, 1);
  const now = advance(before, [{ name: 'Heal', done: false, detail: '' }, ...states(false)], 50, 1);
  assert.deepEqual(
    now.map((s) => s.startedAt),
    [50, 1],
  );
});
