/**
 * Completion, in each shell that is installed here. Of one that is not only the script itself can be
 * looked at, and the name of the test says so.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Output } from '../output/output.ts';
import { buildProgram } from '../program.ts';
import { script } from './script.ts';
import { completions, installed, type Shell } from './testing.ts';

const silent = { write: () => true };
const tree = buildProgram(new Output(silent, silent, {}, false));
const offers = (shell: Shell, line: string): string[] =>
  completions(shell, script(shell, tree), line, { PATH: process.env['PATH'], TERM: 'dumb' });

test('every command and each of its options is in all scripts', () => {
  for (const shell of ['bash', 'zsh', 'fish'] as const) {
    const text = script(shell, tree);
    for (const command of tree.commands) assert.match(text, new RegExp(`\\b${command.name()}\\b`));
    assert.match(text, /disconnect/);
  }
  assert.match(script('zsh', tree), /^#compdef cinnabar\n/);
});

for (const shell of ['bash', 'fish'] as const) {
  if (!installed(shell)) continue;
  test(`${shell} completes commands, options and nothing it should not`, () => {
    assert.ok(offers(shell, 'cinnabar ').includes('doctor'));
    assert.deepEqual(offers(shell, 'cinnabar keys ').slice(0, 2), ['list', 'regenerate']);
    assert.ok(offers(shell, 'cinnabar keys regenerate --').includes('--disconnect'));
    assert.ok(!offers(shell, 'cinnabar list --').includes('--disconnect'));
    assert.deepEqual(offers(shell, 'cinnabar create x --policy N'), ['NoCluster']);
    assert.deepEqual(offers(shell, 'cinnabar update x --ha o').toSorted(), ['off', 'on']);
    assert.ok(!offers(shell, 'cinnabar create x --port ').includes('--policy'));
    assert.deepEqual(offers(shell, 'cinnabar completion z'), ['zsh']);
  });
}

if (installed('zsh')) {
  test('zsh completes from the first Tab on, and nothing it should not', () => {
    assert.deepEqual(offers('zsh', 'cinnabar keys reg'), ['cinnabar keys regenerate']);
    const whole = 'cinnabar keys regenerate --disconnect';
    assert.deepEqual(offers('zsh', whole.slice(0, -4)), [whole]);
    assert.deepEqual(offers('zsh', 'cinnabar list --disc'), ['cinnabar list --disc']);
    const policy = 'cinnabar create x --policy NoCluster';
    assert.deepEqual(offers('zsh', policy.slice(0, -4)), [policy]);
  });
}

const absent = (['bash', 'zsh', 'fish'] as const).filter((shell) => !installed(shell));
test(`shells that are not installed here, so nothing was completed in them: ${absent.join(', ') || 'none'}`, () => {
  assert.ok(absent.length < 3);
});
