import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { Readable } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { type CommandEvent, chunked, lanes } from '../index.ts';
import { LARGE_BYTES } from '../limits.ts';
import { clusterKinds, plainKinds } from '../testing/clients.ts';
import { mortal } from '../testing/mortal.ts';
import { startCluster, startServer, type TestCluster, type TestServer } from '../testing/server.ts';
import { crc32, slowCrc32 } from './crc.ts';

let server: TestServer;
let cluster: TestCluster;
before(async () => {
  [server, cluster] = await Promise.all([startServer(), startCluster(3)]);
});
after(async () => {
  await Promise.all([server?.stop(), cluster?.stop()]);
});

test('no request of a chunked value is a large one', async () => {
  const redis = lanes(() => new Redis(server.port));
  const sent: number[] = [];
  const note = (message: unknown) => sent.push((message as CommandEvent).bytesOut);
  subscribe('cinnabar:client:command', note);
  try {
    await chunked(redis).set('report', randomBytes(300_000), { ttlMs: 86_400_000 });
    assert.ok(sent.length > 5);
    assert.ok(Math.max(...sent) < LARGE_BYTES, `${Math.max(...sent)}`);
  } finally {
    unsubscribe('cinnabar:client:command', note);
    redis.disconnect();
  }
});

for (const [kinds, portsOf] of [
  [plainKinds, () => [server.port]],
  [clusterKinds, () => cluster.ports],
] as const) {
  for (const kind of kinds) {
    for (const wrapped of [false, true]) {
      test(`${kind.name}${wrapped ? ' in lanes' : ''}: values of all sizes, ranges, streams, expiry, deletion`, async () => {
        const make = () => kind.make(portsOf());
        const redis = wrapped ? lanes(make) : make();
        await kind.connect(redis);
        const values = chunked(redis, { chunkBytes: 1_000, graceMs: 0, window: 8 });
        try {
          for (const size of [0, 1, 999, 1_000, 1_001, 2_000, 54_321]) {
            const value = randomBytes(size);
            const key = `v:${kind.name}:${size}`;
            const made = await values.set(key, value);
            assert.equal(made.chunks, size <= 1_000 ? 0 : Math.ceil(size / 1_000));
            assert.deepEqual(await values.get(key), value, `${size}`);
            const memory = Buffer.alloc(size + 5, '.');
            const into = await values.get(key, { into: memory.subarray(2) });
            assert.ok(into?.buffer === memory.buffer && into.equals(value), `${size} into`);
            assert.equal(memory.toString('latin1', size + 2), '...');
            if (size > 0) {
              await assert.rejects(values.get(key, { into: memory.subarray(0, size - 1) }), {
                code: 'ERR_CLIENT_OPTION',
              });
            }
            assert.deepEqual(
              await values.getRange(key, 3, Math.max(3, size - 1)),
              value.subarray(3, Math.max(3, size - 1)),
            );
            assert.deepEqual(await values.getRange(key, size + 10, size + 20), Buffer.alloc(0));
            const stream = await values.stream(key);
            assert.ok(stream);
            assert.deepEqual(Buffer.concat(await stream.toArray()), value);
            const web = await values.webStream(key);
            assert.ok(web);
            const parts: Uint8Array[] = [];
            for await (const part of web) parts.push(part);
            assert.deepEqual(Buffer.concat(parts), value);
            assert.equal(await values.expire(key, 60_000), true);
            assert.ok(Number(await kind.call(redis, 'PTTL', key)) > 50_000);
            assert.equal(await values.delete(key), true);
            assert.equal(await values.delete(key), false);
            assert.equal(await values.get(key), null);
            assert.equal(await values.stream(key), null);
          }
          const big = randomBytes(30_000);
          await values.set(
            's',
            Readable.from([big.subarray(0, 7), big.subarray(7, 20_000), big.subarray(20_000)]),
          );
          assert.deepEqual(await values.get('s'), big);
          await values.set(
            's',
            new Blob([new Uint8Array(big.subarray(5))]).stream() as ReadableStream<Uint8Array>,
            { ttlMs: 60_000 },
          );
          assert.deepEqual(await values.get('s'), big.subarray(5));
          await values.set('s', 'short text');
          assert.equal(String(await values.get('s')), 'short text');
          await redis.set('plain', 'as it was');
          assert.equal(String(await values.get('plain')), 'as it was');
          assert.equal(String(await values.getRange('plain', 3, 5)), 'it');
        } finally {
          await kind.close(redis);
        }
      });
    }
  }
}

