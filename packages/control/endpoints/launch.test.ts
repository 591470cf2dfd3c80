import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { alive, endInOrder, signalTo } from './launch.ts';

test('a process that ended between the look and the signal is ended, and no error', async () => {
  const child = spawn(process.execPath, ['-e', '']);
  const { pid } = child;
  assert.ok(pid !== undefined);
  await once(child, 'exit');
  assert.equal(alive(pid), false);
  signalTo(pid, 'SIGKILL');
  await endInOrder(pid, 1_000);
});
