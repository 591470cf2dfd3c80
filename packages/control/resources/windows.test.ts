/** Maintenance windows: what Azure takes, and which one comes next. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { checkWindows, isSkipped, nextWindow, recordedUntil } from './windows.ts';

const window = (dayOfWeek: string, startHourUtc: number, duration: string) => ({
  type: 'Weekly',
  startHourUtc,
  duration,
  schedule: { dayOfWeek },
});
const config = (...maintenanceWindows: object[]) => ({ maintenanceWindows });
const WEEKEND = config(window('Saturday', 20, 'PT9H'), window('Sunday', 20, 'PT9H'));
const at = (text: string) => Date.parse(`${text}:00Z`);

describe('maintenance windows', () => {
  test('what Azure takes: two, of four hours, eighteen a week', () => {
    for (const good of [undefined, null, {}, config(), WEEKEND]) checkWindows(good);
    const refused = [
      config(window('Sunday', 0, 'PT20H')),
      config(window('Sunday', 0, 'PT3H59M'), window('Monday', 0, 'PT20H')),
      config(window('Sunday', 0, 'PT8H'), window('Monday', 0, 'PT9H')),
      config(window('Sunday', 0, 'PT25H'), window('Monday', 0, 'PT9H')),
      config(window('Sunday', 0, 'PT'), window('Monday', 0, 'PT20H')),
    ];
    for (const each of refused) {
      assert.throws(() => checkWindows(each), { code: 'InvalidParameter' });
    }
  });

  test('the one that is open, over midnight too, or the next', () => {
    // 2026-11-28 is a Saturday.
    const next = (now: string) =>
      new Date(nextWindow(WEEKEND, at(now))?.startsAt ?? 0).toISOString().slice(0, 16);
    assert.equal(next('2026-11-28T10:00'), '2026-11-28T20:00');
    assert.equal(next('2026-11-29T04:59'), '2026-11-28T20:00');
    assert.equal(next('2026-11-29T05:00'), '2026-11-29T20:00');
    assert.equal(next('2026-11-30T04:00'), '2026-11-29T20:00');
    assert.equal(next('2026-11-30T05:00'), '2026-12-05T20:00');
    assert.equal(nextWindow(config(), at('2026-11-28T10:00')), null);
    assert.equal(nextWindow(undefined, at('2026-11-28T10:00')), null);
  });

  test('of two that overlap only the one that was skipped is left out', () => {
    const two = config(window('Saturday', 22, 'PT6H'), window('Sunday', 0, 'PT12H'));
    const skippedUntil = nextWindow(two, at('2026-11-28T12:00'))?.endsAt ?? 0;
    assert.equal(skippedUntil, at('2026-11-29T04:00'));
    const skipped = (now: string) => {
      const next = nextWindow(two, at(now));
      assert.ok(next !== null);
      return isSkipped(next, skippedUntil, at(now));
    };
    const moments = ['2026-11-28T12:00', '2026-11-28T23:00', '2026-11-29T03:59'];
    assert.deepEqual(moments.map(skipped), [true, true, true]);
    assert.equal(skipped('2026-11-29T04:00'), false, 'the second is open');
    assert.equal(skipped('2026-11-29T12:00'), false, 'a week later');
  });

  test('what was recorded while the clock was years ahead keeps nothing away', () => {
    const now = at('2026-11-28T12:00');
    assert.equal(recordedUntil(undefined, now), 0);
    assert.equal(recordedUntil(at('2026-12-06T11:00'), now), at('2026-12-06T11:00'));
    assert.equal(recordedUntil(at('2030-12-06T11:00'), now), 0);
  });
});
