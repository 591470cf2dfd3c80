import assert from 'node:assert/strict';
import { test } from 'node:test';
import { commonPauses, longWaits } from '../load/report.ts';
import { slotOf } from '../load/slots.ts';
import { type Blow, isExplained, unavailability } from './figures.ts';
import { tagWithin } from './ours.ts';

const crash: Blow = { kind: 'any-moment', at: 1_000, until: 2_000 };

test('the longest pause that touches a blow is its figure; those of other times are not', () => {
  const pauses = [
    { from: 900, to: 990 },
    { from: 998, to: 1_012 },
    { from: 1_500, to: 1_530 },
    { from: 1_999, to: 2_050 },
    { from: 2_100, to: 2_500 },
  ];
  assert.deepEqual(unavailability(pauses, crash), { gapMs: 30, gapAfterMs: 500 });
  assert.deepEqual(unavailability([], crash), { gapMs: 0, gapAfterMs: 0 });
});

test('only what was on its way at the blow, and was said to be unknown, is explained', () => {
  const failure = (intendedAt: number, endedAt: number, error = 'OUTCOMEUNKNOWN') =>
    isExplained({ error, intendedAt, endedAt, since: intendedAt }, [crash]);
  assert.ok(failure(990, 1_010));
  assert.ok(failure(1_050, 1_060), 'sent before anybody could notice');
  assert.ok(!failure(1_300, 1_310), 'sent long after');
  assert.ok(!failure(900, 999), 'over before');
  assert.ok(!failure(990, 1_010, 'CLUSTERDOWN'), 'said to be refused, but nothing should be');
  const error = 'OUTCOMEUNKNOWN';
  assert.ok(
    isExplained({ error, intendedAt: 1_900, since: 1_900, endedAt: 2_300 }, [
      { ...crash, kind: 'hang' },
    ]),
  );
  const waited = { error, intendedAt: 1_300, endedAt: 1_310 };
  assert.ok(isExplained({ ...waited, since: 950 }, [crash]), 'one before it was unconfirmed');
  assert.ok(!isExplained({ ...waited, since: 1_250 }, [crash]), 'all from after the blow');
});

test('threads have no success together only where none has one', () => {
  const both = commonPauses(
    [
      { from: 0, to: 10 },
      { from: 20, to: 30 },
    ],
    [{ from: 5, to: 25 }],
  );
  assert.deepEqual(both, [
    { from: 5, to: 10 },
    { from: 20, to: 25 },
  ]);
});

test('a tag lies on its shard', () => {
  const slot = slotOf(Buffer.from(tagWithin([[5_000, 5_400]])));
  assert.ok(slot >= 5_000 && slot <= 5_400);
});

test('waits that overlap are one: of all its requests, and as long as the longest of them', () => {
  const wait = (from: number, to: number) => ({ from, to, requests: 1, longestMs: to - from });
  assert.deepEqual(longWaits([wait(300, 360), wait(0, 60), wait(20, 90), wait(91, 150)]), [
    { from: 0, to: 90, requests: 2, longestMs: 70 },
    wait(91, 150),
    wait(300, 360),
  ]);
});
