/** Which of several barriers goes when, and what is held meanwhile. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Barrier } from './barrier.ts';
import { Call } from './call.ts';
import { Lane } from './lane.ts';
import { firstDeadline, type Placeable } from './placeable.ts';

class OneCall extends Call {
  constructor(asked: number) {
    super('mset', ['a', '1'], 0, undefined);
    this.asked = asked;
  }

  override send(): void {}
  override succeed(): void {}
  override fail(): void {}
  override twin(): Call {
    return this;
  }
}

test('an older one that is made again goes before one that waits, and after one that is on its way', () => {
  const lane = new Lane(0, 'small', 0);
  for (const sent of [false, true]) {
    let quiet = sent;
    const order: number[] = [];
    const barrier: Barrier = new Barrier(
      () => quiet,
      () => lane,
      (item) => {
        order.push(item.asked);
        for (const call of item.calls) lane.pending.add(call);
      },
      (item) => {
        if (barrier.holds(item)) return void barrier.held.push(item);
        barrier.begin(item);
        barrier.step();
      },
    );
    const [older, present, later] = [1, 2, 3].map((asked) => new OneCall(asked));
    assert.ok(older !== undefined && present !== undefined && later !== undefined);
    barrier.begin(present);
    barrier.step();
    assert.equal(barrier.holds(later), true);
    barrier.held.push(later);
    assert.equal(barrier.holds(older), false);
    barrier.begin(older);
    quiet = true;
    barrier.step();
    for (const call of sent ? [present, older, later] : [older, present, later])
      barrier.released(call);
    assert.deepEqual(order, sent ? [2, 1, 3] : [1, 2, 3]);
    assert.equal(barrier.on, false);
    assert.deepEqual(barrier.waiting, []);
  }
});

test('a batch of more commands than a function takes arguments: its deadline, and its end', () => {
  const lane = new Lane(0, 'small', 0);
  const calls = Array.from({ length: 150_000 }, () => new OneCall(1));
  (calls[100_000] as OneCall).deadlineAt = 7;
  assert.equal(firstDeadline(calls), 7);
  const first = calls[0] as OneCall;
  const batch: Placeable = Object.create(first, { calls: { value: calls } });
  let ended = 0;
  const barrier = new Barrier(
    () => true,
    () => lane,
    () => {
      for (const call of calls) lane.pending.add(call);
    },
    () => {
      ended += 1;
    },
  );
  barrier.begin(batch);
  barrier.step();
  barrier.held.push(new OneCall(2));
  const begun = performance.now();
  for (const call of calls) {
    assert.equal(ended, 0);
    lane.pending.delete(call);
    barrier.released(call);
  }
  assert.equal(ended, 1);
  // Looking through all of them for each of them took half a minute.
  assert.ok(performance.now() - begun < 5_000);
});
