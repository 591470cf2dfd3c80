/** Lives of values and of their writers: what ends with what, and who counts as dead. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { chunked } from '../index.ts';
import { mortal } from '../testing/mortal.ts';
import { startServer, type TestServer } from '../testing/server.ts';
import { until } from '../testing/until.ts';

let server: TestServer;
let redis: Redis;
before(async () => {
  server = await startServer();
  redis = new Redis(server.port);
});
after(async () => {
  redis?.disconnect();
  await server?.stop();
});

test('a life that was set and whose process dies before the chunks had it: collect() ends them', async () => {
  await redis.flushall();
  const options = { chunkBytes: 1_000, graceMs: 0, tornMs: 0 };
  const values = chunked(redis, options);
  for (const ends of [false, true]) {
    await values.set('k', randomBytes(20_000));
    const dead = Promise.withResolvers<void>();
    // GET, HSET, PTTL, EVAL: the manifest has its life; the chunks have none.
    const dying = chunked(mortal(redis, 5, false, dead.resolve), options);
    await Promise.race([dying.expire('k', ends ? 20 : 60_000), dead.promise]);
    if (ends) await until(async () => (await redis.exists('k')) === 0);
    assert.equal(await values.collect(), 1);
    const left = await redis.keys('cc:*');
    assert.equal(left.length, ends ? 0 : 20);
    for (const key of left) assert.ok((await redis.pttl(key)) > 0, key);
    await redis.flushall();
  }
});

test('expire() beside a writer: the life is that of the version that stands, and of its chunks', async () => {
  await redis.flushall();
  const values = chunked(redis, { chunkBytes: 1_000, graceMs: 0 });
  await values.set('k', randomBytes(10_000));
  let replaced = false;
  const beside: Redis = Object.create(redis);
  Object.defineProperty(beside, 'callBuffer', {
    value: async (...args: [string, ...string[]]) => {
      if (!replaced && (args[0] === 'EVAL' || args[0] === 'PEXPIRE')) {
        replaced = true;
        await values.set('k', randomBytes(15_000));
      }
      return redis.callBuffer(...args);
    },
  });
  assert.equal(await chunked(beside, { chunkBytes: 1_000, graceMs: 0 }).expire('k', 60_000), true);
  const keys = await redis.keys('*');
  assert.equal(keys.length, 16, String(keys));
  for (const key of keys) assert.ok((await redis.pttl(key)) > 0, key);
});

test('a writer whose source is slow is no dead one; one that was taken for dead says so', async () => {
  await redis.flushall();
  const options = { chunkBytes: 1_000, graceMs: 0, tornMs: 1_500 };
  const other = chunked(redis, options);
  const slow = (tornMs: number, found: (n: number) => void) =>
    chunked(redis, { ...options, tornMs }).set(
      'slow',
      (async function* () {
        yield randomBytes(3_000);
        const started = Date.now();
        while (Date.now() - started < 2_200) {
          await sleep(100);
          found(await other.collect());
        }
        yield randomBytes(1_000);
      })(),
    );
  let collected = 0;
  await slow(1_500, (n) => {
    collected += n;
  });
  assert.equal(collected, 0);
  assert.equal((await other.get('slow'))?.length, 4_000);
  // Renews its note each twenty minutes only.
  await assert.rejects(
    slow(3_600_000, () => {}),
    { code: 'ERR_CLIENT_CHUNK_TORN' },
  );
});

test('two lives set at once: the chunks have that of the manifest, whoever was slower', async () => {
  const options = { chunkBytes: 1_000, graceMs: 0 };
  for (const [slow, fast] of [
    [20_000, 60_000],
    [60_000, 20_000],
  ] as const) {
    await redis.flushall();
    const values = chunked(redis, options);
    await values.set('k', randomBytes(10_000));
    const reached = Promise.withResolvers<void>();
    const free = Promise.withResolvers<void>();
    const late: Redis = Object.create(redis);
    Object.defineProperty(late, 'callBuffer', {
      value: async (...args: [string, ...string[]]) => {
        if (args[0] === 'PEXPIRE') {
          reached.resolve();
          await free.promise;
        }
        return redis.callBuffer(...args);
      },
    });
    const slower = chunked(late, options).expire('k', slow);
    await reached.promise;
    assert.equal(await values.expire('k', fast), true);
    free.resolve();
    assert.equal(await slower, true);
    const life = await redis.pttl('k');
    assert.ok(Math.abs(life - fast) < 5_000, `${life}`);
    for (const key of await redis.keys('cc:*')) {
      const left = await redis.pttl(key);
      assert.ok(left >= life - 50 && left < life + 5_000, `${key}: ${left}, manifest: ${life}`);
    }
  }
});

test('a value with a life whose source is slower than that life stands whole', async () => {
  await redis.flushall();
  const values = chunked(redis, { chunkBytes: 1_000, graceMs: 300 });
  const all = randomBytes(9_000);
  await values.set(
    'slow',
    (async function* () {
      yield all.subarray(0, 5_000);
      const started = Date.now();
      await until(() => Date.now() - started > 1_200);
      yield all.subarray(5_000);
    })(),
    { ttlMs: 500 },
  );
  assert.deepEqual(await values.get('slow'), all);
  const life = await redis.pttl('slow');
  for (const key of await redis.keys('cc:*')) assert.ok((await redis.pttl(key)) >= life, key);
});

test('a value of which a chunk was evicted goes as a whole', async () => {
  await redis.flushall();
  const values = chunked(redis, { chunkBytes: 1_000, graceMs: 0 });
  const { version } = await values.set('k', randomBytes(10_000));
  await redis.del(`cc:${version}:3`);
  assert.equal(await values.get('k'), null);
  assert.deepEqual(await redis.keys('*'), []);
});

test('what was given up on its way and arrives late is found by collect()', async () => {
  await redis.flushall();
  const options = { chunkBytes: 1_000, graceMs: 0, tornMs: 0 };
  const end = new AbortController();
  const held = Promise.withResolvers<() => Promise<unknown>>();
  const view: Redis = Object.create(redis);
  Object.defineProperty(view, 'callBuffer', {
    value: (...args: [string, ...string[]]) => {
      if (args[0] !== 'SET' || !args[1]?.endsWith(':2')) return redis.callBuffer(...args);
      held.resolve(() => redis.callBuffer(...args));
      return new Promise((_resolve, reject) =>
        end.signal.addEventListener('abort', () => reject(new Error('given up'))),
      );
    },
  });
  const writing = chunked(view, options).set('k', randomBytes(5_000), { signal: end.signal });
  const arrive = await held.promise;
  end.abort();
  await assert.rejects(writing);
  await arrive();
  assert.equal(await redis.exists('k'), 0);
  await chunked(redis, options).collect();
  assert.deepEqual(await redis.keys('*'), []);
});
