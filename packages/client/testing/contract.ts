/**
 * The promises of the kit as a suite of tests, for every wrapped client and every server: a plain one,
 * a cluster, a managed cache. What a server cannot do is left out by `has`.
 */
import assert from 'node:assert/strict';
import diagnosticsChannel from 'node:diagnostics_channel';
import { test } from 'node:test';
import { type CommandEvent, calling, type LanesOptions, lanes, lanesOf } from '../index.ts';
import type { AnyClient, Kind } from './clients.ts';
import { until } from './until.ts';

/** What a server has beside the commands on one key. */
export interface Has {
  /** One connection reaches every key: commands on all of them, and WATCH, mean what they say. */
  readonly oneAddress: boolean;
  /** SELECT. */
  readonly databases: boolean;
}

async function withLanes(
  kind: Kind,
  ports: readonly number[],
  options: LanesOptions,
  body: (redis: AnyClient & object) => Promise<void>,
): Promise<void> {
  const redis = lanes(() => kind.make(ports), options);
  await kind.connect(redis);
  try {
    await body(redis);
  } finally {
    await kind.close(redis);
  }
}

const megabytes = (n: number): Buffer => Buffer.alloc(n * 1024 * 1024, 'v');

export function contract(kind: Kind, portsOf: () => readonly number[], has: Has): void {
  const key = (name: string): string => `{${kind.name}}:${name}`;

  test('commands, errors, and values as the plain client gives them', async () => {
    const plain = kind.make(portsOf());
    await kind.connect(plain);
    await withLanes(kind, portsOf(), { small: { min: 2 } }, async (redis) => {
      for (const args of [
        ['SET', key('a'), '1'],
        ['GET', key('a')],
        ['GET', key('none')],
        ['INCR', key('a')],
        ['HSET', key('h'), 'f', 'v', 'g', 'w'],
        ['HGET', key('h'), 'f'],
        ['RPUSH', key('l'), 'x', 'y'],
        ['LRANGE', key('l'), '0', '-1'],
        ['EVAL', 'return ARGV[1]', '1', key('a'), 'hello'],
      ]) {
        await kind.call(plain, 'DEL', key('a'), key('h'), key('l'));
        const expected = await kind.call(plain, ...args);
        await kind.call(plain, 'DEL', key('a'), key('h'), key('l'));
        assert.deepEqual(await kind.call(redis, ...args), expected, args.join(' '));
      }
      await redis.set(key('text'), 'no number');
      await assert.rejects(redis.incr(key('text')), /not an integer/);
    });
    await kind.close(plain);
  });

  test('a large reply on a small lane makes it a bulk lane, and small ones go elsewhere', async () => {
    await withLanes(kind, portsOf(), {}, async (redis) => {
      await redis.set(key('big:1'), megabytes(4));
      await redis.set(key('big:2'), megabytes(4));
      await redis.set(key('small'), 'x');
      assert.equal((await redis.get(key('big:1')))?.length, 4 * 1024 * 1024);
      await until(() =>
        lanesOf(redis).some((l) => l.lane.startsWith('small') && l.state === 'ready'),
      );
      const laneOf = new Map<string, string>();
      const watch = (message: unknown): void => {
        const event = message as CommandEvent;
        laneOf.set(String(event.key), event.lane);
      };
      diagnosticsChannel.subscribe('cinnabar:client:command', watch);
      await Promise.all([redis.get(key('big:2')), redis.get(key('small'))]);
      diagnosticsChannel.unsubscribe('cinnabar:client:command', watch);
      assert.match(String(laneOf.get(key('big:2'))), /^bulk/);
      assert.match(String(laneOf.get(key('small'))), /^small/);
    });
  });

  test('order per key holds over lanes, without waiting for any of them', async () => {
    await withLanes(
      kind,
      portsOf(),
      // About order only: a small one waits behind megabytes of large replies on its key, as it was asked to.
      { small: { min: 3, max: 3 }, choose: 'round-robin', deadlines: false },
      async (redis) => {
        await until(() => lanesOf(redis).every((l) => l.state === 'ready'));
        const keys = ['k1', 'k2', 'k3', 'k4'].map((k) => key(k));
        for (const k of keys) await redis.del(k);
        const expected = new Map(keys.map((k) => [k, '']));
        const reads: Promise<void>[] = [];
        const big = 'B'.repeat(100_000);
        for (let i = 0; i < 300; i += 1) {
          const k = keys[(i * 7) % keys.length] as string;
          const part = i % 50 === 49 ? big : `${i},`;
          expected.set(k, (expected.get(k) ?? '') + part);
          const want = expected.get(k) as string;
          redis.append(k, part).catch(() => assert.fail());
          if (i % 3 === 0)
            reads.push(redis.get(k).then((v) => assert.equal(v === want, true, `read ${i}`)));
        }
        await Promise.all(reads);
        for (const k of keys) assert.equal((await redis.get(k)) === expected.get(k), true);
      },
    );
  });

  test('pipelines and transactions go in one piece and keep their places', async () => {
    await withLanes(kind, portsOf(), { small: { min: 2 } }, async (redis) => {
      await redis.del(key('n'));
      const commands = [
        ['incr', key('n')],
        ['incr', key('n')],
        ['get', key('n')],
      ];
      const same = (replies: readonly unknown[]): string[] => replies.map(String);
      assert.deepEqual(same(await kind.pipeline(redis, commands)), ['1', '2', '2']);
      assert.deepEqual(same(await kind.multi(redis, commands)), ['3', '4', '4']);
      const rounds = await Promise.all(
        Array.from({ length: 20 }, () => kind.multi(redis, commands.slice(0, 2))),
      );
      const numbers = rounds.flat().map(Number);
      assert.deepEqual(
        rounds.every(([a, b]) => Number(a) + 1 === Number(b)),
        true,
        'a transaction was interleaved',
      );
      assert.equal(new Set(numbers).size, 40);
    });
  });

  test('blocking commands hold nobody up', async () => {
    await withLanes(kind, portsOf(), {}, async (redis) => {
      const pops = Array.from({ length: 3 }, () => kind.call(redis, 'BLPOP', key('queue'), '5'));
      const started = performance.now();
      for (let i = 0; i < 50; i += 1) await redis.set(key('x'), String(i));
      assert.ok(performance.now() - started < 2_000);
      for (let i = 0; i < 3; i += 1) await kind.call(redis, 'RPUSH', key('queue'), `m${i}`);
      const got = (await Promise.all(pops)).map((reply) => String((reply as unknown[])[1]));
      assert.deepEqual(got.sort(), ['m0', 'm1', 'm2']);
    });
  });

  test('a subscription has a connection of its own', async () => {
    await withLanes(kind, portsOf(), {}, async (redis) => {
      const seen: string[] = [];
      await kind.subscribe(redis, key('news'), (message) => seen.push(message));
      await redis.set(key('after'), '1');
      await kind.call(redis, 'PUBLISH', key('news'), 'hello');
      await until(() => seen.length > 0);
      assert.deepEqual(seen, ['hello']);
    });
  });

  test('an abort signal and a deadline end a call, and the connection goes on', async () => {
    await withLanes(kind, portsOf(), {}, async (redis) => {
      const aborted = calling(redis, { signal: AbortSignal.timeout(60) });
      await assert.rejects(kind.call(aborted, 'BLPOP', key('never'), '30'), {
        code: 'ERR_CLIENT_ABORTED',
      });
      const short = calling(redis, { deadlineMs: 80 });
      await assert.rejects(kind.call(short, 'BLPOP', key('never'), '30'), {
        code: 'ERR_CLIENT_DEADLINE',
      });
      await redis.set(key('fine'), 'yes');
      assert.equal(await redis.get(key('fine')), 'yes');
    });
  });

  if (has.oneAddress) {
    test('a barrier comes after what was asked before it, and before what comes after', async () => {
      await withLanes(
        kind,
        portsOf(),
        { small: { min: 3 }, choose: 'round-robin' },
        async (redis) => {
          await until(() => lanesOf(redis).every((l) => l.state === 'ready'));
          for (let round = 0; round < 20; round += 1) {
            const before = Array.from({ length: 10 }, (_, i) => redis.set(key(`f${i}`), 'x'));
            const flush = kind.call(redis, 'FLUSHDB');
            const reads = Array.from({ length: 10 }, (_, i) => redis.get(key(`f${i}`)));
            await Promise.all([...before, flush]);
            assert.deepEqual(new Set(await Promise.all(reads)), new Set([null]));
          }
        },
      );
    });
  }

  if (has.databases) {
    test('SELECT reaches every lane, also those that open later', async () => {
      await withLanes(
        kind,
        portsOf(),
        { small: { min: 2, max: 2 }, choose: 'round-robin' },
        async (redis) => {
          await kind.call(redis, 'SELECT', '3');
          await Promise.all(Array.from({ length: 10 }, (_, i) => redis.set(key(`db3:${i}`), 'x')));
          await redis.set(key('big'), megabytes(1));
          await redis.get(key('big'));
          await redis.get(key('big'));
          assert.equal(await kind.call(redis, 'DBSIZE'), 11);
          await kind.call(redis, 'FLUSHDB');
        },
      );
    });
  }

  if (has.oneAddress && kind.library !== 'redis') {
    test('WATCH holds over lanes, and a lost connection ends it', async () => {
      await withLanes(
        kind,
        portsOf(),
        { small: { min: 3 }, choose: 'round-robin' },
        async (redis) => {
          await until(() => lanesOf(redis).every((l) => l.state === 'ready'));
          for (let i = 0; i < 6; i += 1) {
            await redis.set(key('w'), '1');
            await kind.call(redis, 'WATCH', key('w'));
            if (i % 2 === 0) await redis.set(key('w'), 'changed');
            const io = redis as unknown as {
              multi(): { incr(k: string): { exec(): Promise<unknown> } };
            };
            const result = await io.multi().incr(key('w')).exec();
            if (i % 2 === 0) assert.equal(result, null);
            else assert.deepEqual(result, [[null, 2]]);
          }
        },
      );
    });
  }
}
