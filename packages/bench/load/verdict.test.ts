import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { judgeLog, judgeRegister, OUTCOME } from './verdict.ts';

const ACK = OUTCOME.acknowledged;
const { unknown: UNK, refused: NO } = OUTCOME;

function attempts(...outcomes: number[]) {
  return { outcomes: [0, ...outcomes], last: outcomes.length };
}

test('log: each fault is named with its number', () => {
  const all = attempts(ACK, ACK, ACK, ACK, ACK);
  assert.deepEqual(judgeLog(all, [1, 2, 3, 4, 5]).lost, []);
  assert.deepEqual(judgeLog(all, [1, 2, 4, 5]).lost, [3]);
  assert.deepEqual(judgeLog(all, [1, 2, 2, 3, 4, 5]).duplicated, [2]);
  assert.deepEqual(judgeLog(all, [1, 3, 2, 4, 5]).reordered.length, 1);
  assert.deepEqual(judgeLog(all, [1, 2, 3, 4, 5, 6]).impossible, [6]);
});

test('log: unknown outcomes may or may not be there; refused ones must not', () => {
  const some = attempts(ACK, UNK, NO, ACK);
  assert.equal(judgeLog(some, [1, 4]).unknownApplied, 0);
  assert.equal(judgeLog(some, [1, 4, 2]).unknownApplied, 1);
  assert.deepEqual(judgeLog(some, [1, 4, 2]).reordered, []);
  assert.deepEqual(judgeLog(some, [1, 3, 4]).impossible, [3]);
});

test('register: a version that nobody saw and that is not the last was lost', () => {
  const all = attempts(ACK, ACK, ACK);
  assert.deepEqual(judgeRegister(all, [0, 0, 1, 2], 3).lost, []);
  assert.deepEqual(judgeRegister(all, [0, 0, 1, 1], 3).lost, [2]);
  assert.deepEqual(judgeRegister(all, [0, 0, 1, 2], 2).lost, [3]);
  assert.deepEqual(judgeRegister(all, [0, 0, 1, 2], 0).lost, [3]);
  assert.deepEqual(judgeRegister(all, [0, 0, 3, 1], 2).reordered, [2]);
});

test('register: an unknown write may cover an acknowledged one', () => {
  const some = attempts(ACK, UNK, ACK);
  assert.deepEqual(judgeRegister(some, [0, 0, 0, 2], 3).lost, []);
  assert.equal(judgeRegister(some, [0, 0, 0, 2], 3).unknownApplied, 1);
  assert.deepEqual(judgeRegister(some, [0, 0, 0, 1], 3).lost, []);
  assert.deepEqual(judgeRegister(some, [0, 0, 0, 0], 3).lost, [1]);
});

/** An honest server and one writer whose connection breaks now and then. */
const history = fc.array(
  fc.record({
    outcome: fc.constantFrom<number>(ACK, ACK, ACK, UNK, NO),
    happened: fc.boolean(),
    /** Unknown writes may be applied this many writes later. */
    late: fc.integer({ min: 0, max: 3 }),
  }),
  { maxLength: 60 },
);

test('neither witness ever accuses an honest server', () => {
  fc.assert(
    fc.property(history, (writes) => {
      const log: number[] = [];
      const previous = [0];
      let value = 0;
      const late: { n: number; at: number }[] = [];
      writes.forEach((write, i) => {
        const n = i + 1;
        for (const due of late.filter((l) => l.at === n)) {
          log.push(due.n);
          value = due.n;
        }
        previous[n] = 0;
        if (write.outcome === ACK) {
          previous[n] = value;
          log.push(n);
          value = n;
        } else if (write.outcome === UNK && write.happened) {
          late.push({ n, at: n + 1 + write.late });
        }
      });
      const all = attempts(...writes.map((w) => w.outcome));
      for (const verdict of [judgeLog(all, log), judgeRegister(all, previous, value)]) {
        assert.deepEqual(verdict.lost, []);
        assert.deepEqual(verdict.duplicated, []);
        assert.deepEqual(verdict.reordered, []);
        assert.deepEqual(verdict.impossible, []);
      }
    }),
  );
});

test('a log from which acknowledged writes are taken always accuses, and exactly', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.integer({ min: 1, max: 40 }), { maxLength: 10 }), (taken) => {
      const all = attempts(...new Array<number>(40).fill(ACK));
      const left = Array.from({ length: 40 }, (_, i) => i + 1).filter((n) => !taken.includes(n));
      assert.deepEqual(
        judgeLog(all, left).lost,
        [...taken].sort((a, b) => a - b),
      );
    }),
  );
});
