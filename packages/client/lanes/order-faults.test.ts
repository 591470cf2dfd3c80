/** What is asked on one key keeps its order, and what cannot be sent holds nobody up, when things fail. */
import assert from 'node:assert/strict';
import diagnosticsChannel from 'node:diagnostics_channel';
import { after, before, describe, test } from 'node:test';
import { calling, type KitError, lanesOf } from '../index.ts';
import { plainKinds } from '../testing/clients.ts';
import { faulty } from '../testing/faulty.ts';
import { ask, startServer, type TestServer } from '../testing/server.ts';
import { until } from '../testing/until.ts';

let server: TestServer;
before(async () => {
  server = await startServer();
});
after(() => server?.stop());

for (const kind of plainKinds) {
  describe(kind.name, () => {
    const room = faulty(kind, () => server.port);
    const { open } = room;

    test('a probe of the circuit that ends without asking the server gives its place to the next call', async () => {
      const redis = await open({
        deadlines: { fastMs: 200 },
        retries: { attempts: 1, breaker: { minCalls: 10, openMs: 100 } },
        stallMs: false,
      });
      room.proxy.stall();
      await Promise.all(Array.from({ length: 12 }, () => redis.get('x').catch(() => {})));
      await assert.rejects(kind.pipeline(redis, [['get', 'x']]), {
        code: 'ERR_CLIENT_CIRCUIT_OPEN',
      });
      room.proxy.resume();
      const ended = AbortSignal.abort();
      const code = (): Promise<string> =>
        calling(redis, { signal: ended })
          .get('x')
          .then(String, (error: KitError) => error.code);
      await until(async () => (await code()) === 'ERR_CLIENT_ABORTED');
      assert.equal(await redis.get('x'), null);
    });

    test('a write that was refused is made again only while nothing later is asked for on its key', async () => {
      const redis = await open({
        retries: { attempts: 100, baseMs: 20, capMs: 40, breaker: false },
        deadlines: false,
      });
      const needs = (replicas: string): Promise<unknown> =>
        ask(server.port, 'CONFIG', 'SET', 'min-replicas-to-write', replicas);
      let tries = 0;
      const count = (): void => {
        tries += 1;
      };
      diagnosticsChannel.subscribe('cinnabar:client:retry', count);
      await needs('1');
      const older = redis.set('over', 'older').catch((error: Error) => error.message);
      await until(() => tries > 0);
      await needs('0');
      assert.equal(await redis.set('over', 'newer'), 'OK');
      const outcome = await older;
      assert.match(String(outcome), /NOREPLICAS|OK/);
      assert.equal(await redis.get('over'), 'newer');

      // Both are refused: only the last one has nothing later behind it.
      await needs('1');
      const both = [redis.set('over', 'first'), redis.set('over', 'second')];
      const first = both[0]?.catch((error: Error) => error.message);
      assert.match(String(await first), /NOREPLICAS/);
      await needs('0');
      assert.equal(await both[1], 'OK');
      assert.equal(await redis.get('over'), 'second');
      diagnosticsChannel.unsubscribe('cinnabar:client:retry', count);
    });

    test('while a server refuses writes, reads go on: no circuit opens', async () => {
      const redis = await open({ retries: { attempts: 1, breaker: { minCalls: 5 } } });
      await ask(server.port, 'CONFIG', 'SET', 'min-replicas-to-write', '1');
      try {
        const writes = Array.from({ length: 30 }, (_, i) => redis.set(`refused:${i}`, 'v'));
        for (const { status } of await Promise.allSettled(writes)) assert.equal(status, 'rejected');
        assert.equal(await redis.get('warm'), null);
      } finally {
        await ask(server.port, 'CONFIG', 'SET', 'min-replicas-to-write', '0');
      }
    });

    test('a read behind a large reply does not see a write that was asked for after it', async () => {
      const redis = await open();
      await redis.set('big', Buffer.alloc(3_000_000, 'x'));
      await redis.set('seen', 'before');
      room.proxy.limit(20_000_000);
      const fresh = await open({ small: { min: 2 } });
      await until(() => lanesOf(fresh).every((lane) => lane.state === 'ready'));
      const big = fresh.get('big');
      const seen = fresh.get('seen');
      await fresh.set('seen', 'after');
      assert.equal(await seen, 'before');
      await big;
      room.proxy.limit(0);
    });

    test('an argument that cannot become a string fails its call only', async () => {
      const redis = await open({ deadlines: { fastMs: 50 } });
      const nothing = Object.create(null) as string;
      await assert.rejects(async () => redis.set('k', nothing), TypeError);
      await assert.rejects(async () => kind.pipeline(redis, [['set', 'k', nothing]]));
      const begun = performance.now();
      await until(() => performance.now() - begun > 100);
      assert.deepEqual(
        lanesOf(redis).map((lane) => lane.pending),
        [0],
      );
      // A busy machine may take longer for it.
      assert.equal(await calling(redis, { deadlineMs: 5_000 }).get('warm'), null);
    });

    test('pipelines and transactions end by their signal, before and after they are sent', async () => {
      const redis = await open();
      const warned: Error[] = [];
      const warn = (warning: Error): void => void warned.push(warning);
      process.on('warning', warn);
      const many = Array.from({ length: 12 }, () => ['get', 'x']);
      const codes = async (run: Promise<readonly unknown[]>): Promise<unknown[]> =>
        (await run.catch((error: unknown) => [error])).map((error) => (error as KitError).code);
      const all = async (signal: AbortSignal): Promise<unknown[]> => {
        const view = calling(redis, { signal });
        const runs = [kind.pipeline(view, many), kind.multi(view, many)].map(codes);
        return [...new Set((await Promise.all(runs)).flat())];
      };
      assert.deepEqual(await all(AbortSignal.abort()), ['ERR_CLIENT_ABORTED']);
      room.proxy.stall();
      const ending = new AbortController();
      const ended = all(ending.signal);
      setImmediate(() => ending.abort());
      assert.deepEqual(await ended, ['ERR_CLIENT_ABORTED']);
      room.proxy.resume();
      assert.equal(await redis.get('warm'), null);
      assert.deepEqual(warned, []);
      process.off('warning', warn);
      if (kind.library === 'redis')
        await assert.rejects(kind.call(redis, 'SUBSCRIBE', 'x'), {
          code: 'ERR_CLIENT_UNSUPPORTED',
        });
    });

    test('transactions and commands between them keep their order', async () => {
      const redis = await open();
      for (let i = 0; i < 20; i += 1) {
        await redis.set('n', '0');
        const all = await Promise.all([
          kind.multi(redis, [['get', 'n']]),
          redis.incr('n'),
          kind.multi(redis, [
            ['get', 'n'],
            ['incr', 'n'],
          ]),
          redis.get('n'),
          kind.multi(redis, [['get', 'n']]),
        ]);
        assert.deepEqual(all.flat().map(String), ['0', '1', '1', '2', '2', '2']);
      }
    });
  });
}
