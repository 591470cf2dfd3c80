/** A question in a terminal. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { test } from 'node:test';
import { EXIT } from '../exit-codes.ts';
import { moduleFile } from '../self.ts';
import { Rig } from '../testing/rig.ts';

test('a question that is ended by Ctrl-D is answered with no', async (t) => {
  const rig = new Rig();
  t.after(() => rig.clean());
  mkdirSync(rig.home, { mode: 0o700 });
  const command = `exec ${process.execPath} ${moduleFile('cli/main')} uninstall --keep-engines`;
  const { status, stdout } = spawnSync('script', ['-qec', command, '/dev/null'], {
    env: rig.env,
    input: '\x04',
    encoding: 'utf8',
  });
  assert.equal(status, EXIT.interrupted, stdout);
  assert.match(stdout, /Nothing was changed\. \(not-confirmed\)/);
  assert.ok(existsSync(rig.home));
});
