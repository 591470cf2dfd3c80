/** Which of several barriers goes when, and what is held meanwhile. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Barrier } from './barrier.ts';
import { Call } from './call.ts';
import { Lane } from './lane.ts';

class OneCall extends Call {
  constructor(asked: number) {
    super('mset', ['a', '1'], 0, undefined);
    this.asked = asked;
  }

  override send(): void {}
  override succeed(): void {}
  override fail(): void {}
  override duplicate(): void {}
}

test('an older one that is made again goes before one that waits, and after one that is on its way', () => {
  const lane = new Lane(0, 'small', 0);
  for (const sent of [false, true]) {
    let quiet = sent;
    const order: number[] = [];
    const barrier: Barrier = new Barrier(
      () => quiet,
      () => lane,
      (item) => order.push(item.asked),
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
