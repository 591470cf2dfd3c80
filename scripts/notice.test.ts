import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { notice } from './notice.ts';

test('NOTICE names what is installed now (npm run notice)', () => {
  assert.equal(readFileSync(new URL('../NOTICE', import.meta.url), 'utf8'), notice());
});

test('every licence allows redistribution with an Apache-2.0 program', () => {
  const allowed =
    /^(MIT|ISC|Apache-2\.0|BSD-[23]-Clause|0BSD|MIT-0|BlueOak-1\.0\.0|CC0-1\.0|\(?MIT OR [\w.-]+\)?)$/;
  const named = [...notice().matchAll(/^(\S+) \d[\w.-]*: (.+)$/gm)];
  assert.ok(named.length > 10);
  for (const [, name = '', licence = ''] of named) assert.match(licence, allowed, name);
});
