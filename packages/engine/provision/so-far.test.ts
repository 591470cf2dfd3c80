import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventually } from '../testing.ts';
import { megabytes, tellingBytes } from './so-far.ts';

test('what comes into a folder is told while the work goes on, without what was there', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'so-far-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, 'before'), 'x'.repeat(7_000_000));
  const told: string[] = [];
  const done = await tellingBytes(
    [folder, join(folder, 'not-there')],
    (bytes) => told.push(megabytes(bytes)),
    async () => {
      mkdirSync(join(folder, 'partial'));
      writeFileSync(join(folder, 'partial', 'a'), 'x'.repeat(1_200_000));
      await eventually('it is told', () => told.length === 1);
      appendFileSync(join(folder, 'partial', 'a'), 'x'.repeat(600_000));
      await eventually('it is told again', () => told.length === 2);
      return 'done';
    },
  );
  assert.equal(done, 'done');
  assert.deepEqual(told, ['1.2 MB', '1.8 MB']);
});
