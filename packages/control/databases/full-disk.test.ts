/** The store has no room, not even what is held in reserve: nobody ends for it, nor is any engine suspected. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { eventually } from '../../engine/testing.ts';
import { ControlError } from '../errors.ts';
import { newOperation } from '../simulation/records.ts';
import { RETRY_MS } from './limits.ts';
import { operationEnded, type World, world } from './testing.ts';

/** As on a disk that is full to the last byte; answers what makes room again. */
function fillDisk({ store }: World): () => void {
  const refuse = (): never => {
    throw new ControlError('DiskFull', 507, 'The data folder has no space left.');
  };
  Object.assign(store, { write: refuse, decide: refuse, note: refuse });
  return () => {
    for (const name of ['write', 'decide', 'note']) Reflect.deleteProperty(store, name);
  };
}

test('what cannot be recorded is tried until there is room; meanwhile everything goes on', async (t) => {
  const w = await world(t);
  const id = await w.create();
  const database = w.store.databaseById(id);
  assert.ok(database !== null);
  const operation = newOperation(randomUUID(), 'Failover', database, Date.now());
  w.store.write(() => w.store.putOperation({ ...operation, input: { shards: [0] } }));
  const makeRoom = fillDisk(w);
  t.after(makeRoom);
  w.databases.wake(id);
  const failed = (what: string) =>
    w.logged().filter((line) => line.includes('DiskFull') && line.includes(what)).length;
  await eventually('the operation could not be recorded', () => failed('follow operations') > 1);
  const link = await w.link(w.primary(id));
  await link.command(['SET', 'k', 'v'], 2_000);
  await eventually('nor could what engines say', () => failed('sample') > 0);
  link.close();
  const conditions = w.databases.shards(id)[0]?.instances.map((each) => each.condition);
  assert.deepEqual(conditions?.toSorted(), ['in-sync', 'serving']);
  makeRoom();
  const ended = await operationEnded(w, operation.id, 10_000);
  assert.equal(ended.status, 'Succeeded');
  const { offset } = w.primary(id);
  await eventually('and what they say is recorded', async () => {
    const again = await w.link(w.primary(id));
    await again.command(['SET', 'k', 'w'], 2_000);
    again.close();
    return w.primary(id).offset > offset;
  });
});

test('ports of shards that cannot be claimed are looked for again after a pause, and found when there is room', async (t) => {
  const w = await world(t);
  const id = await w.create({ policy: 'OSSCluster' }, { replicas: 0 });
  const database = w.store.databaseById(id);
  assert.ok(database !== null);
  const { settings, generation } = database;
  w.store.write(() =>
    w.store.putDatabase({
      ...database,
      generation: generation + 1,
      settings: { ...settings, shardAccess: 'relayed' },
    }),
  );
  const makeRoom = fillDisk(w);
  t.after(makeRoom);
  const began = performance.now();
  w.databases.wake(id);
  const failed = () => w.logged().filter((line) => line.includes('"shard ports"')).length;
  await eventually('it failed', () => failed() > 3);
  const tries = failed();
  assert.ok(performance.now() - began >= (tries - 1) * RETRY_MS - 50, `${tries} tries`);
  makeRoom();
  const owner = `${id}/shard-0`;
  await eventually('it has one', () => w.store.ports().some((each) => each.owner === owner));
});
