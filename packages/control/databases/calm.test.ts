import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Calm } from './calm.ts';
import { FailoverTimes } from './failover-times.ts';
import { CALM_WITHIN_MS, STARTING_MS } from './limits.ts';

/** Time that passes only while somebody sleeps. */
function rig() {
  const self = { now: 5_000, answering: new Set<string>(), atSleep: (): void => undefined };
  const clock = {
    now: () => self.now,
    ticks: () => self.now,
    sleep: async (ms: number) => {
      self.now += ms;
      self.atSleep();
    },
    later: () => ({ cancel: () => undefined }),
  };
  const loop = {
    pausing: new Set<number>(),
    times: new FailoverTimes(() => self.now),
    sighting: (id: string) => ({ condition: self.answering.has(id) ? 'answering' : 'unknown' }),
  };
  return { self, loop, calm: new Calm(clock, () => [loop]) };
}

test('where nobody waits and nothing starts, nobody is delayed by a turn', () => {
  const { calm } = rig();
  assert.equal(calm.beforeStart(), null);
  assert.equal(calm.beforeSwitch(), null);
});

test('no engine is started while a shard is failed over or switched', async () => {
  const { calm, loop, self } = rig();
  for (const [begin, end] of [
    [() => loop.times.alarm(0), () => loop.times.falseAlarm(0)],
    [() => loop.pausing.add(1), () => loop.pausing.delete(1)],
  ] as const) {
    begin();
    const over = self.now + 40;
    self.atSleep = () => void (self.now >= over && end());
    const waits = calm.beforeStart();
    assert.ok(waits !== null);
    await waits;
    assert.ok(self.now >= over && self.now < over + 20);
    assert.equal(calm.beforeStart(), null);
  }
});

test('a failover that does not end keeps nobody from starting for longer than its bound', async () => {
  const { calm, loop, self } = rig();
  loop.times.alarm(0);
  const began = self.now;
  await calm.beforeStart();
  assert.ok(self.now - began <= CALM_WITHIN_MS + 10);
  assert.equal(calm.beforeStart(), null, 'nor the next one at all');
});

test('a switch waits for an engine that starts until it answers, and for none that hangs', async () => {
  const { calm, self } = rig();
  calm.starts('a');
  const answers = self.now + 100;
  self.atSleep = () => void (self.now >= answers && self.answering.add('a'));
  await calm.beforeSwitch();
  assert.ok(self.now >= answers && self.now < answers + 20);
  calm.starts('hangs');
  self.now += STARTING_MS + 1;
  assert.equal(calm.beforeSwitch(), null);
});
