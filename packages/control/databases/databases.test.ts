import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { eventually } from '../../engine/testing.ts';
import { world } from './testing.ts';

describe('databases on real engines', () => {
  test('a pair is born, serves, and heals after each of its engines was killed', async (t) => {
    const w = await world(t);
    const began = Date.now();
    const id = await w.create();
    t.diagnostic(`created and in sync after ${Date.now() - began} ms`);
    assert.equal(w.operation(id, 'CreateDatabase').status, 'Succeeded');
    const first = w.primary(id);
    const link = await w.link(first);
    await link.command(['SET', 'a', '1'], 1_000);
    await link.command(['WAIT', '1', '1000'], 2_000);
    process.kill(first.process?.pid ?? 0, 'SIGKILL');
    const killed = Date.now();
    await eventually(
      'another primary',
      () => w.shard(id).phase === 'serving' && w.shard(id).primary !== first.id,
    );
    t.diagnostic(`another primary after ${Date.now() - killed} ms`);
    const second = await w.link(w.primary(id));
    assert.equal(String(await second.command(['GET', 'a'], 1_000)), '1');
    await w.settled(id);
    t.diagnostic(`whole again after ${Date.now() - killed} ms`);
    assert.equal(w.store.instances(id).length, 2);
    assert.ok(w.store.events({ limit: 50 }).some((e) => e.reason === 'shard-promoted'));
  });
});
