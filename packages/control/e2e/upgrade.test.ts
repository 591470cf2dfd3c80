/**
 * Another version of the engine under load: Valkey 8 to 9 with two shards, while clients of the one
 * address write and read on both. None of them sees an error; every write that was acknowledged and
 * every type of data is there afterwards.
 */
import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { testEngine } from '../../engine/testing.ts';
import { once, target } from './clients.ts';
import { eventually, Service } from './service.ts';

const NAME = 'older';
const WRITERS = 4;
const UPGRADED_MS = 90_000;
/** Hash tags of the first and of the second half of the slots. */
const TAGS = ['{a}', '{b}'] as const;
/** For one tag: each with the question whose answer must stay. */
const data = (tag: string): readonly (readonly [make: string[], ask: string[]])[] => [
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
    ['RPUSH', `${tag}list`, '1', '2', '3'],
    ['LRANGE', `${tag}list`, '0', '-1'],
  ],
  [
    ['SADD', `${tag}set`, 'one'],
    ['SMEMBERS', `${tag}set`],
  ],
  [
    ['ZADD', `${tag}zset`, '1.5', 'a', '2', 'b'],
    ['ZRANGE', `${tag}zset`, '0', '-1', 'WITHSCORES'],
  ],
  [
    ['HSET', `${tag}hash`, 'f', 'v'],
    ['HGETALL', `${tag}hash`],
  ],
  [
    ['GEOADD', `${tag}geo`, '13.4', '52.5', 'Berlin'],
    ['GEOPOS', `${tag}geo`, 'Berlin'],
  ],
  [
    ['XADD', `${tag}stream`, '1-1', 'f', 'v'],
    ['XRANGE', `${tag}stream`, '-', '+'],
  ],
];

const service = new Service({ miniature: { memoryDivisor: 16, maxShards: 2 } });
before(async () => {
  const { server } = await testEngine({ product: 'valkey', suite: 'trixie' });
  // A program that is named, as a user names it.
  const program = join(service.scratch, 'valkey-8');
  const words = [server.file, ...server.argsBefore].map((word) => `'${word}'`).join(' ');
  writeFileSync(program, `#!/bin/sh\nexec ${words} "$@"\n`);
  chmodSync(program, 0o700);
  Object.assign(service.options, { engine: program });
  await service.up();
});
after(() => service.close());

async function engines(): Promise<string[]> {
  const shards = await service.healthy(NAME);
  assert.equal(shards.length, TAGS.length);
  return [...new Set(shards.flatMap((s) => s.instances.map((i) => i.instance.engine)))];
}

test('8 to 9 with two shards, under load: no error, nothing lost, every type intact', async (t) => {
  const database = { clusteringPolicy: 'EnterpriseCluster' };
  await service.create(NAME, { sku: 'Balanced_B5', database });
  assert.match((await engines()).join(), /^valkey 8[^,]*$/);
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
    for (const [, [name = '', ...args]] of all) answers.push(await asker.call(name, ...args));
    return answers;
  };
  for (const [[name = '', ...args]] of all) await asker.call(name, ...args);
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

  await service.killControl();
  Object.assign(service.options, { engine: undefined });
  await service.up();
  const path = `${service.database(NAME)}/upgradeDBRedisVersion`;
  assert.equal((await service.call('POST', path)).status, 202);
  await eventually('all are 9', UPGRADED_MS, async () =>
    /^valkey 9[^,]*$/.test((await engines()).join()) ? true : null,
  );
  const ended = await service.settled(NAME);
  assert.ok(
    ended.every(({ status }) => status === 'Succeeded'),
    JSON.stringify(ended.map(({ kind, error }) => [kind, error])),
  );
  stop = true;
  await counting;
  assert.deepEqual(await ask(), had);
  for (const [key, n] of counts) assert.equal(await asker.get(key), String(n));
  t.diagnostic(`${[...counts.values()].reduce((a, b) => a + b, 0)} increments acknowledged`);
});
