/** Whether a refused write was overtaken: against a look at all that is pending, and what the answer costs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { OVERTAKEN_KEPT_CALLS } from '../limits.ts';
import { Call } from './call.ts';
import { Lane } from './lane.ts';
import { Overtaken } from './overtaken.ts';

let looks = 0;

class OneCall extends Call {
  constructor(name: string, keys: readonly string[]) {
    super(name, keys, 0, undefined);
  }

  override keys(): readonly string[] {
    looks += 1;
    return super.keys();
  }

  override send(): void {}
  override succeed(): void {}
  override fail(): void {}
  override twin(): Call {
    return this;
  }
}

/** Lanes as the pool keeps them: what is on one key is on one lane, and is answered in order. */
class Model {
  readonly overtaken = new Overtaken();
  readonly lanes = [new Lane(0, 'small', 0), new Lane(1, 'small', 0)];
  /** Wait to be made again; true: overtaken, by what was asked for since. */
  readonly waiting = new Map<Call, boolean>();

  ask(call: Call): void {
    // What comes after one that is about all keys waits for its reply.
    for (const one of this.lanes) {
      const [head] = one.pending;
      if (head?.place === 'barrier') this.reply(one, false);
    }
    const lane = this.#laneOf(call);
    lane.pending.add(call);
    this.overtaken.asked(call);
    for (const other of this.waiting.keys()) {
      if (other !== call && shares(other, call)) this.waiting.set(other, true);
    }
  }

  /** The reply to the first call of a lane. */
  reply(lane: Lane, refused: boolean): void {
    const [call] = lane.pending;
    if (call === undefined) return;
    lane.pending.delete(call);
    if (!refused || call.facts.read) return;
    const pending = this.lanes.flatMap((one) => [...one.pending]);
    const behind = pending.some((other) => shares(call, other));
    assert.equal(this.overtaken.judge(call, this.lanes), behind);
    if (behind) return;
    this.overtaken.wait(call);
    this.waiting.set(call, false);
  }

  again(index: number): void {
    const [call, overtaken] = [...this.waiting][index % Math.max(1, this.waiting.size)] ?? [];
    if (call === undefined) return;
    this.waiting.delete(call);
    assert.equal(this.overtaken.end(call), overtaken);
    if (overtaken === false) this.ask(call);
  }

  /** `{a}...`: lane 0, anything else: lane 1; what is about all keys comes when nothing is pending. */
  #laneOf(call: Call): Lane {
    if (call.place === 'barrier')
      for (const lane of this.lanes) while (lane.pending.size > 0) this.reply(lane, false);
    return this.lanes[call.key?.startsWith('{a}') === true ? 0 : 1] as Lane;
  }
}

function shares(one: Call, other: Call): boolean {
  return (
    other.place === 'barrier' ||
    one.place === 'barrier' ||
    other.keys().some((key) => one.keys().includes(key))
  );
}

const keys = fc.constantFrom('{a}1', '{a}2', 'b1', 'b2', 'b3');
const step = fc.oneof(
  fc.record({
    do: fc.constant('ask' as const),
    name: fc.constantFrom('get', 'set', 'incr'),
    key: keys,
  }),
  fc.record({ do: fc.constant('both' as const), name: fc.constantFrom('del', 'mget') }),
  fc.record({ do: fc.constant('flush' as const) }),
  fc.record({ do: fc.constant('many' as const) }),
  fc.record({ do: fc.constant('reply' as const), lane: fc.nat(1), refused: fc.boolean() }),
  fc.record({ do: fc.constant('again' as const), index: fc.nat(5) }),
);

test('as a look at all that is pending would say, whatever is asked, refused, answered and made again', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const model = new Model();
      for (const one of steps) {
        if (one.do === 'ask') model.ask(new OneCall(one.name, [one.key]));
        else if (one.do === 'both') model.ask(new OneCall(one.name, ['b1', 'b2']));
        else if (one.do === 'flush') model.ask(new OneCall('flushall', []));
        else if (one.do === 'many') {
          // As many as the table is kept for.
          for (let i = 0; i <= OVERTAKEN_KEPT_CALLS; i += 1) {
            model.ask(new OneCall('get', ['c']));
            model.reply(model.lanes[1] as Lane, false);
          }
        } else if (one.do === 'reply') model.reply(model.lanes[one.lane] as Lane, one.refused);
        else model.again(one.index);
      }
    }),
    { numRuns: 300 },
  );
});

test('a refused FLUSHALL is not made again over what was asked for after it', () => {
  for (const first of ['judge', 'ask']) {
    const { overtaken, lanes } = new Model();
    const flush = new OneCall('flushall', []);
    overtaken.asked(flush);
    if (first === 'judge') {
      assert.equal(overtaken.judge(flush, lanes), false);
      overtaken.wait(flush);
    }
    overtaken.asked(new OneCall('set', ['k']));
    assert.equal(first === 'judge' ? overtaken.end(flush) : overtaken.judge(flush, lanes), true);
  }
});

test('what it costs grows with the calls, not with the calls times what is pending', () => {
  const model = new Model();
  const { overtaken, lanes } = model;
  const lane = lanes[1] as Lane;
  const calls = Array.from({ length: 20_000 }, (_, i) => new OneCall('set', [`k${i % 15_000}`]));
  for (const call of calls) model.ask(call);
  looks = 0;
  let behind = 0;
  for (const call of calls) {
    lane.pending.delete(call);
    if (overtaken.judge(call, lanes)) behind += 1;
  }
  assert.equal(behind, 5_000);
  assert.ok(looks < 4 * calls.length, `${looks} looks`);
  // Nobody refuses any more: after so many calls nothing is looked at.
  for (let i = 0; i < 2 * calls.length; i += 1) overtaken.asked(new OneCall('get', ['k']));
  looks = 0;
  overtaken.asked(new OneCall('get', ['k']));
  assert.equal(looks, 0);
});
