/** Reads from replicas: never older than the bound, never without the session's own writes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually, type RunningEngine } from '../../engine/testing.ts';
import { REPLICA_LAG_MS } from './limits.ts';
import { startProxy } from './testing.ts';
import { KEY, RawClient, startShards } from './testing-engines.ts';

const MS = 3000;

/** GET commands that an engine has executed. */
async function gets(engine: RunningEngine): Promise<number> {
  const text = String(await engine.link.command(['INFO', 'commandstats'], MS));
  return Number(/cmdstat_get:calls=(\d+)/.exec(text)?.[1] ?? 0);
}

test('a session reads its own writes, from replicas only what they have', async (t) => {
  const { views, shards } = await startShards(t, 1, true);
  const running = await startProxy({
    shards: views,
    keys: { default: KEY },
    view: { readFrom: 'replica' },
    workers: 2,
  });
  t.after(() => running.close());
  const [shard] = shards;
  const replica = shard?.replica;
  assert.ok(shard && replica);
  const open = (): Promise<RawClient> => RawClient.open(running.port);
  const readOnReplica = async (client: RawClient): Promise<void> => {
    const before = await gets(replica);
    await eventually('the replica serves reads', async () => {
      for (let i = 0; i < 20; i++) client.send(['GET', 'seen']);
      await client.settled();
      return (await gets(replica)) > before;
    });
  };
  const lags = (): (number | null)[] =>
    running.proxies.flatMap((proxy) =>
      proxy.world.topology.shards.flatMap((each) => [...each.replicas.lags().values()]),
    );

  await t.test('own writes are there at once, in pipelines too', async () => {
    const client = await open();
    await client.ask('SET', 'seen', '0');
    for (let i = 1; i <= 300; i++) {
      client.send(
        ['SET', 'seen', i],
        ['GET', 'seen'],
        ['INCR', 'n'],
        ['GET', 'n'],
        ['GET', 'seen'],
      );
      assert.equal(
        (await client.settled()).toString(),
        `+OK\r\n$${String(i).length}\r\n${i}\r\n:${i}\r\n${`$${String(i).length}\r\n${i}\r\n`.repeat(2)}`,
      );
      if (i % 30 === 0) await readOnReplica(client);
      const [value] = (await client.ask('GET', 'seen')).split('\r\n').slice(1);
      assert.equal(value, String(i));
    }
    client.send(['MULTI'], ['SET', 'seen', 'multi'], ['EXEC'], ['GET', 'seen']);
    assert.match((await client.settled()).toString(), /\r\nmulti\r\n$/);
    await readOnReplica(client);
    client.send(['EVAL', "return redis.call('set', KEYS[1], 'lua')", '1', 'seen'], ['GET', 'seen']);
    assert.match((await client.settled()).toString(), /\r\nlua\r\n$/);
    client.close();
  });

  await t.test(
    'a replica that lags is not read from; what was asked of it is asked again',
    async () => {
      const readers = [await open(), await open()];
      for (const reader of readers) await readOnReplica(reader);
      const writer = await open();
      process.kill(replica.process.pid, 'SIGSTOP');
      await writer.ask('SET', 'seen', 'new');
      const began = performance.now();
      // Some of these are on their way to the replica when it has stopped.
      for (const reader of readers) reader.send(['GET', 'seen'], ['GET', 'seen']);
      for (const reader of readers) {
        for (const value of (await reader.settled()).toString().split('\r\n')) {
          assert.ok(['$3', 'lua', 'new', ''].includes(value), value);
        }
      }
      assert.ok(performance.now() - began < REPLICA_LAG_MS * 6);
      await eventually('the lag is seen', () =>
        lags().every((lag) => lag === null || lag > REPLICA_LAG_MS),
      );
      for (const reader of readers) {
        for (let i = 0; i < 20; i++) assert.equal(await reader.ask('GET', 'seen'), '$3\r\nnew\r\n');
      }
      assert.equal(await writer.ask('GET', 'seen'), '$3\r\nnew\r\n');
      process.kill(replica.process.pid, 'SIGCONT');
      for (const reader of readers) await readOnReplica(reader);
      for (const client of [...readers, writer]) client.close();
    },
  );

  await t.test('per connection: READONLY and READWRITE', async () => {
    running.apply({ readFrom: 'primary' });
    const client = await open();
    const before = await gets(replica);
    for (let i = 0; i < 50; i++) await client.ask('GET', 'seen');
    assert.equal(await gets(replica), before);
    assert.equal(await client.ask('READONLY'), '+OK\r\n');
    await readOnReplica(client);
    assert.equal(await client.ask('READWRITE'), '+OK\r\n');
    const after = await gets(replica);
    for (let i = 0; i < 50; i++) await client.ask('GET', 'seen');
    assert.equal(await gets(replica), after);
    client.close();
  });
});
