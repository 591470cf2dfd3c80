/** Options of the wrong kind, and misspelt ones, at every entry of the kit: refused before anything is done. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Redis } from 'ioredis';
import {
  batch,
  calling,
  chunked,
  diagnose,
  harden,
  type KitError,
  lanes,
  observe,
  overlappingKeys,
  RetryBudget,
  recommended,
  TokenKeeper,
  within,
} from './index.ts';

/** As a program without types calls it. */
type Loose = (...args: unknown[]) => unknown;
const loose = (entry: unknown): Loose => entry as Loose;

test('every entry says what was wrong, and what there is', async (t) => {
  const open: Redis[] = [];
  const make = (): Redis => {
    const redis = new Redis({ lazyConnect: true, retryStrategy: () => null });
    redis.on('error', () => {});
    open.push(redis);
    return redis;
  };
  t.after(() => {
    view.disconnect();
    for (const redis of open) redis.disconnect();
  });
  const view = lanes(make);
  view.on('error', () => {});
  const values = chunked(view);
  const host = 'cache.example';
  const rows: [unknown, unknown[], RegExp][] = [
    [lanes, [make()], /the factory must be a function.*lanes\(\(\) => new Redis\(url\)\)/],
    [lanes, [make, { bluk: { max: 1 } }], /no option 'bluk'\. Did you mean 'bulk'\?/],
    [lanes, [make, { small: { mni: 1 } }], /no option 'small\.mni'\. Did you mean 'min'\?/],
    [
      lanes,
      [make, { small: { min: 1.5 } }],
      /small\.min must be a whole number from 1 up, got 1\.5/,
    ],
    [
      lanes,
      [make, { small: { min: 9, max: 2 } }],
      /small\.min \(9\) is more than small\.max \(2\)/,
    ],
    [lanes, [make, { small: 4 }], /small must be an object, got 4/],
    [lanes, [make, { bulk: { max: '2' } }], /bulk\.max must be .* got a text/],
    [lanes, [make, { choose: 'random' }], /choose must be 'least-outstanding' or 'round-robin'/],
    [lanes, [make, { idleMs: Number.NaN }], /idleMs must be more than 0 ms, got NaN/],
    [lanes, [make, { stallMs: true }], /stallMs must be more than 0 ms, got true/],
    [lanes, [make, { offline: true }], /offline must be an object, got true/],
    [lanes, [make, { large: 'report:*' }], /large must be a function, got a text/],
    [lanes, [make, { deadlines: 2_000 }], /deadlines must be an object, got 2000/],
    [
      lanes,
      [make, { deadlines: { fastMs: 0 } }],
      /deadlines\.fastMs must be more than 0 ms, got 0/,
    ],
    [lanes, [make, { retries: { attempts: 0 } }], /retries\.attempts must be a whole number/],
    [lanes, [make, { retries: { atempts: 3 } }], /Did you mean 'attempts'\?/],
    [
      lanes,
      [make, { retries: { breaker: { failureRatio: 50 } } }],
      /breaker\.failureRatio must be/,
    ],
    [lanes, [make, { retries: { budget: 5 } }], /retries\.budget must be a RetryBudget, got 5/],
    [lanes, [make, { guard: 'warn' }], /guard must be an object, got a text/],
    [lanes, [make, { guard: { mode: 'log' } }], /guard\.mode must be 'throw' or 'warn'/],
    [
      lanes,
      [make, { guard: { allow: ['keys'] } }],
      /guard\.allow\[0\] must be 'walks-all-keys' or/,
    ],
    [lanes, [make, null], /options must be an object, got null/],
    [harden, [make(), { small: { min: 2 } }], /no option 'small'/],
    [observe, [make(), { timeout: 5 }], /Did you mean 'timeoutMs'\?/],
    [calling, [view, { deadlineMs: 0 }], /deadlineMs must be more than 0 ms, got 0/],
    [calling, [view, { deadlineMs: -1 }], /deadlineMs must be more than 0 ms, got -1/],
    [calling, [view, { deadlineMs: Number.NaN }], /more than 0 ms, got NaN/],
    [calling, [view, { deadlineMs: '50' }], /more than 0 ms, got a text/],
    [
      loose(calling),
      [view, { signal: new AbortController() }],
      /signal must be an AbortSignal, got an? AbortController/,
    ],
    [calling, [view, { idempotant: true }], /Did you mean 'idempotent'\?/],
    [chunked, [view, { chunkBytes: 10 }], /chunkBytes must be a whole number from 256 to/],
    [chunked, [view, { window: 0 }], /window must be a whole number from 1 up/],
    [chunked, [view, { compress: 'gzip' }], /compress must be true or false/],
    [
      () => values.expire('k', -1),
      [],
      /expire\(\): ttlMs must be a whole number from 1 up, got -1/,
    ],
    [() => values.set('k', 'v', { ttlMs: 0.5 }), [], /set\(\): ttlMs must be/],
    [() => loose(values.set.bind(values))('k', 'v', { ttl: 5 }), [], /Did you mean 'ttlMs'\?/],
    [() => values.get(''), [], /get\(\): the key must be a text, got an empty text/],
    [batch, [view, [], { windows: 5 }], /Did you mean 'window'\?/],
    [within, [-5, async () => 1], /the deadline must be more than 0 ms, got -5/],
    [recommended, ['x', {}], /the service must be 'azure' or 'cinnabar'/],
    [recommended, ['azure'], /input must be an object, got nothing/],
    [
      loose(recommended),
      ['azure', { library: 'jedis', policy: 'NoCluster', host }],
      /library must be 'ioredis' or/,
    ],
    [
      loose(recommended),
      ['azure', { library: 'redis', policy: 'NoCluster' }],
      /input\.host is missing/,
    ],
    [
      loose(recommended),
      ['azure', { library: 'redis', policy: 'cluster', host }],
      /policy must be/,
    ],
    [diagnose, [undefined], /the address must be a text, got nothing/],
    [diagnose, ['redis://localhost', { cert: 'x' }], /no option 'cert'/],
    [() => new RetryBudget(Number.NaN), [], /the share must be a number from 0 up, got NaN/],
    [() => new TokenKeeper({} as never), [], /fetch is missing/],
  ];
  for (const [entry, args, says] of rows) {
    await assert.rejects(
      async () => loose(entry)(...args),
      (error: KitError) => {
        assert.equal(error.code, 'ERR_CLIENT_OPTION', String(error));
        assert.match(error.message, says);
        return true;
      },
    );
  }
});

