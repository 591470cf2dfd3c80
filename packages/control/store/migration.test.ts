/** The store over time: an older schema comes forward after a copy, a step that fails changes nothing. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, test } from 'node:test';
import { openDatabase } from './open.ts';
import { MIGRATIONS } from './schema.ts';

const folder = mkdtempSync(join(tmpdir(), 'cinnabar-migration-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const FIRST = MIGRATIONS.slice(0, 1);
const NEXT = [...MIGRATIONS, "ALTER TABLE meta ADD COLUMN note TEXT NOT NULL DEFAULT 'new'"];

function versionOf(file: string): number {
  const db = new DatabaseSync(file);
  const row = db.prepare('PRAGMA user_version').get();
  db.close();
  return Number(row?.['user_version']);
}

/** A store of schema 1 with a shard, as the first build left it. */
function firstStore(name: string): string {
  const file = join(folder, name);
  const db = openDatabase(file, FIRST);
  db.exec(`INSERT INTO meta VALUES ('a', 'kept');
    INSERT INTO clusters VALUES ('c', 'default', 'c', '{}');
    INSERT INTO databases VALUES ('d', 'c', '{"settings":{"azureStrict":true}}');
    INSERT INTO instances VALUES ('i', 'd', '{"port":8500}');
    INSERT INTO operations VALUES (1, 'o', 'c', 'd', 0, '{"steps":[
      {"name":"a","state":"done","startedAt":4,"endedAt":9,"detail":"x"},
      {"name":"b","state":"done","startedAt":0,"endedAt":9},
      {"name":"c","state":"running","startedAt":9,"endedAt":null},
      {"name":"d","state":"running","startedAt":0,"endedAt":null},
      {"name":"e","state":"failed","startedAt":0,"endedAt":9}]}');
    INSERT INTO operations VALUES (2, 'p', 'c', 'd', 1, '{"steps":[]}');
    INSERT INTO shards VALUES ('d', 0, '{"index":0,"phase":"serving"}')`);
  db.close();
  return file;
}

test('schema 1 comes forward to what this build knows, and a copy of it is kept', () => {
  const file = firstStore('forward.db');
  const db = openDatabase(file);
  const bodyOf = (table: string) =>
    JSON.parse(String(db.prepare(`SELECT body FROM ${table}`).get()?.['body']));
  const shard = {
    index: 0,
    phase: 'serving',
    lossAccepted: null,
    membership: 'member',
    handover: null,
    dataLost: null,
  };
  assert.deepEqual(bodyOf('shards'), shard);
  assert.deepEqual(bodyOf('instances'), { port: 8500, plainPort: 0 });
  assert.deepEqual(bodyOf('databases'), {
    settings: { azureStrict: true, guard: [] },
    scaling: null,
    config: {},
    maintenance: null,
    upgrade: null,
  });
  assert.deepEqual(bodyOf('operations').steps, [
    { name: 'a', state: 'done', startedAt: 4, endedAt: 9, detail: 'x' },
    { name: 'b', state: 'done', startedAt: 9, endedAt: 9 },
    { name: 'c', state: 'running', startedAt: 9, endedAt: null },
    { name: 'd', state: 'waiting', startedAt: null, endedAt: null },
    { name: 'e', state: 'waiting', startedAt: null, endedAt: null },
  ]);
  const other = db.prepare("SELECT body FROM operations WHERE id = 'p'").get();
  assert.equal(other?.['body'], '{"steps":[]}');
  db.close();
  assert.equal(versionOf(file), MIGRATIONS.length);
  assert.equal(versionOf(`${file}.schema-1`), 1);
  const copy = new DatabaseSync(`${file}.schema-1`);
  assert.equal(copy.prepare('SELECT value FROM meta').get()?.['value'], 'kept');
  copy.close();
});

test('a step that is to come is applied once, over all that were before', () => {
  const file = firstStore('next.db');
  for (const _ of [1, 2]) {
    const db = openDatabase(file, NEXT);
    assert.deepEqual(
      { ...db.prepare('SELECT * FROM meta').get() },
      {
        key: 'a',
        value: 'kept',
        note: 'new',
      },
    );
    db.close();
  }
  assert.throws(() => openDatabase(file), { code: 'store-too-new' });
  assert.equal(versionOf(file), NEXT.length);
});

test('a step that fails leaves the store as it was', () => {
  const file = firstStore('broken.db');
  assert.throws(() =>
    openDatabase(file, [
      ...FIRST,
      "UPDATE meta SET value = 'lost'; INSERT INTO nowhere VALUES (1)",
    ]),
  );
  assert.equal(versionOf(file), 1);
  const db = openDatabase(file);
  assert.equal(db.prepare('SELECT value FROM meta').get()?.['value'], 'kept');
  db.close();
});
