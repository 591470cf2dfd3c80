/** The parent of the control process is killed: something starts control again all the same. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { foldersFrom } from '../folders.ts';
import { isAlive, processesOf } from '../orphans.ts';
import { Rig, until } from '../testing/rig.ts';

const rig = new Rig();
after(() => rig.clean());

/** The pid of the control process that answers; 0 while there is none. */
function controlPid(): number {
  try {
    return rig.control().pid;
  } catch {
    return 0; // it is being written
  }
}

test('killed: the next control process has a parent again, and a crash of it is healed', async () => {
  // As in a terminal of a desktop that systemd started: that goes on, and starts nothing again.
  rig.env['INVOCATION_ID'] = '1';
  rig.env['SYSTEMD_EXEC_PID'] = String(process.pid);
  const up = rig.up();
  await up.says('No cache yet');
  const first = controlPid();
  up.child.kill('SIGKILL');
  await up.ended;
  await until(
    () => !isAlive(first) && ![0, first].includes(controlPid()) && isAlive(controlPid()),
    () => `control ${first} -> ${controlPid()}`,
  );
  assert.equal((await rig.run('list')).code, 0);

  const second = controlPid();
  process.kill(second, 'SIGKILL');
  await until(
    () => ![0, second].includes(controlPid()) && isAlive(controlPid()),
    () => `control ${second} -> ${controlPid()}`,
  );
  const down = await rig.run('down');
  assert.equal(down.code, 0, down.err);
  assert.deepEqual(processesOf(foldersFrom(rig.env)), []);
});
