/** Real client libraries, as an application uses them, over three shards. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Redis as IoRedis } from 'ioredis';
import { Redis as IoValkey } from 'iovalkey';
import { createClient } from 'redis';
import { eventually } from '../../engine/testing.ts';
import { startProxy } from './testing.ts';
import { KEY, startShards } from './testing-engines.ts';

test('client libraries', async (t) => {
  const { views } = await startShards(t, 3);
  const running = await startProxy({ shards: views, keys: { default: KEY }, workers: 2 });
  t.after(() => running.close());

  const options = {
    host: '127.0.0.1',
    port: running.port,
    password: KEY,
    enableAutoPipelining: true,
  };
  const kinds: readonly (readonly [name: string, make: () => IoRedis])[] = [
    ['ioredis', () => new IoRedis(options)],
    // The fork has the same surface.
    ['iovalkey', () => new IoValkey(options) as unknown as IoRedis],
  ];
  for (const [name, make] of kinds) {
    await t.test(name, async () => {
      const redis = make();
      const subscriber = make();
      const blocked = make();
      await redis.flushall();
      const values = Array.from({ length: 500 }, (_, i) => i);
      await Promise.all(values.map((i) => redis.set(`k${i}`, i)));
      assert.deepEqual(await redis.mget(...values.map((i) => `k${i}`)), values.map(String));
      const piped = await redis
        .pipeline()
        .incr('n')
        .get('k7')
        .hset('h', 'a', 1)
        .lpush('n', 1)
        .exec();
      assert.deepEqual(piped?.slice(0, 3), [
        [null, 1],
        [null, '7'],
        [null, 1],
      ]);
      assert.match(String(piped?.[3]?.[0]), /WRONGTYPE/);
      assert.deepEqual(await redis.multi().incr('{t}a').incr('{t}a').exec(), [
        [null, 1],
        [null, 2],
      ]);
      let scanned = 0;
      for await (const keys of redis.scanStream({ match: 'k*', count: 50 })) scanned += keys.length;
      assert.equal(scanned, 500);
      const messages: string[] = [];
      subscriber.on('message', (_channel: string, message: string) => messages.push(message));
      await subscriber.subscribe('room');
      assert.equal(await redis.publish('room', 'hi'), 1);
      await eventually('a message', () => messages.length === 1);
      const popped = blocked.blpop('list', 5);
      await redis.rpush('list', 'x');
      assert.deepEqual(await popped, ['list', 'x']);
      redis.defineCommand('double', {
        numberOfKeys: 1,
        lua: "return redis.call('incrby', KEYS[1], ARGV[1] * 2)",
      });
      assert.equal(
        await redis.call('evalsha', 'f'.repeat(40), '0').catch(String),
        'ReplyError: NOSCRIPT No matching script.',
      );
      assert.equal(
        await (redis as unknown as { double(k: string, n: number): Promise<number> }).double(
          'd',
          4,
        ),
        8,
      );
      assert.equal(
        await (redis as unknown as { double(k: string, n: number): Promise<number> }).double(
          'd',
          4,
        ),
        16,
      );
      assert.match(await redis.info('server'), /redis_mode:standalone|server_mode:standalone/);
      for (const client of [redis, subscriber, blocked]) client.disconnect();
    });
  }

  for (const protocol of [2, 3] as const) {
    await t.test(`redis, RESP${protocol}`, async () => {
      const redis = createClient({
        socket: { port: running.port, host: '127.0.0.1' },
        password: KEY,
        RESP: protocol,
      });
      redis.on('error', () => undefined);
      await redis.connect();
      await redis.flushAll();
      await redis.hSet('h', { a: '1', b: '2' });
      assert.deepEqual({ ...(await redis.hGetAll('h')) }, { a: '1', b: '2' });
      await redis.zAdd('z', [{ score: 1.5, value: 'm' }]);
      assert.deepEqual(await redis.zRangeWithScores('z', 0, -1), [{ value: 'm', score: 1.5 }]);
      assert.deepEqual(await redis.multi().set('{m}a', '1').get('{m}a').exec(), ['OK', '1']);
      const listener = redis.duplicate();
      await listener.connect();
      const heard: string[] = [];
      await listener.pSubscribe('ch*', (message) => heard.push(message));
      await redis.publish('ch1', 'one');
      await eventually('heard', () => heard.length === 1);
      await listener.pUnsubscribe('ch*');
      let count = 0;
      for await (const keys of redis.scanIterator()) count += keys.length;
      assert.equal(count, 3);
      listener.destroy();
      redis.destroy();
    });
  }
});