test('a secret in the wrong place is not shown', () => {
  const secret = 'p4ssw0rd-p4ssw0rd';
  for (const input of [
    { library: secret },
    { port: secret },
    { tls: secret },
    { [secret.repeat(9)]: 1 },
  ]) {
    assert.throws(
      () => loose(recommended)('azure', { ...input, policy: 'NoCluster', host: 'h' }),
      (error: Error) =>
        !error.message.includes(secret.repeat(3)) && /recommended\(\)/.test(error.message),
    );
  }
});

test('what is right passes: switches, patterns, time without end', async () => {
  const make = (): Redis => new Redis({ lazyConnect: true, retryStrategy: () => null });
  const redis = lanes(make, {
    offline: false,
    deadlines: { bulkMs: Number.POSITIVE_INFINITY },
    stallMs: false,
    large: ['report:*', /^big/],
    guard: { mode: 'warn', allow: ['long-key'] },
    retries: { breaker: false, budget: new RetryBudget(), reconnect: 'client', attempts: 1 },
    idleMs: Number.POSITIVE_INFINITY,
    small: {},
  });
  redis.on('error', () => {});
  calling(redis, { signal: new AbortController().signal, deadlineMs: Number.POSITIVE_INFINITY });
  redis.disconnect();
});

test('what is no value, no client, no token is told before anything is done with it', async () => {
  const redis = new Redis({ lazyConnect: true });
  const values = chunked(redis);
  for (const [wrong, name] of [
    [5, /got 5;/],
    [{ a: 1 }, /got an object;/],
    [undefined, /got nothing;/],
  ] as const) {
    const said = { code: 'ERR_CLIENT_OPTION', message: name };
    await assert.rejects(values.set('k', wrong as unknown as string), said);
  }
  redis.disconnect();
  const factory = { code: 'ERR_CLIENT_FACTORY' };
  assert.throws(() => lanes(() => undefined as unknown as object), factory);
  assert.throws(() => lanes(async () => ({})), { ...factory, message: /a promise/ });
  const keeper = (fetch: () => unknown): Promise<unknown> =>
    new TokenKeeper({ fetch: fetch as () => Promise<never> }).current();
  const later = Date.now() + 3_600_000;
  const thrown = new Error('issuer down');
  const refused = (message: RegExp) => ({ code: 'ERR_CLIENT_TOKEN', message });
  await assert.rejects(
    keeper(() => {
      throw thrown;
    }),
    { ...refused(/issuer down/), cause: thrown },
  );
  await assert.rejects(
    keeper(async () => ({ username: 'u', expiresAt: later })),
    refused(/no password/),
  );
  await assert.rejects(
    keeper(async () => ({ username: 'u', password: 'p', expiresAt: Math.floor(later / 1_000) })),
    refused(/looks like seconds/),
  );
  await assert.rejects(overlappingKeys(redis, 'default', 'key' as unknown as string[]), {
    code: 'ERR_CLIENT_OPTION',
  });
});
