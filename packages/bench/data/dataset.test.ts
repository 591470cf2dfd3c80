import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { deflateRawSync } from 'node:zlib';
import { Asker, encode } from '../load/asker.ts';
import { type PlainEngine, startEngine } from '../rivals/engine.ts';
import { workFolder } from '../rivals/launch.ts';
import { rivalEngine } from '../rivals/programs.ts';
import { type DatasetKey, dataset } from './dataset.ts';
import { digestOf } from './digest.ts';
import { loadDataset } from './load.ts';

const KEYS = 10_000;

test('shares, sizes and kinds are those of the standard', () => {
  const keys: DatasetKey[] = [...dataset({ seed: 3, keys: KEYS })];
  const share = (pick: (key: DatasetKey) => boolean): number => keys.filter(pick).length / KEYS;
  const near = (actual: number, wanted: number): void =>
    assert.ok(Math.abs(actual - wanted) < 0.02, `${actual} is not about ${wanted}`);
  near(
    share((k) => k.type === 'string'),
    0.4,
  );
  near(
    share((k) => k.type === 'hash'),
    0.2,
  );
  for (const type of ['zset', 'list', 'set', 'stream'])
    near(
      share((k) => k.type === type),
      0.1,
    );
  near(
    share((k) => k.expires),
    0.3,
  );
  const large = keys.filter((k) => k.large);
  assert.equal(large.length, 1);
  assert.ok((large[0]?.payload ?? 0) >= 2 ** 20 && (large[0]?.payload ?? 0) <= 10.1 * 2 ** 20);
  near(
    share((k) => k.key.includes(0)),
    0.02,
  );
  for (const { type, payload, large: big } of keys) {
    if (type === 'string' && !big) assert.ok(payload >= 100 && payload <= 1024);
  }
  assert.equal(new Set(keys.map((k) => k.key.toString('latin1'))).size, KEYS, 'keys are distinct');
});

test('half of the bytes compress well, and the seed decides everything', () => {
  const bytes = (seed: number): Buffer =>
    Buffer.concat([...dataset({ seed, keys: 500 })].flatMap((k) => k.commands.map(encode)));
  const first = bytes(1);
  const ratio = deflateRawSync(first).length / first.length;
  assert.ok(ratio > 0.5 && ratio < 0.8, `compressed to ${ratio}`);
  assert.ok(first.equals(bytes(1)));
  assert.ok(!first.equals(bytes(2)));
});

test('a size in bytes is reached and not passed by more than one key', () => {
  const keys = [...dataset({ seed: 1, bytes: 300_000 })];
  const total = keys.reduce((sum, k) => sum + k.payload, 0);
  assert.ok(total >= 300_000 && total - (keys.at(-1)?.payload ?? 0) < 300_000);
});

const folder = await workFolder();
const engines: PlainEngine[] = [];
before(async () => {
  // Different engines on purpose: the digest is of values, not of encodings.
  for (const name of ['valkey-9', 'redis-7'] as const) {
    const { server } = await rivalEngine(name);
    engines.push(await startEngine(server, { dir: folder.dir, name }));
  }
});
after(async () => {
  await Promise.all(engines.map((engine) => engine.stop()));
  await folder.remove();
});

async function pair(): Promise<[PlainEngine, PlainEngine, Asker]> {
  const [first, second] = engines;
  assert.ok(first !== undefined && second !== undefined);
  const asker = await Asker.open({ path: second.socket });
  for (const engine of engines) {
    const each = await Asker.open({ path: engine.socket });
    await each.ask('FLUSHALL');
    each.close();
  }
  return [first, second, asker];
}

test('equal on two engines of different makes with the same data', async () => {
  const [first, second, asker] = await pair();
  const size = { seed: 5, keys: 10_000 };
  const loaded = await loadDataset({ path: first.socket }, size);
  await loadDataset({ path: second.socket }, size);
  assert.equal(loaded.keys, 10_000);
  const digest = await digestOf({ path: first.socket });
  assert.equal(digest.keys, 10_000);
  assert.deepEqual(await digestOf({ path: second.socket }), digest);
  asker.close();
});

test('different after the smallest change of any kind, and equal again when it is taken back', async () => {
  const [first, second, asker] = await pair();
  const other = await Asker.open({ path: first.socket });
  const base: string[][] = [
    ['SET', 's', 'value'],
    ['HSET', 'h', 'a', '1', 'b', '2'],
    ['RPUSH', 'l', '1', '2', '3'],
    ['SADD', 'm', 'x', 'y'],
    ['ZADD', 'z', '0.1', 'p', '2', 'q'],
    ['XADD', 'x', '1-1', 'f', 'v'],
    ['XGROUP', 'CREATE', 'x', 'g', '0'],
    ['XREADGROUP', 'GROUP', 'g', 'c', 'STREAMS', 'x', '>'],
    ['SET', 'e', '1', 'PXAT', '2300000000000'],
  ];
  for (const command of base) {
    await other.ask(...command);
    await asker.ask(...command);
  }
  const digest = (await digestOf({ path: first.socket })).value;
  const differs = async (): Promise<boolean> =>
    (await digestOf({ path: second.socket })).value !== digest;
  assert.equal(await differs(), false);
  const changes: [change: string[], back: string[][]][] = [
    [['SETRANGE', 's', '4', 'f'], [['SET', 's', 'value']]],
    [['HSET', 'h', 'b', '3'], [['HSET', 'h', 'b', '2']]],
    [['LMOVE', 'l', 'l', 'LEFT', 'RIGHT'], [['LMOVE', 'l', 'l', 'RIGHT', 'LEFT']]],
    [['SADD', 'm', 'z'], [['SREM', 'm', 'z']]],
    [['ZADD', 'z', '0.10000000000000002', 'p'], [['ZADD', 'z', '0.1', 'p']]],
    [['PEXPIREAT', 'e', '2300000000001'], [['PEXPIREAT', 'e', '2300000000000']]],
    [['PERSIST', 'e'], [['PEXPIREAT', 'e', '2300000000000']]],
    [['RENAME', 's', 't'], [['RENAME', 't', 's']]],
    [['XGROUP', 'SETID', 'x', 'g', '0'], [['XGROUP', 'SETID', 'x', 'g', '1-1']]],
    [
      ['XACK', 'x', 'g', '1-1'],
      [
        ['XGROUP', 'SETID', 'x', 'g', '0'],
        ['XREADGROUP', 'GROUP', 'g', 'c', 'STREAMS', 'x', '>'],
      ],
    ],
  ];
  for (const [change, back] of changes) {
    await asker.ask(...change);
    assert.equal(await differs(), true, change.join(' '));
    for (const command of back) await asker.ask(...command);
    assert.equal(await differs(), false, `after ${change.join(' ')} was taken back`);
  }
  asker.close();
  other.close();
});
