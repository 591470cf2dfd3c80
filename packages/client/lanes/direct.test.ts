/**
 * The kit writes most commands past ioredis' and iovalkey's own sendCommand. Whatever these would have made
 * of a command must come out all the same.
 */
import assert from 'node:assert/strict';
import { tracingChannel } from 'node:diagnostics_channel';
import { after, before, describe, test } from 'node:test';
import { Command, Redis, type RedisOptions } from 'ioredis';
import iovalkey from 'iovalkey';
import { calling, harden, lanes, lanesOf } from '../index.ts';
import { startProxy } from '../testing/proxy.ts';
import { startServer, type TestServer } from '../testing/server.ts';
import { until } from '../testing/until.ts';

let server: TestServer;
before(async () => {
  server = await startServer(['--requirepass', 'secret']);
});
after(() => server?.stop());

type Make = (options?: RedisOptions) => Redis;

const filled = (options: RedisOptions | undefined): RedisOptions => ({
  port: server.port,
  password: 'secret',
  ...options,
});
const kinds: Readonly<Record<string, Make>> = {
  'ioredis, RESP3': (options) => new Redis(filled(options) as never),
  'ioredis, RESP2': (options) => new Redis({ ...filled(options), protocol: 2 } as never),
  iovalkey: (options) => new iovalkey.default(filled(options) as object) as unknown as Redis,
};

/** Both clients, at their end. */
async function beside(
  make: () => Redis,
  body: (plain: Redis, laned: Redis) => Promise<void>,
): Promise<void> {
  const plain = make();
  const laned = lanes(make);
  for (const one of [plain, laned]) one.on('error', () => {});
  try {
    // The first command of a connection goes the library's way.
    await laned.get('warm');
    await body(plain, laned);
  } finally {
    plain.disconnect();
    laned.disconnect();
  }
}

async function outcome(run: () => Promise<unknown>): Promise<unknown> {
  try {
    return await run();
  } catch (error) {
    return `${(error as Error).name}: ${(error as Error).message}`;
  }
}

