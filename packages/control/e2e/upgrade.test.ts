/**
 * Another version of the engine under load: Valkey 8.0 to 9 with two shards, back to 8.0, and to 9 for good,
 * while clients of the one address write and read on both shards over one connection each. None of them
 * sees an error; every write that was acknowledged and every type of data is there after each step; and
 * what only the newer engine knows is refused with the reason until the way back is closed, and no
 * moment longer.
 */
import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Redis } from 'ioredis';
import { testEngine } from '../../engine/testing.ts';
import { once, target } from './clients.ts';
import { eventually, Service } from './service.ts';

const NAME = 'older';
const WRITERS = 4;
const UPGRADED_MS = 90_000;
const HOUR_MS = 3_600_000;
/** Hash tags of the first and of the second half of the slots. */
const TAGS = ['{a}', '{b}'] as const;
/** More than an engine keeps in its compact form. */
const MANY = Array.from({ length: 600 }, (_, i) => String(i));

type Line = readonly [name: string, ...args: string[]];

/** For one tag: what makes it, and the question whose answer must stay. */
const data = (tag: string): readonly (readonly [make: Line, ask: Line])[] => [
  [
    ['SET', `${tag}string`, 'value', 'EX', '90000'],
    ['GET', `${tag}string`],
  ],
  [
    ['SETBIT', `${tag}bits`, '1000', '1'],
    ['BITCOUNT', `${tag}bits`],
  ],
  [
    ['PFADD', `${tag}hll`, 'a', 'b', 'c'],
    ['PFCOUNT', `${tag}hll`],
  ],
  [
    ['RPUSH', `${tag}list`, '1', '2', 'x'],
    ['LRANGE', `${tag}list`, '0', '-1'],
  ],
  [
    ['RPUSH', `${tag}long`, ...MANY, 'y'.repeat(9_000)],
    ['LRANGE', `${tag}long`, '0', '-1'],
  ],
  [
    ['SADD', `${tag}numbers`, '1', '2', '3'],
    ['SMISMEMBER', `${tag}numbers`, '1', '3', '9'],
  ],
  [
    ['SADD', `${tag}set`, ...MANY, 'one'],
    ['SORT', `${tag}set`, 'ALPHA'],
  ],
  [
    ['ZADD', `${tag}zset`, '1.5', 'a', '2', 'b'],
    ['ZRANGE', `${tag}zset`, '0', '-1', 'WITHSCORES'],
  ],
  [
    ['ZADD', `${tag}skips`, ...MANY.flatMap((n) => [n, `m${n}`])],
    ['ZRANGE', `${tag}skips`, '0', '-1', 'WITHSCORES'],
  ],
  [
    ['HSET', `${tag}hash`, 'f', 'v'],
    ['HGETALL', `${tag}hash`],
  ],
  [
    ['HSET', `${tag}wide`, ...MANY.flatMap((n) => [`f${n}`, n])],
    ['HMGET', `${tag}wide`, 'f0', 'f599', 'none'],
  ],
  [
    [
      'GEOADD',
      `${tag}geo`,
      '13.4',
      '52.5',
      'Berlin',
      '13.5',
      '52.4',
      'BYPOLYGON',
      '13.5',
      '52.4',
      'bypolygon',
    ],
    ['GEOPOS', `${tag}geo`, 'Berlin'],
  ],
  [
    ['XADD', `${tag}stream`, '1-1', 'f', 'v'],
    ['XRANGE', `${tag}stream`, '-', '+'],
  ],
  [
    ['XGROUP', 'CREATE', `${tag}stream`, 'g', '0'],
    ['XINFO', 'GROUPS', `${tag}stream`],
  ],
  [
    ['XREADGROUP', 'GROUP', 'g', 'c', 'STREAMS', `${tag}stream`, '>'],
    ['XPENDING', `${tag}stream`, 'g'],
  ],
  [
    [
      'FUNCTION',
      'LOAD',
      'REPLACE',
      "#!lua name=l\nserver.register_function('f', function(keys) return server.call('GET', keys[1]) end)",
    ],
    ['FCALL', 'f', '1', `${tag}string`],
  ],
];

/** With its option's word as data, which is nobody's business. */
const PLAIN: readonly Line[] = [
  ['GEOSEARCH', '{a}geo', 'FROMMEMBER', 'BYPOLYGON', 'BYRADIUS', '1', 'm'],
  ['GEOSEARCH', '{a}geo', 'BYRADIUS', '1', 'm', 'FROMMEMBER', 'BYPOLYGON'],
  ['GEOSEARCHSTORE', '{a}byp', '{a}geo', 'FROMMEMBER', 'bypolygon', 'BYBOX', '1', '1', 'km'],
  ['ECHO', 'BYPOLYGON'],
  ['SET', '{a}word', 'IFEQ', 'EX', '900', 'GET'],
  ['SET', 'IFEQ{a}', 'ifeq', 'NX'],
  ['SET', '{a}BYPOLYGON', 'BYPOLYGON'],
];
const TRIANGLE = ['BYPOLYGON', '3', '13', '52', '14', '52', '13.4', '53'] as const;
/** Of 9 alone: a command, and an option of a command that 8 knows. */
const NEWER: readonly Line[] = [
  ['HSETEX', '{a}ttl', 'EX', '900', 'FIELDS', '1', 'f', 'v'],
  ['GEOSEARCH', '{b}geo', ...TRIANGLE],
  ['SET', '{b}word', 'v', 'ifeq', 'x'],
  ['geosearchstore', '{a}found', '{a}geo', ...TRIANGLE],
];

