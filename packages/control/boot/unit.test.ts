import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { isUnitOver } from './unit.ts';

const PARENT = 2 ** 22 + 1;
const unit = (main: number) => ({ INVOCATION_ID: '1', SYSTEMD_EXEC_PID: String(main) });

async function program(t: TestContext): Promise<ChildProcess & { pid: number }> {
  const child = spawn('sleep', ['60'], { stdio: 'ignore' });
  await once(child, 'spawn');
  t.after(() => child.kill('SIGKILL'));
  return child as ChildProcess & { pid: number };
}

test('outside of systemd there is none', async () => {
  assert.equal(await isUnitOver({}, PARENT), false);
});

test('its main process was the parent, or is not named', async () => {
  assert.equal(await isUnitOver(unit(process.pid), process.pid), true);
  assert.equal(await isUnitOver({ INVOCATION_ID: '1' }, PARENT), true);
});

test('its main process is around the parent, and ends behind it', async (t) => {
  const main = await program(t);
  const over = isUnitOver(unit(main.pid), PARENT);
  main.kill('SIGKILL');
  assert.equal(await over, true);
});

test('its main process goes on: a terminal', async (t) => {
  const main = await program(t);
  assert.equal(await isUnitOver(unit(main.pid), PARENT), false);
});
