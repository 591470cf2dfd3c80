/** On a disk that is full to the last byte: a small one, mounted for one process and seen by nobody else. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

const SCRIPT = join(import.meta.dirname, 'testing', 'full-disk.ts');
/** The reserve is made where 64 MB are free. */
const DISK = '96m';
const UNSHARE = ['--user', '--map-root-user', '--mount'];

const mayMount = spawnSync('unshare', [...UNSHARE, 'true']).status === 0;
const skip = mayMount ? false : 'this machine lets nobody mount in a name space of his own';

/** Runs the modes one after the other, a process each, on one new disk. */
function onSmallDisk(...modes: string[]): Record<string, boolean>[] {
  const home = mkdtempSync(join(tmpdir(), 'reserve-'));
  const node = `'${process.execPath}' --disable-warning=ExperimentalWarning '${SCRIPT}' '${home}'`;
  const runs = modes.map((mode) => `${node} ${mode} && echo`).join(' && ');
  const script = `mount -t tmpfs -o size=${DISK} tmpfs '${home}' && ${runs}`;
  try {
    const said = execFileSync('unshare', [...UNSHARE, 'sh', '-c', script], { encoding: 'utf8' });
    return said
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, boolean>);
  } finally {
    rmSync(home, { recursive: true });
  }
}

test('who serves is recorded on a full disk; what a user wants is refused', { skip }, () => {
  assert.deepEqual(onSmallDisk('running'), [
    {
      kept: true,
      aUsersChange: false,
      stillHeld: true,
      aPromotion: true,
      andTheNext: true,
      heldAfter: false,
    },
  ]);
});

test('the next start has the room that it needs, and has none without the reserve', {
  skip,
}, () => {
  const [filled, without, next] = onSmallDisk('fill', 'without-reserve', 'next');
  assert.deepEqual([filled, without, next], [{ kept: true }, { opened: false }, { opened: true }]);
});
