/** Who is believed to start a control process again whose parent has ended. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { type Reviver, reviverOf } from './reviver.ts';

/** A process with a parent that is one of `env`; `$$` there is the parent. */
async function family(
  t: TestContext,
  env: string,
): Promise<{ reviver: Reviver; orphan: () => Promise<void> }> {
  const script = `${env} exec sh -c 'sleep 60 & echo $!; wait'`;
  const parent = spawn('sh', ['-c', script], {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { PATH: process.env['PATH'] },
  });
  const [line] = (await once(parent.stdout, 'data')) as [Buffer];
  const child = Number(String(line));
  t.after(() => process.kill(child, 'SIGKILL'));
  const reviver = reviverOf(child);
  const orphan = async (): Promise<void> => {
    const ended = once(parent, 'exit');
    parent.kill('SIGKILL');
    await ended;
  };
  return { reviver, orphan };
}

for (const { what, env, back } of [
  { what: 'of a terminal', env: '', back: false },
  { what: 'of a unit', env: 'INVOCATION_ID=1 SYSTEMD_EXEC_PID=$$', back: true },
  { what: 'of a unit of an older systemd', env: 'INVOCATION_ID=1', back: true },
  {
    what: 'of a terminal that is a unit',
    env: `INVOCATION_ID=1 SYSTEMD_EXEC_PID=${process.pid}`,
    back: false,
  },
]) {
  test(`a parent ${what}: while it is there, and ${back ? '' : 'not '}when it is gone`, async (t) => {
    const { reviver, orphan } = await family(t, env);
    assert.equal(reviver(), true);
    await orphan();
    assert.equal(reviver(), back);
  });
}

test('of a process that is gone, nobody', () => {
  assert.equal(reviverOf(2 ** 22 + 1)(), false);
});