const service = new Service({ miniature: { memoryDivisor: 16, maxShards: 2 } });
before(async () => {
  const { server } = await testEngine({ product: 'valkey', suite: 'bookworm-backports' });
  // A program that is named, as a user names it.
  const program = join(service.scratch, 'valkey-8');
  const words = [server.file, ...server.argsBefore].map((word) => `'${word}'`).join(' ');
  writeFileSync(program, `#!/bin/sh\nexec ${words} "$@"\n`);
  chmodSync(program, 0o700);
  Object.assign(service.options, { engine: program });
  await service.up();
});
after(() => service.close());

async function engines(): Promise<string> {
  const shards = await service.healthy(NAME);
  assert.equal(shards.length, TAGS.length);
  return [...new Set(shards.flatMap((s) => s.instances.map((i) => i.instance.engine)))].join();
}

const upgraded = async () =>
  (await service.call('GET', service.database(NAME))).body.properties.cinnabar.upgrade;

/** Asks, looks meanwhile, and waits for the end. */
async function play(
  path: string,
  body: object | undefined,
  version: RegExp,
  meanwhile: () => Promise<void>,
): Promise<void> {
  const answer = await service.call('POST', `${service.database(NAME)}/${path}`, body);
  assert.equal(answer.status, 202, answer.text);
  await meanwhile();
  await eventually('all are of that version', UPGRADED_MS, async () =>
    version.test(await engines()) ? true : null,
  );
  const [last] = await service.settled(NAME);
  assert.deepEqual(
    [last?.kind, last?.status],
    ['Maintain', 'Succeeded'],
    String(last?.error?.message),
  );
}

test('8 to 9, back and to stay, two shards under load: nothing lost, nothing newer too early', async (t) => {
  const database = { clusteringPolicy: 'EnterpriseCluster' };
  await service.create(NAME, { sku: 'Balanced_B5', database });
  assert.match(await engines(), /^valkey 8[^,]*$/);
  const to = await target(service, NAME, 'EnterpriseCluster');
  const open = async () => {
    const client = once(to);
    t.after(() => client.disconnect());
    await client.connect();
    return client;
  };
  const asker = await open();
  const all = TAGS.flatMap(data);
  const ask = async () => {
    const answers: unknown[] = [];
    for (const [, [name, ...args]] of all) answers.push(await asker.call(name, ...args));
    return answers;
  };
  for (const [[name, ...args]] of all) await asker.call(name, ...args);
  const had = await ask();

  const counts = new Map<string, number>();
  let stop = false;
  const counting = Promise.all(
    Array.from({ length: WRITERS }, async (_, i) => {
      const client = await open();
      const key = `${TAGS[i % TAGS.length]}n${i}`;
      for (let n = 1; !stop; n++) {
        assert.equal(await client.incr(key), n);
        assert.equal(await client.get(key), String(n));
        counts.set(key, n);
      }
    }),
  );
  counting.catch(() => undefined);
  const whole = async () => {
    assert.deepEqual(await ask(), had);
    const before = new Map(counts);
    for (const [key, n] of before) assert.ok(Number(await asker.get(key)) >= n, key);
  };

  await service.killControl();
  Object.assign(service.options, { engine: undefined });
  await service.up();
  const begun = Date.now();
  await play('upgrade', { wayBackHours: 2 }, /^valkey 9[^,]*$/, () =>
    refusesNewer(asker, /while an upgrade from valkey 8\S+ to valkey 9\S+ is under way/),
  );
  const { phase, until } = await upgraded();
  assert.equal(phase, 'open');
  assert.ok(until > begun + 2 * HOUR_MS && until < Date.now() + 2 * HOUR_MS, String(until));
  await whole();
  const larger = await service.call('PATCH', service.cluster(NAME), {
    sku: { name: 'Balanced_B0' },
  });
  assert.deepEqual([larger.status, larger.body.error.code], [409, 'WayBackOpen']);

  // Who remembers is the store.
  await service.killControl();
  await service.up();
  const kept = new RegExp(
    `while the way back to valkey 8\\S+ is open until ${new Date(until).toISOString()}`,
  );
  await refusesNewer(asker, kept);
  await play('upgrade', { back: true }, /^valkey 8[^,]*$/, () =>
    refusesNewer(asker, /while it goes back from valkey 9\S+ to valkey 8/),
  );
  assert.equal((await upgraded()).phase, 'returned');
  await whole();

  // Azure's request, and to stay: from that answer on everything is there, on the connections of before.
  await play('upgradeDBRedisVersion', undefined, /^valkey 9[^,]*$/, async () => undefined);
  const finished = await service.call('POST', `${service.database(NAME)}/upgrade`, {
    finish: true,
  });
  assert.deepEqual([finished.status, finished.body?.upgrade], [200, null], finished.text);
  await whole();
  for (const [name, ...args] of NEWER) await asker.call(name, ...args);
  assert.deepEqual(await asker.call('HTTL', '{a}ttl', 'FIELDS', '1', 'f'), [900]);
  stop = true;
  await counting;
  for (const [key, n] of counts) assert.equal(await asker.get(key), String(n));
  t.diagnostic(`${[...counts.values()].reduce((a, b) => a + b, 0)} increments acknowledged`);
});

async function refusesNewer(client: Redis, why: RegExp): Promise<void> {
  for (const [name, ...args] of PLAIN) await client.call(name, ...args);
  for (const [name, ...args] of NEWER) {
    const said = await client.call(name, ...args).then(String, String);
    assert.match(
      said,
      /newer-than-engine: (HSETEX|BYPOLYGON of GEOSEARCH(STORE)?|IFEQ of SET) is not known to valkey 8/,
    );
    assert.match(said, why);
  }
  const transaction = client
    .multi()
    .set('{a}x', '1')
    .call('GEOSEARCH', '{a}geo', ...TRIANGLE);
  await assert.rejects(transaction.exec(), /EXECABORT/);
}
