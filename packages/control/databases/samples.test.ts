/** What of an engine's words is put on record, and that an idle one costs no look at the records. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EngineFacts } from '../../engine/contract.ts';
import { newCluster, newDatabase } from '../simulation/records.ts';
import { openDatabase } from '../store/open.ts';
import type { InstanceRecord, ShardRecord } from '../store/records.ts';
import { Store } from '../store/store.ts';
import { DatabaseRecords } from './database-records.ts';
import type { ExecutorDeps } from './deps.ts';
import { Samples } from './samples.ts';

const NO_SECRETS = {
  seal: (_owner: string, text: string) => text,
  open: (_owner: string, text: string) => text,
};

function scene(): { store: Store; samples: Samples; looks: () => number } {
  const store = new Store(openDatabase(':memory:'), NO_SECRETS, Date.now);
  const shard = { databaseId: 'd', index: 0, phase: 'serving', primary: 'p' } as ShardRecord;
  store.write(() => {
    store.putGroup({
      name: 'default',
      location: 'local',
      tags: {},
      state: 'Succeeded',
      createdAt: 1,
    });
    store.putCluster(newCluster('c', 1));
    store.putDatabase(newDatabase('d', 'c', 'NoCluster', 1, 1, 1));
    store.putShard(shard);
    for (const id of ['p', 'r']) {
      const record = { id, databaseId: 'd', shard: 0, phase: 'running', offset: 0 };
      store.putInstance(record as InstanceRecord);
    }
  });
  let looks = 0;
  const instance = store.instance.bind(store);
  store.instance = (id) => {
    looks++;
    return instance(id);
  };
  const records = new DatabaseRecords({ store } as unknown as ExecutorDeps, 'd');
  return { store, samples: new Samples(records), looks: () => looks };
}

const says = (change: Partial<EngineFacts>): EngineFacts =>
  ({ role: 'replica', replicationId: 'x', offset: 7, ...change }) as EngineFacts;

test('its stream is kept; the rest of what it says may move without a look at the records', () => {
  const { store, samples, looks } = scene();
  samples.take('r', says({}));
  assert.equal(store.instance('r')?.offset, 7);
  const before = looks();
  for (const usedMemoryBytes of [1, 2, 3]) samples.take('r', says({ usedMemoryBytes }));
  assert.equal(looks(), before);
  samples.take('r', says({ offset: 8 }));
  assert.equal(store.instance('r')?.offset, 8);
});

test('what could not be kept then is kept later, also if it says the same', () => {
  const { store, samples } = scene();
  samples.take('r', says({ syncing: true }));
  assert.equal(store.instance('r')?.offset, 0);
  samples.take('r', says({}));
  assert.equal(store.instance('r')?.offset, 7);

  const started = store.instance('p');
  assert.ok(started !== null);
  store.write(() => store.putInstance({ ...started, phase: 'planned' }));
  samples.take('p', says({ role: 'primary' }));
  store.write(() => store.putInstance(started));
  samples.take('p', says({ role: 'primary' }));
  assert.deepEqual([store.instance('p')?.offset, store.shard('d', 0)?.offset], [7, 7]);
});
