import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Redis } from 'ioredis';
import { createClient, REDIS_FLUSH_MODES } from 'redis';
import { GuardError, type GuardFinding, guarded, lanes } from '../index.ts';
import { plainKinds } from '../testing/clients.ts';
import { startServer } from '../testing/server.ts';
import { guardOf } from './guard.ts';
import { defaultLimits, inspect } from './rules.ts';

test('rules: what is found, and what is left alone', () => {
  const rule = (...args: (string | Buffer)[]): string | undefined =>
    inspect(String(args[0]).toLowerCase(), args, 1, defaultLimits)?.rule;
  assert.equal(rule('KEYS', '*'), 'walks-all-keys');
  assert.equal(rule('SCAN', '0'), undefined);
  assert.equal(rule('FLUSHALL'), 'blocks-the-server');
  assert.equal(rule('FLUSHALL', 'async'), undefined);
  assert.equal(rule('LRANGE', 'l', '0', '-1'), 'unbounded-range');
  assert.equal(rule('LRANGE', 'l', '0', '99'), undefined);
  assert.equal(rule('LRANGE', 'l', '-10', '-1'), undefined);
  assert.equal(rule('ZRANGE', 'z', '0', '-1'), 'unbounded-range');
  assert.equal(rule('ZRANGE', 'z', '0', '-1', 'LIMIT', '0', '5'), undefined);
  assert.equal(rule('ZRANGEBYSCORE', 'z', '-inf', '+inf'), 'unbounded-range');
  assert.equal(rule('ZRANGE', 'z', '+inf', '-inf', 'BYSCORE', 'REV'), 'unbounded-range');
  assert.equal(rule('ZRANGEBYSCORE', 'z', '-inf', '+inf', 'LIMIT', '0', '5'), undefined);
  assert.equal(rule('ZRANGE', 'z', '5', '+inf', 'BYSCORE'), undefined);
  assert.equal(rule('SORT', 'l'), 'unbounded-range');
  assert.equal(rule('SET', 'k', 'x'.repeat(200_000)), 'large-value');
  assert.equal(rule('SET', 'k', Buffer.alloc(200_000)), 'large-value');
  assert.equal(rule('SET', 'k', 'x'), undefined);
  assert.equal(rule('GET', 'k'.repeat(2_000)), 'long-key');
  assert.equal(rule('SET', 'a', '\u20ac'.repeat(60_000)), 'large-value');
  assert.equal(rule('GET', '\u20ac'.repeat(400)), 'long-key');
  assert.equal(rule('MGET', 'k', 'k'.repeat(2_000)), 'long-key');
  assert.equal(rule('EVAL', 'return 1', '1', 'k'.repeat(2_000)), 'long-key');
  assert.equal(rule('LRANGE', 'l', '-100000', '-1'), 'unbounded-range');
  assert.equal(rule('LRANGE', 'l', '0', '-2'), 'unbounded-range');
  assert.equal(rule('SORT_RO', 'l'), 'unbounded-range');
  assert.equal(rule('ZRANGEBYLEX', 'z', '-', '+'), 'unbounded-range');
  assert.equal(rule('ZREVRANGEBYLEX', 'z', '+', '-'), 'unbounded-range');
  assert.equal(rule('ZRANGEBYLEX', 'z', '-', '+', 'LIMIT', '0', '5'), undefined);
  assert.equal(rule('XREVRANGE', 's', '+', '-'), 'unbounded-range');
  assert.equal(rule('XREAD', 'STREAMS', 's', '0'), 'unbounded-range');
  assert.equal(rule('XREAD', 'BLOCK', '0', 'STREAMS', 's', '$'), undefined);
  assert.equal(rule('XREADGROUP', 'GROUP', 'g', 'c', 'COUNT', '5', 'STREAMS', 's', '>'), undefined);
  for (const name of ['HGETALL', 'HVALS', 'HKEYS', 'SMEMBERS', 'SUNION', 'SDIFF', 'SINTER'])
    assert.equal(rule(name, 'k'), 'whole-collection');
  assert.equal(rule('MGET', ...Array.from({ length: 1_500 }, (_, i) => `k${i}`)), 'many-arguments');
});

for (const kind of plainKinds) {
  test(`${kind.name}: throws in development where the mistake is made; production warns and lets it pass`, async () => {
    const server = await startServer();
    const strict = lanes(() => kind.make([server.port]), { guard: { mode: 'throw' } });
    await kind.connect(strict);
    await strict.set('k', 'v');
    await assert.rejects(
      async () => kind.call(strict, 'KEYS', '*'),
      (error: unknown) => error instanceof GuardError && /SCAN/.test(error.message),
    );
    await kind.close(strict);
    const said: [GuardFinding, number][] = [];
    const lenient = lanes(() => kind.make([server.port]), {
      guard: {
        mode: 'warn',
        warn: (finding, times) => said.push([finding, times]),
        allow: ['large-value'],
      },
    });
    await kind.connect(lenient);
    for (let i = 0; i < 5; i += 1) assert.deepEqual(await kind.call(lenient, 'KEYS', '*'), ['k']);
    await lenient.set('k', 'x'.repeat(200_000));
    assert.equal(said.length, 1);
    assert.equal(said[0]?.[0].rule, 'walks-all-keys');
    await kind.close(lenient);
    await server.stop();
  });
}

test('what is right for small collections is said and passes, in development too; monitor() is looked at', async (t) => {
  const server = await startServer();
  t.after(() => server.stop());
  const said: string[] = [];
  const redis = lanes(() => new Redis(server.port), {
    guard: { mode: 'throw', warn: ({ rule }) => said.push(rule) },
  });
  t.after(() => redis.disconnect());
  assert.deepEqual(await redis.hgetall('none'), {});
  assert.deepEqual(said, ['whole-collection']);
  await assert.rejects(redis.monitor(), { code: 'ERR_CLIENT_GUARD' });
});

test('off unless asked for; production and development by NODE_ENV', () => {
  assert.equal(guardOf(undefined), undefined);
  assert.equal(guardOf(false), undefined);
  assert.throws(() => guardOf({ mode: 'throw' })?.('KEYS', ['KEYS', '*'], 1), GuardError);
});

test('types: expensive methods cannot be called through Guarded', () => {
  const never = (): void => {
    const redis = guarded(new Redis({ lazyConnect: true }));
    // @ts-expect-error the type of keys says what to use instead
    redis.keys('*');
    // @ts-expect-error the type of flushall says what to use instead
    redis.flushall();
    // @ts-expect-error
    redis.flushdb('SYNC');
    const flushed: Promise<'OK'> = redis.flushall('ASYNC');
    void flushed;
    const node = guarded(createClient());
    // @ts-expect-error
    node.flushAll();
    void node.flushAll(REDIS_FLUSH_MODES.ASYNC);
    void node.flushDb('ASYNC');
    const value: Promise<string | null> = redis.get('k');
    void value;
  };
  assert.equal(typeof never, 'function');
});
