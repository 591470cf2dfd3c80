/** A mistake that cannot be planted any more proves nothing: code that moves takes its mutant along. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import path from 'node:path';
import { test } from 'node:test';
import { CHECKS, MUTANTS } from './table.ts';

const ROOT = path.join(import.meta.dirname, '..', '..', '..');

test('each mutant can be planted, in one place', () => {
  const astray = MUTANTS.flatMap(({ name, file, edits }) => {
    const text = readFileSync(path.join(ROOT, file), 'utf8');
    return edits
      .filter(({ find }) => text.split(find).length !== 2)
      .map(({ find }) => `${name}: ${file} does not hold ${JSON.stringify(find)} once`);
  });
  assert.deepEqual(astray, []);
});

test('each is a program still: one that does not parse fails every test, and shows nothing', () => {
  for (const { name, file, edits } of MUTANTS) {
    let text = readFileSync(path.join(ROOT, file), 'utf8');
    for (const { find, replace } of edits) text = text.replace(find, () => replace);
    assert.doesNotThrow(() => stripTypeScriptTypes(text), name);
  }
});

test('each has a name of its own', () => {
  assert.equal(new Set(MUTANTS.map(({ name }) => name)).size, MUTANTS.length);
});

test('each check runs something: a name that no test has any more passes whatever is planted', () => {
  for (const [name, given] of Object.entries(CHECKS)) {
    const at = (given as readonly string[]).indexOf('--test-name-pattern');
    if (at < 0) continue;
    const [pattern = '', file = ''] = given.slice(at + 1);
    assert.ok(readFileSync(path.join(ROOT, file), 'utf8').includes(pattern), `${name}: ${pattern}`);
  }
});