for (const [name, make] of Object.entries(kinds)) {
  describe(name, () => {
    for (const options of [{}, { stringNumbers: true }, { keyPrefix: 'p:' }, { db: 2 }]) {
      test(`replies and errors are the library's own: ${JSON.stringify(options)}`, async () => {
        await beside(
          () => make(options),
          async (plain, laned) => {
            const commands: ((redis: Redis) => Promise<unknown>)[] = [
              (redis) => redis.set('k', Buffer.from([0, 255, 13, 10])),
              (redis) => redis.getBuffer('k'),
              (redis) => redis.set('k', ''),
              (redis) => redis.get('k'),
              (redis) => redis.set('k', 12),
              (redis) => redis.incr('k'),
              (redis) => redis.incrbyfloat('k', 0.5),
              (redis) => redis.del('h', 'z', 'k'),
              (redis) => redis.hset('h', { f: 'ü', g: 2 }),
              (redis) => redis.hgetall('h'),
              (redis) => redis.zadd('z', 1.5, 'm'),
              (redis) => redis.zscore('z', 'm'),
              (redis) => redis.call('ZRANGE', 'z', '0', '-1', 'WITHSCORES'),
              (redis) => redis.incr('h'),
              (redis) => redis.call('SET', 'k', 'v', 'EX', '-1'),
              (redis) => redis.call('GET', 'h'),
              (redis) => redis.call('EXPIRE', 'none', '5'),
              (redis) => redis.lrange('none', 0, -1),
            ];
            const all: unknown[][] = [];
            for (const redis of [laned, plain]) {
              await redis.del('k', 'h', 'z');
              const outcomes: unknown[] = [];
              for (const command of commands) {
                outcomes.push([String(command), await outcome(() => command(redis))]);
              }
              all.push(outcomes);
            }
            assert.deepEqual(all[0], all[1]);
            const seen: unknown[] = [];
            await new Promise<void>((resolve) => {
              laned.get('h', (error, reply) => {
                seen.push(error?.message.slice(0, 9), reply);
                resolve();
              });
            });
            assert.deepEqual(seen, ['WRONGTYPE', undefined]);
          },
        );
      });
    }

    test('transformers, friendly stacks, a transaction that is no pipeline', async () => {
      await beside(
        () => make({ showFriendlyErrorStack: true }),
        async (_plain, laned) => {
          const Its =
            name === 'iovalkey' ? (iovalkey.Command as unknown as typeof Command) : Command;
          Its.setArgumentTransformer('getset', (args) => [args[0], `<${args[1]}>`]);
          Its.setReplyTransformer('getset', (reply) => `was ${reply}`);
          try {
            await laned.set('t', 'a');
            assert.equal(await laned.getset('t', 'b'), 'was a');
            assert.equal(await laned.get('t'), '<b>');
          } finally {
            const { _transformer } = Its as unknown as {
              _transformer: { argument: Record<string, unknown>; reply: Record<string, unknown> };
            };
            delete _transformer.argument['getset'];
            delete _transformer.reply['getset'];
          }
          await assert.rejects(laned.incr('t'), (error: Error) =>
            /direct\.test\.ts/.test(error.stack ?? ''),
          );
          await laned.multi({ pipeline: false });
          assert.equal(await laned.get('t'), 'QUEUED');
          assert.equal(await laned.set('t', 'c'), 'QUEUED');
          assert.deepEqual(await laned.exec(), [
            [null, '<b>'],
            [null, 'OK'],
          ]);
          assert.equal(await laned.get('t'), 'c');
        },
      );
    });

    test('a connection that subscribes refuses what the library refuses, and answers again afterwards', async () => {
      const plain = make();
      const alone = harden(make());
      try {
        const both: unknown[] = [];
        for (const one of [plain, alone]) {
          await one.get('x');
          await one.subscribe('c');
          const while_ = await outcome(() => one.get('x'));
          await one.unsubscribe('c');
          both.push([while_, await one.get('x')]);
        }
        assert.deepEqual(both[1], both[0]);
      } finally {
        plain.disconnect();
        alone.disconnect();
      }
    });

    test('a socket that takes no more, and one that is cut mid-write: every call has its answer', async (t) => {
      const proxy = await startProxy(server.port);
      t.after(() => proxy.stop());
      const redis = lanes(() => make({ port: proxy.port, db: 3, enableOfflineQueue: false }));
      redis.on('error', () => {});
      t.after(() => redis.disconnect());
      await redis.set('n', 0);
      const part = 'x'.repeat(60_000);
      proxy.stall();
      const waiting = Array.from({ length: 200 }, (_, i) => redis.set(`w:${i}`, part));
      await new Promise((resolve) => setImmediate(resolve));
      proxy.resume();
      assert.deepEqual(new Set(await Promise.all(waiting)), new Set(['OK']));

      let acknowledged = 0;
      let unknown = 0;
      for (let round = 0; round < 3; round += 1) {
        const before = proxy.opened;
        const calls = Array.from({ length: 100 }, async (_, i) => {
          try {
            if (i % 4 === 0) await redis.set(`w:${i}`, part);
            await redis.incr('n');
            acknowledged += 1;
          } catch (error) {
            assert.equal((error as { code?: string }).code, 'ERR_CLIENT_UNKNOWN_OUTCOME');
            unknown += 1;
          }
        });
        setImmediate(() => proxy.cut());
        await Promise.all(calls);
        await until(() => proxy.opened > before);
      }
      // The new connections are logged in, and in the same database.
      const n = Number(await redis.get('n'));
      assert.ok(
        n >= acknowledged && n <= acknowledged + unknown,
        `${n} ${acknowledged} ${unknown}`,
      );
      assert.equal(await redis.get('w:0'), part);
      assert.ok(lanesOf(redis).every((lane) => lane.pending === 0));
    });

    test('quit() waits for what is on its way, disconnect() ends it, and nothing stays pending', async () => {
      for (const end of ['quit', 'disconnect'] as const) {
        const redis = lanes(() => make());
        redis.on('error', () => {});
        await redis.get('x');
        const calls = Array.from({ length: 50 }, () => outcome(() => redis.get('none')));
        const ended = redis[end]();
        const replies = new Set(await Promise.all(calls));
        await ended;
        if (end === 'quit') assert.deepEqual(replies, new Set([null]));
        assert.match(String(await outcome(() => redis.get('x'))), /was closed/);
      }
    });

    test('a library that does more with a command is left to do it', async () => {
      let asked = 0;
      const redis = lanes(() => {
        const made = make();
        const send = made.sendCommand;
        made.sendCommand = function more(this: Redis, ...args) {
          const result = send.apply(made, args);
          const item = (
            made as unknown as { commandQueue: { peekBack(): { more?: number } } }
          ).commandQueue.peekBack();
          if (item !== undefined) item.more = asked;
          if (args[0].name === 'get') asked += 1;
          return result;
        };
        return made;
      });
      for (let i = 0; i < 5; i += 1) await redis.get('x');
      redis.disconnect();
      assert.equal(asked, 5);
    });

    test('a library without what the kit needs is refused by name', () => {
      assert.throws(
        () =>
          lanes(() => {
            const made = make({ lazyConnect: true });
            Object.defineProperty(made, 'handleReconnection', { value: undefined });
            return made;
          }),
        (error: Error & { code?: string }) =>
          error.code === 'ERR_CLIENT_UNSUPPORTED' && /handleReconnection/.test(error.message),
      );
    });
  });
}

test('ioredis: who begins to trace the commands sees all that follow', async () => {
  const redis = lanes(() => new Redis(server.port, { password: 'secret' }));
  await redis.get('x');
  await redis.get('x');
  const seen: unknown[] = [];
  const listeners = { start: (context: object) => void seen.push(Reflect.get(context, 'command')) };
  const channel = tracingChannel('ioredis:command');
  const unheard = (): void => {};
  const hears = {
    end: unheard,
    asyncStart: unheard,
    asyncEnd: unheard,
    error: unheard,
    ...listeners,
  };
  channel.subscribe(hears);
  await redis.get('x');
  await calling(redis, { deadlineMs: 1_000 }).set('x', '1');
  channel.unsubscribe(hears);
  redis.disconnect();
  assert.deepEqual(
    seen.map((one) => String(one).toLowerCase()),
    ['get', 'set'],
  );
});
