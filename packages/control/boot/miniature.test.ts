import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openDatabase } from '../store/open.ts';
import { Store } from '../store/store.ts';
import { miniatureOf } from './miniature.ts';
import { inMiniature } from './warnings.ts';

const NO_SECRETS = {
  seal: (_owner: string, text: string) => text,
  open: (_owner: string, text: string) => text,
};

test('miniature goes on at later starts until it is ended, and the status says so', () => {
  const store = new Store(openDatabase(':memory:'), NO_SECRETS, Date.now);
  assert.equal(miniatureOf(store, undefined, {}), null);
  const small = { memoryFactor: 1 / 16, maxShards: 3 };
  assert.deepEqual(miniatureOf(store, { memoryDivisor: 16, maxShards: 3 }, {}), small);
  assert.deepEqual(miniatureOf(store, undefined, {}), small);
  const [said = ''] = inMiniature(small);
  assert.match(said, /their memory divided by 16, at most 3 shards/);
  assert.match(said, /cinnabar up --miniature off/);
  // The environment is for this start.
  const env = { CINNABAR_MINIATURE: 'memory=0.5' };
  assert.deepEqual(miniatureOf(store, undefined, env), { memoryFactor: 0.5, maxShards: null });
  assert.deepEqual(miniatureOf(store, undefined, {}), small);
  assert.equal(miniatureOf(store, null, env), null);
  assert.equal(miniatureOf(store, undefined, {}), null);
  assert.deepEqual(inMiniature(null), []);
});