describe('what a value is made of', () => {
  let redis: Redis;
  before(() => {
    redis = new Redis(server.port);
  });
  after(() => redis.quit());

  test('chunks of a value are spread over the shards of a cluster', async () => {
    const kind = clusterKinds[0];
    assert.ok(kind);
    const client = kind.make(cluster.ports);
    await chunked(client, { chunkBytes: 1_000 }).set('{tag}:wide', randomBytes(90_000));
    const sizes = await Promise.all(
      cluster.ports.map(async (port) => {
        const one = new Redis(port);
        const size = await one.dbsize();
        await one.quit();
        return size;
      }),
    );
    assert.ok(
      sizes.every((size) => size > 10),
      String(sizes),
    );
    await kind.close(client);
  });

  test('compression is used where it helps, and never makes a chunk longer', async () => {
    await redis.flushall();
    const values = chunked(redis, { chunkBytes: 10_000, compress: true });
    const text = Buffer.from('all the same '.repeat(10_000));
    const noise = randomBytes(100_000);
    await values.set('text', text);
    assert.deepEqual(await values.get('text'), text);
    await values.set('noise', noise);
    assert.deepEqual(await values.get('noise'), noise);
    assert.deepEqual(await values.getRange('noise', 9_990, 10_010), noise.subarray(9_990, 10_010));
    const keys = await redis.keys('cc:*');
    const lengths = await Promise.all(keys.map((k) => (k === 'cc:open' ? 0 : redis.strlen(k))));
    assert.ok(Math.max(...lengths) <= 10_005);
    assert.ok(lengths.filter((l) => l < 500).length >= 13);
    const all = lengths.reduce((sum, length) => sum + length, 0);
    assert.ok(all > 100_000 && all < 110_000, `${all} bytes`);
  });

  test('a chunk that something else wrote to is an error, not data', async () => {
    const values = chunked(redis, { chunkBytes: 1_000 });
    const { version } = await values.set('bad', randomBytes(5_000));
    await redis.setrange(`cc:${version}:3`, 100, 'x');
    await assert.rejects(values.get('bad'), { code: 'ERR_CLIENT_CHUNK_FORMAT' });
    assert.equal((await values.getRange('bad', 0, 2_500))?.length, 2_500);
  });

  test('in lanes: connections that die in the middle of reads cost time, never bytes', async (t) => {
    const laned = lanes(() => new Redis(server.port));
    t.after(() => laned.quit());
    const values = chunked(laned, { chunkBytes: 20_000, compress: true });
    const half = randomBytes(600_000);
    const value = Buffer.concat([half, Buffer.alloc(600_000, 'deflates'), half]);
    await values.set('killed', value);
    let whole = 0;
    for (let i = 0; i < 30; i += 1) {
      const start = (i * 7_919) % 1_000_000;
      const read = values.getRange('killed', start, 1_700_000).then(
        (bytes) => ({ bytes }),
        (error: { code?: string }) => ({ error }),
      );
      // Somewhere in the middle of it: each round trip lets some chunks through.
      for (let pings = 0; pings < i % 6; pings += 1) await redis.ping();
      await redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
      const got = await read;
      if ('error' in got) {
        // No attempt left, or the circuit is open; never a word about the bytes.
        assert.match(String(got.error.code), /^ERR_CLIENT_(?!CHUNK)/, String(got.error));
        continue;
      }
      assert.deepEqual(got.bytes, value.subarray(start, 1_700_000), `read ${i}`);
      whole += 1;
    }
    assert.ok(whole > 0);
  });

  test('in lanes: a chunk that something else wrote to is an error, not data', async (t) => {
    const laned = lanes(() => new Redis(server.port));
    t.after(() => laned.quit());
    const values = chunked(laned, { chunkBytes: 1_000 });
    for (const [offset, byte] of [
      [0, '\u0001'],
      [100, 'x'],
      [1_002, 'x'],
    ] as const) {
      const { version } = await values.set('bad', Buffer.alloc(5_000, 'v'));
      await laned.setrange(`cc:${version}:3`, offset, byte);
      await assert.rejects(values.get('bad'), { code: 'ERR_CLIENT_CHUNK_FORMAT' });
    }
  });

  test('an evicted chunk makes the value a miss, once for all', async () => {
    const values = chunked(redis, { chunkBytes: 1_000 });
    const { version } = await values.set('part', randomBytes(5_000));
    await redis.del(`cc:${version}:2`);
    assert.equal(await values.get('part'), null);
    assert.equal(await redis.exists('part'), 0);
  });

  test('a manifest that cannot be read says so, and can be replaced', async () => {
    const values = chunked(redis);
    for (const broken of [
      '',
      '{"id":"x"}\n',
      'nonsense\n',
      '{"id":"x","chunks":3,"size":1,"chunkBytes":1}\n',
    ]) {
      await redis.set('m', `cinnabar-chunks/1 ${broken}`);
      await assert.rejects(values.get('m'), { code: 'ERR_CLIENT_CHUNK_FORMAT' });
    }
    await values.set('m', 'fine');
    assert.equal(String(await values.get('m')), 'fine');
  });

  test('notes that nobody can read, and keys that are no strings now, keep no other from being collected', async () => {
    await redis.flushall();
    const values = chunked(redis, { chunkBytes: 1_000, graceMs: 0, tornMs: 0 });
    const left = async (id: string, key: string): Promise<void> => {
      const note = { key, at: 1, made: { id, chunks: 2 } };
      await redis.hset('cc:open', id, JSON.stringify(note));
      await redis.mset(`cc:${id}:0`, 'a', `cc:${id}:1`, 'b');
    };
    const foreign = {
      cut: '{"key":"k","at"',
      number: '7',
      nothing: 'null',
      other: '{"key":"k","at":1,"made":{"id":"../*","chunks":1e9}}',
    };
    await left('first', 'k1');
    await redis.hset('cc:open', foreign);
    await left('list', 'l');
    await redis.rpush('l', 'x');
    await left('last', 'k2');
    assert.equal(await values.collect(), 3);
    assert.deepEqual(await redis.hgetall('cc:open'), foreign);
    assert.deepEqual((await redis.keys('*')).sort(), ['cc:open', 'l']);
  });

  test('a write that is aborted leaves the old value and nothing of the new one', async () => {
    await redis.flushall();
    const values = chunked(redis, { chunkBytes: 1_000, graceMs: 0 });
    await values.set('k', 'old '.repeat(1_000));
    const before = await redis.dbsize();
    const controller = new AbortController();
    const source = async function* () {
      for (let i = 0; i < 50; i += 1) {
        if (i === 25) controller.abort();
        yield randomBytes(1_000);
      }
    };
    await assert.rejects(values.set('k', source(), { signal: controller.signal }), {
      code: 'ERR_CLIENT_ABORTED',
    });
    assert.equal(await redis.dbsize(), before);
    assert.equal(String(await values.get('k')).slice(0, 4), 'old ');
  });

  test('readers among writers get one whole version each time', async () => {
    await redis.flushall();
    const writer = new Redis(server.port);
    const values = chunked(redis, { chunkBytes: 1_000, graceMs: 5_000 });
    const others = chunked(writer, { chunkBytes: 1_000, graceMs: 5_000 });
    const make = (n: number): Buffer => {
      const body = Buffer.alloc(20_000 + (n % 7) * 1_111, n % 251);
      return Buffer.concat([createHash('sha1').update(body).digest(), body]);
    };
    await values.set('hot', make(0));
    let stop = false;
    const write = async (from: typeof values, start: number): Promise<void> => {
      for (let n = start; !stop; n += 2) await from.set('hot', make(n));
    };
    const writers = [write(values, 1), write(others, 2)];
    for (let i = 0; i < 150; i += 1) {
      const got = await (i % 2 === 0 ? values : others).get('hot');
      assert.ok(got);
      assert.deepEqual(
        createHash('sha1').update(got.subarray(20)).digest(),
        got.subarray(0, 20),
        `read ${i} mixes versions`,
      );
    }
    stop = true;
    await Promise.all(writers);
    await writer.quit();
  });
});

