import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { PARSERS } from './parsers.ts';
import { fuzz } from './run.ts';
import { KEPT_INPUTS } from './seeds.ts';

const RUNS = 3_000;

for (const parser of PARSERS) {
  test(`fuzz: ${parser.name}`, (t) => {
    const seed = randomInt(2 ** 31);
    t.diagnostic(`seed ${seed}`);
    fuzz(parser, RUNS, seed);
  });
}

test('every kept input names a parser that there is', () => {
  const names = new Set(PARSERS.map((parser) => parser.name));
  for (const [name] of KEPT_INPUTS) assert.ok(names.has(name), name);
});

test('a parser that loses its state between pieces, or throws by accident, is found', () => {
  const [first] = PARSERS;
  assert.ok(first !== undefined);
  const forgetful = { ...first, run: (pieces: readonly Buffer[]) => first.run(pieces.slice(-1)) };
  assert.throws(() => fuzz(forgetful, RUNS, 1), /Property failed/);
  const careless = {
    ...first,
    run: (pieces: readonly Buffer[]) => {
      if (Buffer.concat(pieces).includes('$-2')) throw new TypeError('undefined is no function');
      return null;
    },
  };
  assert.throws(() => fuzz(careless, RUNS, 1), /Property failed/);
});
