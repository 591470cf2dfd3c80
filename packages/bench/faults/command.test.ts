import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { exitOf, inspectProcess, requireRef, until } from '../processes.ts';
import { bytesOf, durationOf, faultCommand } from './command.ts';
import type { FaultError } from './faults.ts';

const never = new AbortController().signal;

function sleeper() {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => undefined, 100)'], {
    stdio: 'ignore',
  });
  return { child, ref: requireRef(child.pid ?? 0), exit: exitOf(child) };
}

test('stop: says when it is on and when it is undone; Ctrl-C ends it early', async () => {
  const { child, ref, exit } = sleeper();
  const said: string[] = [];
  const stop = new AbortController();
  const running = faultCommand(
    ['stop', String(ref.pid), '--for', '60s'],
    (line) => said.push(line),
    stop.signal,
  );
  await until('it is stopped', () => inspectProcess(ref).state === 'stopped');
  stop.abort();
  await running;
  await until('it goes on', () => inspectProcess(ref).state === 'running');
  assert.deepEqual(said, [`stop ${ref.pid}: on`, `stop ${ref.pid}: undone`]);
  await faultCommand(['kill', String(ref.pid)], (line) => said.push(line), never);
  assert.equal(await exit, 'SIGKILL');
  child.unref();
});

test('wrong calls are refused by name and change nothing', async () => {
  const refused = async (args: string[], code: string): Promise<void> => {
    await assert.rejects(
      faultCommand(args, () => undefined, never),
      (error: FaultError) => error.code === code,
      args.join(' '),
    );
  };
  await refused([], 'bad-fault');
  await refused(['explode', '1', '--for', '1s'], 'bad-fault');
  await refused(['stop', '0', '--for', '1s'], 'process-gone');
  await refused(['stop', String(process.pid)], 'bad-fault');
  await refused(['stop', String(process.pid), '--for', '5'], 'bad-fault');
  await refused(['stop', String(process.pid), '--nope'], 'bad-fault');
  await refused(['network', '--for', '1s'], 'bad-fault');
  await refused(['network', '--to', 'h:1', '--cut', 'left', '--for', '1s'], 'bad-fault');
  await refused(['full-disk', '--for', '1s'], 'bad-fault');
});

test('times and sizes are read with their units', () => {
  assert.equal(durationOf('500ms', 'for'), 500);
  assert.equal(durationOf('1.5s', 'for'), 1_500);
  assert.equal(durationOf('1h', 'for'), 3_600_000);
  assert.equal(bytesOf('1KB', 'rate'), 1024);
  assert.equal(bytesOf('2mb', 'bytes'), 2 * 2 ** 20);
  for (const bad of ['', '-1s', '1', '1d', '25h', undefined]) {
    assert.throws(() => durationOf(bad, 'for'), /--for is a time/);
  }
  for (const bad of ['', 'x', '-1', '0', undefined]) {
    assert.throws(() => bytesOf(bad, 'rate'), /--rate is a size/);
  }
});
