import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, describe, test } from 'node:test';
import { ControlError } from '../errors.ts';
import { EVENTS_KEPT, TRIM_EVERY } from './limits.ts';
import { lockFolder, openDatabase } from './open.ts';
import type { GroupRecord, NewEvent } from './records.ts';
import { Store } from './store.ts';
import type { Sealer } from './tables.ts';

const folder = mkdtempSync(join(tmpdir(), 'cinnabar-store-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** Reversible and visibly not the text: these tests are about the store, not the cipher. */
const sealer: Sealer = {
  seal: (owner, text) => Buffer.from(`${owner}:${text}`).toString('hex'),
  open: (owner, sealed) =>
    Buffer.from(sealed, 'hex')
      .toString()
      .slice(owner.length + 1),
};
const group: GroupRecord = {
  name: 'Default',
  location: 'local',
  tags: {},
  state: 'Succeeded',
  createdAt: 1,
};
const event: NewEvent = {
  reason: 'engine-died',
  severity: 'warning',
  message: 'engine 1 died',
  clusterId: 'c1',
  databaseId: null,
  shard: null,
  instance: null,
  data: {},
};

const audit = {
  actor: 'api-token',
  method: 'GET',
  path: '/',
  apiVersion: '',
  status: 200,
  code: null,
  requestId: '',
  correlationId: '',
};

describe('store', () => {
  test('a transaction that throws leaves nothing behind, and nobody hears of it', () => {
    const store = new Store(openDatabase(':memory:'), sealer, () => 7);
    const heard: string[] = [];
    store.onEvent((e) => heard.push(e.reason));
    assert.throws(() =>
      store.write(() => {
        store.putGroup(group);
        store.addEvent(event);
        throw new Error('half way');
      }),
    );
    assert.equal(store.group('default'), null);
    assert.deepEqual(heard, []);
    store.write(() => store.addEvent(event));
    assert.deepEqual(heard, ['engine-died']);
    assert.equal(store.events({ limit: 10 })[0]?.at, 7);
  });

  test('on a full disk an event is heard and not kept; what has to be kept is refused', () => {
    const db = openDatabase(':memory:');
    const store = new Store(db, sealer, () => 7);
    const heard: string[] = [];
    store.onEvent((e) => heard.push(`${e.id} ${e.reason}`));
    store.tell(event);
    db.exec('PRAGMA max_page_count = 1'); // of those that it has: no more
    const large = { ...event, data: { text: 'x'.repeat(100_000) } };
    assert.throws(
      () => store.write(() => store.addEvent(large)),
      (e: unknown) => e instanceof ControlError && e.code === 'DiskFull',
    );
    store.tell(large);
    assert.deepEqual(heard, ['1 engine-died', '0 engine-died']);
    assert.equal(store.events({ limit: 10 }).length, 1);
  });

  test('an event that is wrong is an error on any disk', () => {
    const store = new Store(openDatabase(':memory:'), sealer, () => 7);
    const data: Record<string, unknown> = {};
    data['itself'] = data;
    assert.throws(() => store.tell({ ...event, data }), TypeError);
  });

  test('each table is trimmed after so many of its own inserts, whatever else is written', () => {
    const db = openDatabase(':memory:');
    const store = new Store(db, sealer, () => 7);
    store.write(() => store.addEvent({ ...event, message: 'the first' }));
    db.exec(`INSERT INTO events (id, at, body) VALUES (${EVENTS_KEPT + 1}, 7, '{}')`);
    store.write(() => {
      for (let i = 0; i < TRIM_EVERY; i++) {
        store.addAudit(audit);
        store.addEvent(event);
      }
    });
    const all = store.events({ limit: 2 * TRIM_EVERY });
    assert.ok(!all.some((each) => each.message === 'the first'), `${all.length} events`);
  });

  test('writing outside a transaction is a programming error', () => {
    const store = new Store(openDatabase(':memory:'), sealer, () => 0);
    assert.throws(() => store.putGroup(group), /outside a transaction/);
  });

  test('names are found in any case; records come back as they were put', () => {
    const store = new Store(openDatabase(':memory:'), sealer, () => 0);
    store.write(() => store.putGroup(group));
    assert.deepEqual(store.group('dEFAULT'), group);
  });

  test('secrets are sealed in the file', () => {
    const file = join(folder, 'sealed.db');
    const store = new Store(openDatabase(file), sealer, () => 0);
    store.write(() => store.putSecret('d1', { admin: 'hunter2' }));
    assert.deepEqual(store.secret('d1'), { admin: 'hunter2' });
    const raw = new DatabaseSync(file).prepare('SELECT sealed FROM secrets').get();
    assert.ok(!String(raw?.['sealed']).includes('hunter2'));
    store.close();
  });

  test('a newer schema is refused by name and left alone', () => {
    const file = join(folder, 'newer.db');
    openDatabase(file).close();
    const db = new DatabaseSync(file);
    db.exec('PRAGMA user_version = 999');
    db.close();
    assert.throws(
      () => openDatabase(file),
      (e: unknown) => e instanceof ControlError && e.code === 'store-too-new',
    );
  });

  test('one process a folder; the lock ends with its holder, also by SIGKILL', async (t) => {
    const home = join(folder, 'home');
    const script = `import { lockFolder } from ${JSON.stringify(join(import.meta.dirname, 'open.ts'))};
      lockFolder(${JSON.stringify(home)}); console.log('locked'); setInterval(() => {}, 1 << 30);`;
    const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    t.after(() => child.kill('SIGKILL'));
    await once(child.stdout, 'data');
    const refusedAs = (code: string) =>
      assert.throws(
        () => lockFolder(home),
        (e: unknown) => e instanceof ControlError && e.code === code,
      );
    refusedAs('start-under-way');
    const file = join(home, 'control.json');
    writeFileSync(file, JSON.stringify({ pid: child.pid }));
    // It became ready after this process had been asked for.
    refusedAs('start-under-way');
    utimesSync(file, 1, 1);
    refusedAs('home-in-use');
    const ahead = Date.now() / 1_000 + 3_600;
    utimesSync(file, ahead, ahead); // The clock was set back since.
    refusedAs('home-in-use');
    writeFileSync(file, JSON.stringify({ pid: 2 ** 30 }));
    utimesSync(file, 1, 1);
    refusedAs('start-under-way');
    child.kill('SIGKILL');
    await once(child, 'exit');
    lockFolder(home).release();
  });

  test('a folder that cannot be made is a named error', () => {
    assert.throws(
      () => lockFolder(join(folder, 'sealed.db', 'below')),
      (e: unknown) => e instanceof ControlError && e.code === 'home-not-writable',
    );
  });
});