type Step =
  | { readonly kind: 'set'; readonly key: number; readonly size: number; readonly seed: number }
  | { readonly kind: 'delete'; readonly key: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('set' as const),
      key: fc.integer({ min: 0, max: 1 }),
      size: fc.integer({ min: 0, max: 3_000 }),
      seed: fc.integer({ min: 0, max: 255 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('delete' as const),
      key: fc.integer({ min: 0, max: 1 }),
    }),
  },
);

test('writers that die at any step: whole versions only, and nothing is left after collect()', async () => {
  const redis = new Redis(server.port);
  const options = { chunkBytes: 256, graceMs: 0, tornMs: 0, window: 4 };
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(step, fc.integer({ min: 1, max: 40 }), fc.boolean()), {
        minLength: 1,
        maxLength: 6,
      }),
      async (steps) => {
        await redis.flushall();
        const values = chunked(redis, options);
        const possible = [new Set(['null']), new Set(['null'])];
        // All at once: they race each other for the same keys, and each dies when it dies.
        await Promise.all(
          steps.map(async ([one, commands, arrives]) => {
            const dead = Promise.withResolvers<void>();
            const dying = chunked(mortal(redis, commands, arrives, dead.resolve), {
              ...options,
              tornMs: 3_600_000,
            });
            const set = possible[one.key] as Set<string>;
            const value = one.kind === 'set' ? Buffer.alloc(one.size, one.seed) : null;
            set.add(digest(value));
            const done =
              value === null ? dying.delete(`k${one.key}`) : dying.set(`k${one.key}`, value);
            await Promise.race([done, dead.promise]);
          }),
        );
        for (let k = 0; k < 2; k += 1) {
          const got = await values.get(`k${k}`);
          assert.ok(possible[k]?.has(digest(got)), `k${k}: neither an old nor a new version`);
        }
        await values.collect();
        await values.collect();
        const expected = new Set<string>();
        for (let k = 0; k < 2; k += 1) {
          const info = await values.info(`k${k}`);
          if (info === null) continue;
          expected.add(`k${k}`);
          for (let i = 0; i < info.chunks; i += 1) expected.add(`cc:${info.version}:${i}`);
          const got = await values.get(`k${k}`);
          assert.ok(possible[k]?.has(digest(got)), `k${k} after collect`);
        }
        assert.deepEqual(new Set(await redis.keys('*')), expected);
      },
    ),
    { numRuns: 30, endOnFailure: false },
  );
  await redis.quit();
});

function digest(value: Buffer | null): string {
  return value === null ? 'null' : `${value.length}:${crc32(value)}`;
}

test('both ways to a CRC-32 agree', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 500 }), (bytes) => {
      assert.equal(crc32(bytes), slowCrc32(bytes));
    }),
  );
});
