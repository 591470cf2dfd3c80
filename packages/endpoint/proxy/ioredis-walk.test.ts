/** A walk over what ioredis' documentation shows, through two workers over three shards. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Redis } from 'ioredis';
import { eventually } from '../../engine/testing.ts';
import { startProxy } from './testing.ts';
import { KEY, startShards } from './testing-engines.ts';

type Make = (options?: object) => Redis;

async function rooms(t: TestContext): Promise<Make> {
  const { views } = await startShards(t, 3);
  const running = await startProxy({ shards: views, keys: { default: KEY }, workers: 2 });
  const made: Redis[] = [];
  t.after(async () => {
    for (const redis of made) redis.disconnect();
    await running.close();
  });
  return (options = {}) => {
    const redis = new Redis({ host: '127.0.0.1', port: running.port, password: KEY, ...options });
    redis.on('error', () => undefined);
    made.push(redis);
    return redis;
  };
}

test('ioredis', async (t) => {
  const make = await rooms(t);
  const redis = make();

  await t.test('basics, binary values, expiry, arguments in every form', async () => {
    assert.equal(await redis.set('k', 'v', 'EX', 100, 'NX'), 'OK');
    assert.equal(await redis.set('k', 'w', 'NX'), null);
    assert.equal(await redis.set('k', 'x', 'EX', 100, 'GET'), 'v');
    const bytes = Buffer.from([0, 255, 13, 10]);
    await redis.set('bytes', bytes);
    assert.deepEqual(await redis.getBuffer('bytes'), bytes);
    await redis.mset({ m1: '1', m2: '2' });
    await redis.mset(new Map([['m3', '3']]));
    assert.deepEqual(await redis.mget('m1', 'm2', 'm3', 'm4'), ['1', '2', '3', null]);
    await redis.hset('user', { name: 'Ada', age: '36' });
    assert.deepEqual(await redis.hgetall('user'), { name: 'Ada', age: '36' });
    await redis.zadd('scores', '1', 'one', '2', 'dos', '4', 'quatro');
    assert.deepEqual(await redis.zrange('scores', '0', '10', 'WITHSCORES'), [
      'one',
      '1',
      'dos',
      '2',
      'quatro',
      '4',
    ]);
    assert.equal(
      await redis.call('JSON.GET', 'x').catch((e: Error) => e.message.slice(0, 19)),
      'ERR unknown command',
    );
    await assert.rejects(redis.hget('k', 'f'), /WRONGTYPE/);
  });

  await t.test('pipelines, transactions in each of their forms', async () => {
    const results = await redis
      .pipeline([
        ['set', 'p', '1'],
        ['get', 'p'],
        ['incr', 'user'],
      ])
      .exec();
    assert.deepEqual(results?.slice(0, 2), [
      [null, 'OK'],
      [null, '1'],
    ]);
    assert.match(String(results?.[2]?.[0]), /WRONGTYPE/);
    assert.deepEqual(await redis.multi().set('{t}a', '1').get('{t}a').exec(), [
      [null, 'OK'],
      [null, '1'],
    ]);
    await redis.multi({ pipeline: false });
    assert.equal(await redis.set('{t}b', '2'), 'QUEUED' as never);
    assert.deepEqual(await redis.exec(), [[null, 'OK']]);
    const spoiled = redis.multi().call('set', '{t}a').set('{t}a', '1');
    await assert.rejects(spoiled.exec(), /EXECABORT/);
    await redis.watch('{t}w');
    await make().set('{t}w', 'somebody else');
    await eventually('it is there', async () => (await make().get('{t}w')) !== null);
    assert.equal(await redis.multi().set('{t}w', 'mine').exec(), null);
  });

  await t.test('automatic pipelines, key prefixes, scripts, transformers', async () => {
    const auto = make({ enableAutoPipelining: true, keyPrefix: 'app:' });
    const values = Array.from({ length: 300 }, (_, i) => String(i));
    await Promise.all(values.map((value) => auto.set(value, value)));
    assert.deepEqual(await Promise.all(values.map((value) => auto.get(value))), values);
    assert.equal(await redis.get('app:7'), '7');
    const scripted = make({
      scripts: { add: { numberOfKeys: 1, lua: "return redis.call('incrby', KEYS[1], ARGV[1])" } },
    }) as Redis & { add(key: string, by: number): Promise<number> };
    assert.deepEqual(await Promise.all([scripted.add('sum', 2), scripted.add('sum', 3)]), [2, 5]);
    const piped = scripted.pipeline() as unknown as {
      add(key: string, by: number): typeof piped;
      exec(): Promise<unknown>;
    };
    assert.deepEqual(await piped.add('sum', 1).add('sum', 1).exec(), [
      [null, 6],
      [null, 7],
    ]);
  });

  await t.test('publish and subscribe, patterns, sharded channels, MONITOR', async () => {
    const heard: string[] = [];
    const listener = make();
    listener.on('message', (channel, message) => heard.push(`${channel} ${message}`));
    listener.on('pmessage', (pattern, channel, message) =>
      heard.push(`${pattern} ${channel} ${message}`),
    );
    listener.on('smessage', (channel, message) => heard.push(`s ${channel} ${message}`));
    assert.equal(await listener.subscribe('news', 'music'), 2);
    assert.equal(await listener.psubscribe('n?ws'), 3);
    await listener.ssubscribe('orders');
    assert.equal(await redis.publish('news', 'hello'), 2);
    assert.equal(await redis.spublish('orders', 'first'), 1);
    const expected = ['n?ws news hello', 'news hello', 's orders first'];
    await eventually('all three', () => heard.length === 3);
    assert.deepEqual(heard.sort(), expected);
    await listener.unsubscribe('news', 'music');
    await listener.punsubscribe('n?ws');
    await listener.sunsubscribe('orders');
    assert.equal(await listener.get('k'), 'x');
    const seen: string[][] = [];
    const monitor = await make().monitor();
    monitor.on('monitor', (_time: string, args: string[]) => seen.push(args));
    await eventually('it shows', async () => {
      await redis.set('watched', 'yes');
      return seen.some((args) => args.join(' ') === 'set watched yes');
    });
    monitor.disconnect();
  });

  await t.test('streams: of scans, and of the server', async () => {
    const keys = Array.from({ length: 200 }, (_, i) => `walk:${i}`);
    await redis.mset(new Map(keys.map((key) => [key, '1'])));
    const seen = new Set<string>();
    for await (const some of redis.scanStream({ match: 'walk:*', count: 20, type: 'string' })) {
      for (const key of some) seen.add(key);
    }
    assert.equal(seen.size, 200);
    await redis.hset('large', Object.fromEntries(keys.map((key) => [key, '1'])));
    let fields = 0;
    for await (const some of redis.hscanStream('large')) fields += some.length;
    assert.equal(fields, 400);
    const reader = make();
    const read = reader.xread('BLOCK', 5000, 'STREAMS', 'stream', '$');
    await eventually('it came', async () => {
      await redis.xadd('stream', '*', 'field', 'value');
      return Promise.race([
        read.then(() => true),
        new Promise((r) => setImmediate(() => r(false))),
      ]);
    });
    assert.deepEqual((await read)?.[0]?.[1][0]?.[1], ['field', 'value']);
    const popped = reader.blpop('{list}a', '{list}b', 5);
    await redis.rpush('{list}b', 'x');
    assert.deepEqual(await popped, ['{list}b', 'x']);
  });

  await t.test(
    'life of a connection: lazy, offline queue, names, duplicates, reconnection',
    async () => {
      const lazy = make({ lazyConnect: true, connectionName: 'lazy', db: 0 });
      assert.equal(lazy.status, 'wait');
      assert.equal(await lazy.ping(), 'PONG');
      assert.equal(await lazy.client('GETNAME'), 'lazy');
      const twin = lazy.duplicate();
      assert.equal(await twin.client('GETNAME'), 'lazy');
      assert.equal(String(await redis.client('LIST')).split(' name=lazy').length, 3);
      const again = new Promise((resolve) => lazy.once('ready', resolve));
      await redis.client('KILL', 'ID', Number(await lazy.client('ID')));
      await again;
      assert.equal(await lazy.get('k'), 'x');
      assert.equal(await lazy.quit(), 'OK');
      twin.disconnect();
      await assert.rejects(make({ enableOfflineQueue: false }).get('k'), /isn't writeable/);
      const wrong = make({ password: 'wrong', maxRetriesPerRequest: 0, retryStrategy: () => null });
      await assert.rejects(wrong.get('k'), /WRONGPASS|NOAUTH/);
    },
  );
});
