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

test('a batch of more commands than a function takes arguments has a first deadline', () => {
  const call = new OneCall(1);
  const calls: Call[] = new Array(300_000).fill(call);
  assert.equal(firstDeadline(calls), Number.POSITIVE_INFINITY);
  const first = new OneCall(2);
  first.deadlineAt = 7;
  calls[200_000] = first;
  assert.equal(firstDeadline(calls), 7);
});

test('what waits for a batch goes when all of it is answered, EXEC too, which joins it as it is sent', () => {
  const lane = new Lane(0, 'small', 0);
  const calls = [new OneCall(1), new OneCall(1)];
  const exec = new OneCall(1);
  const batch: Placeable = Object.create(calls[0] as OneCall, { calls: { value: calls } });
  const placed: unknown[] = [];
  const barrier = new Barrier(
    () => true,
    () => lane,
    () => {
      calls.push(exec);
      for (const call of calls) lane.pending.add(call);
    },
    (item) => placed.push(item),
  );
  barrier.begin(batch);
  barrier.step();
  const later = new OneCall(2);
  barrier.held.push(later);
  for (const call of calls) {
    assert.deepEqual(placed, []);
    lane.pending.delete(call);
    barrier.released(call);
  }
  assert.deepEqual(placed, [later]);
});

test('who is made again takes its place among those that wait for its end', () => {
  const lane = new Lane(0, 'small', 0);
  const placed: unknown[] = [];
  const barrier = new Barrier(
    () => true,
    () => lane,
    (item) => {
      for (const call of item.calls) lane.pending.add(call as Call);
    },
    (item) => placed.push(item),
  );
  const item = new OneCall(1);
  barrier.begin(item);
  barrier.step();
  const [earlier, later] = [new OneCall(2), new OneCall(3)];
  barrier.hold(later);
  // It was on a lane that was lost meanwhile.
  barrier.hold(earlier);
  lane.pending.delete(item);
  barrier.released(item);
  assert.deepEqual(placed, [earlier, later]);
});
