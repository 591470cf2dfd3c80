import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { FILES } from './config.ts';
import { boundLog } from './log-bound.ts';
import { engineRoom, eventually } from './testing.ts';

test('a log at its bound starts anew under the engine that writes it, and the last part is kept', async (t) => {
  const room = await engineRoom(t);
  const { launch, link } = await room.start(await room.launch());
  const file = join(launch.dataDir, FILES.log);
  const before = readFileSync(file, 'utf8');
  await boundLog(launch.dataDir, before.length);
  assert.equal(readFileSync(file, 'utf8'), before, 'within its bound it is left alone');
  await boundLog(launch.dataDir, before.length - 1);
  assert.equal(readFileSync(`${file}.1`, 'utf8'), before);
  await link.command(['BGSAVE'], 2000);
  const after = await eventually('the next line', () => readFileSync(file, 'utf8') || null);
  assert.match(after, /^\d+:\w /, 'at the beginning, not behind a hole');
  assert.ok(!after.includes(before.slice(0, 80)));
  await boundLog(join(room.folder, 'no-such-engine'));
});
