/** More connections than the system lets an engine have: as many as it can, never a refused start. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { liveSettings } from './launch.ts';
import { CONNECTION_RESERVE, ENGINE_OPEN_FILES } from './limits.ts';
import { mostEngineClients, openFilesLimit } from './open-files.ts';
import { SMALL, world } from './testing.ts';

test('reads the hard limit', () => {
  const head = 'Limit                     Soft Limit           Hard Limit           Units\n';
  const line = (soft: string, hard: string) => `${head}Max open files  ${soft}  ${hard}  files\n`;
  assert.equal(openFilesLimit(line('1024', '20000')), 20_000);
  assert.equal(openFilesLimit(line('1024', 'unlimited')), Number.POSITIVE_INFINITY);
  assert.equal(openFilesLimit(''), Number.POSITIVE_INFINITY);
});

test('a SKU with more connections than open files is created and runs with what there is', async (t) => {
  const most = mostEngineClients();
  const { store, create, primary, link } = await world(t);
  // The kernel's own bound on the limit is 2^30: more than any machine has.
  const id = await create({}, { ...SMALL, maxConnections: 2 ** 30, replicas: 1 });
  const engine = await link(primary(id));
  const { maxclients } = await engine.readSettings(['maxclients'], 1_000);
  engine.close();
  assert.equal(Number(maxclients), most);
  const database = store.databaseById(id);
  assert.ok(database !== null && most + ENGINE_OPEN_FILES < 2 ** 30);
  const few = { ...database, sizing: { ...database.sizing, maxConnections: 100 } };
  assert.equal(liveSettings(few)['maxclients'], String(100 + CONNECTION_RESERVE));
});
