/**
 * The words before the last one of a planned switch: whatever was made ready for a successor that is
 * expected, clients go on at the primary that is named in the end, and have lost nothing.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { eventually } from '../../engine/testing.ts';
import { type Successor, SWITCHING } from '../control-protocol.ts';
import { NotHeld, UnknownSuccessor } from '../data-path.ts';
import { type RunningProxy, startProxy, WORKER_COUNTS } from './testing.ts';
import { inSync, instance, KEY, RawClient, startShards, switchPrimary } from './testing-engines.ts';

const HOLD_MS = 4000;

/** Lanes that can be written to now, by the engine that they lead to. */
function openLanes(running: RunningProxy, node: string): number {
  const lanes = running.proxies.flatMap(({ world }) => [...(world.topology.first()?.lanes ?? [])]);
  return lanes.filter((lane) => lane.node === node && lane.open).length;
}

for (const workers of WORKER_COUNTS) {
  describe(`a successor that is expected, ${workers} workers`, { concurrency: false }, () => {
    test('what it needs is there before the release', async (t) => {
      const { shards, views } = await startShards(t, 1, true);
      const [shard] = shards;
      assert.ok(shard?.replica);
      const running = await startProxy({ shards: views, keys: { default: KEY }, workers });
      t.after(() => running.close());
      const [old, next] = [instance(shard.primary).node, instance(shard.replica).node];
      const clients = [await RawClient.open(running.port), await RawClient.open(running.port)];
      for (const client of clients) assert.equal(await client.ask('SET', 'k', '1'), '+OK\r\n');

      await running.prepare('test/0');
      assert.equal(openLanes(running, next), workers, 'connected while clients are served');
      assert.equal(await clients[0]?.ask('SET', 'k', '2'), '+OK\r\n');

      await running.hold('test/0', performance.now() + HOLD_MS);
      for (const client of clients) client.send(['APPEND', 'k', '+']);
      await switchPrimary(shard.primary, shard.replica);
      const successor: Successor = { node: next, reason: SWITCHING };
      running.expect('test/0', successor);
      assert.equal(openLanes(running, old), 0);
      assert.equal(openLanes(running, next), workers);
      assert.ok(running.proxies.every(({ world }) => world.topology.first()?.obstacle !== ''));
      running.release('test/0', successor);
      for (const client of clients)
        assert.match((await client.settled()).toString(), /^:[23]\r\n$/);
      for (const client of clients) client.close();
    });

    for (const end of ['a release without it', 'the end of the hold', 'a snapshot'] as const) {
      test(`it never was one: ${end}`, async (t) => {
        const { shards, views } = await startShards(t, 1, true);
        const [shard] = shards;
        assert.ok(shard?.replica);
        const running = await startProxy({ shards: views, keys: { default: KEY }, workers });
        t.after(() => running.close());
        const successor: Successor = { node: instance(shard.replica).node, reason: SWITCHING };
        const client = await RawClient.open(running.port);
        const listener = await RawClient.open(running.port);
        listener.send(['SSUBSCRIBE', 'c']);
        await eventually('it listens', () => listener.received.includes(':1\r\n'));
        assert.equal(await client.ask('SET', 'k', '1'), '+OK\r\n');

        await running.hold(
          'test/0',
          performance.now() + (end === 'the end of the hold' ? 100 : HOLD_MS),
        );
        client.send(['APPEND', 'k', '+'], ['WAIT', '1', '5000'], ['SPUBLISH', 'c', 'message']);
        running.expect('test/0', successor);
        if (end === 'a release without it') running.release('test/0');
        if (end === 'a snapshot') {
          running.apply({});
          running.release('test/0');
        }
        // Nothing was lost, and nothing is called so: WAIT is about the engine that was there all the time.
        assert.equal((await client.settled()).toString(), ':2\r\n:1\r\n:1\r\n');
        assert.equal(await client.ask('GET', 'k'), '$2\r\n1+\r\n');
        await eventually('the message is heard', () => listener.received.includes('message'));
        assert.equal((await shard.primary.link.facts(HOLD_MS)).keys, 1);

        // It can be expected once more, and then come.
        await inSync(shard.replica);
        await running.hold('test/0', performance.now() + HOLD_MS);
        client.send(['APPEND', 'k', '+']);
        await switchPrimary(shard.primary, shard.replica);
        running.expect('test/0', successor);
        running.release('test/0', successor);
        assert.equal((await client.settled()).toString(), ':3\r\n');
        // The old primary follows the new one, sooner or later: whoever is said to have the write has it.
        const { offset } = await shard.replica.link.facts(HOLD_MS);
        const reached = await client.ask('WAIT', '0', '50');
        assert.match(reached, /^:[01]\r\n$/);
        const follower = await shard.primary.link.facts(HOLD_MS);
        if (reached === ':1\r\n')
          assert.ok(follower.offset >= offset, `${follower.offset}, ${offset}`);
        assert.equal(await client.ask('WAIT', '1', '5000'), ':1\r\n');
        client.close();
        listener.close();
      });
    }
  });
}

test('nobody is expected where clients are not held, and nobody who is not known', async (t) => {
  const { shards, views } = await startShards(t, 1, true);
  const [shard] = shards;
  assert.ok(shard?.replica);
  const running = await startProxy({ shards: views, keys: { default: KEY } });
  t.after(() => running.close());
  const client = await RawClient.open(running.port);
  assert.equal(await client.ask('SET', 'k', '1'), '+OK\r\n');
  const known: Successor = { node: instance(shard.replica).node, reason: SWITCHING };
  assert.throws(() => running.expect('test/0', known), NotHeld);
  assert.equal(await client.ask('SET', 'k', '2'), '+OK\r\n');
  await running.hold('test/0', performance.now() + HOLD_MS);
  const stranger: Successor = { node: 'nobody', reason: SWITCHING };
  assert.throws(() => running.expect('test/0', stranger), UnknownSuccessor);
  running.release('test/0');
  assert.equal(await client.ask('GET', 'k'), '$1\r\n2\r\n');
  client.close();
});
