/** A wrong word must never run nothing and call that clean. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';
import { WrongCall, wholeNumber } from './command.ts';
import { exitOf } from './processes.ts';

function ran(program: string, ...args: string[]): Promise<{ code: unknown; said: string }> {
  return outcome(path.join(import.meta.dirname, program), ...args);
}

async function outcome(...args: string[]): Promise<{ code: unknown; said: string }> {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (data: Buffer) => {
      said += data.toString();
    });
  }
  return { code: await exitOf(child), said };
}

test('wrong words are answered with what there is, and exit code 2', async () => {
  const calls = [
    ['load.ts', ['sessions', '--rate', '0'], /--rate: '0' is not a whole number/],
    ['main.ts', ['nope'], /there is no 'nope'.*lifecycle/],
    ['mutants.ts', ['--only', 'nope'], /there is no 'nope'.*obey-a-stale-epoch/],
    ['soak.ts', ['--fuzz', '10', '--only', 'nope'], /there is no 'nope'.*replies of an engine/],
    ['soak.ts', ['--fuzz', 'abc'], /--fuzz: 'abc' is not a whole number/],
    ['soak.ts', ['--crash-points', '--life', 'nope'], /there is no 'nope'.*failover/],
  ] as const;
  await Promise.all(
    calls.map(async ([program, args, says]) => {
      const { code, said } = await ran(program, ...args);
      assert.equal(code, 2, said);
      assert.match(said, says);
      assert.match(said, /usage: npm run/);
      assert.doesNotMatch(said, /\n {4}at /);
    }),
  );
});

test('what breaks off ends with code 3 and the reason, whatever it has left running', async () => {
  const module = path.join(import.meta.dirname, 'command.ts');
  const ends = [
    'throw new Error("broke");',
    'void Promise.reject(new Error("broke")); await never;',
  ];
  for (const end of ends) {
    const program = `
      import { command } from ${JSON.stringify(module)};
      const never = new Promise(() => {});
      await command('usage', async () => { setInterval(() => {}, 500); ${end} });`;
    const { code, said } = await outcome('--input-type=module', '-e', program);
    assert.equal(code, 3, said);
    assert.match(said, /broke/);
  }
});

test('numbers are taken whole or not at all', () => {
  assert.equal(wholeNumber('--seed', '0', 0, 10), 0);
  for (const text of ['', ' 1', '1e3', '-1', '1.5', '11', 'NaN']) {
    assert.throws(() => wholeNumber('--seed', text, 0, 10), WrongCall, text);
  }
});
