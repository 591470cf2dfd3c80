/** `cinnabar down` when it is not alone, and when the control process that stops is killed. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { foldersFrom } from '../folders.ts';
import { BACK_TIMEOUT_MS } from '../limits.ts';
import { processesOf } from '../orphans.ts';
import { Rig, until } from '../testing/rig.ts';

const rig = new Rig();
after(() => rig.clean());

function leftOver(): string[] {
  return processesOf(foldersFrom(rig.env)).map(({ pid, command }) => `${pid} ${command}`);
}

test('control is killed in the stop: nobody is waited for who will not come', async () => {
  const { env } = rig;
  env['CINNABAR_FAILPOINT'] = 'record-stop:before=crash';
  const up = rig.up('--quickstart');
  delete env['CINNABAR_FAILPOINT'];
  await up.says('cinnabar connect quickstart');
  const began = Date.now();
  const { code, err } = await rig.run('down');
  assert.equal(code, 0, err);
  assert.match(err, /left by a control process that was killed/);
  assert.ok(Date.now() - began < BACK_TIMEOUT_MS / 2, `${Date.now() - began} ms`);
  assert.deepEqual(leftOver(), []);
  assert.equal(await up.ended, 1);
});

test('who finds a stop under way waits for its end, and a start for its stop', async () => {
  const up = rig.up();
  await up.says('Engine'); // the control process is there, and has no API yet
  const early = rig.run('down');
  await up.says('Management API closed');
  const { code, err } = await early;
  assert.equal(code, 0, err);
  assert.equal(await up.ended, 0);

  const again = rig.up();
  await again.says('quickstart');
  const { pid } = rig.control();
  const held = until(
    () => /Management API closed/.test(again.err),
    () => again.err,
  ).then(() => process.kill(pid, 'SIGSTOP'));
  const first = rig.down();
  await held;
  const others = [rig.down(), rig.down()];
  for (const other of others) await other.says('under way');
  process.kill(pid, 'SIGCONT');
  for (const down of [first, ...others]) {
    assert.equal(await down.ended, 0, down.err);
    assert.match(down.err, /Stopped\./);
  }
  assert.equal(await again.ended, 0);
  assert.deepEqual(leftOver(), []);
});
