/** What the kit does when servers, links and processes fail: real ones, through a proxy that breaks them. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import diagnosticsChannel from 'node:diagnostics_channel';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  batch,
  calling,
  chunked,
  type KitError,
  lanesOf,
  RetryBudget,
  UnknownOutcomeError,
} from '../index.ts';
import { plainKinds } from '../testing/clients.ts';
import { faulty } from '../testing/faulty.ts';
import { ask, startServer, type TestServer } from '../testing/server.ts';
import { until } from '../testing/until.ts';

let server: TestServer;
before(async () => {
  server = await startServer();
});
after(() => server?.stop());

const number = async (key: string): Promise<number> =>
  Number(/\n(\d+)/.exec(await ask(server.port, 'GET', key))?.[1] ?? 0);

for (const kind of plainKinds) {
  describe(kind.name, () => {
    const room = faulty(kind, () => server.port);
    const { open } = room;

    test('connections that die in their handshake: the next ones count from their first reply', async () => {
      const redis = await open({ deadlines: false });
      const values = chunked(redis, { chunkBytes: 10_000 });
      const value = randomBytes(300_000);
      await values.set('handshake', value);
      for (let i = 0; i < 3; i += 1) {
        const before = room.proxy.opened;
        room.proxy.mute();
        room.proxy.cut();
        await until(() => room.proxy.opened > before && room.proxy.asked > 0);
        room.proxy.cut();
        room.proxy.resume();
        await until(() => lanesOf(redis).some((lane) => lane.state === 'ready'));
        assert.deepEqual(await values.get('handshake'), value, `after ${i + 1} times`);
      }
    });

    test('a killed connection: reads are made again, each write has run once or says that nobody knows', async () => {
      const redis = await open({
        small: { min: 2 },
        choose: 'round-robin',
        deadlines: false,
      });
      await until(() => lanesOf(redis).every((lane) => lane.state === 'ready'));
      await redis.set('r', 'value');
      await redis.del('n');
      let unknown = 0;
      let done = 0;
      let reads = 0;
      let stop = false;
      const write = async (): Promise<void> => {
        while (!stop) {
          try {
            await redis.incr('n');
            done += 1;
          } catch (error) {
            assert.ok(error instanceof UnknownOutcomeError, String(error));
            assert.equal(error.command, 'INCR');
            unknown += 1;
          }
        }
      };
      const read = async (): Promise<void> => {
        while (!stop) {
          assert.equal(await redis.get('r'), 'value');
          reads += 1;
        }
      };
      const work = [...Array.from({ length: 10 }, write), ...Array.from({ length: 10 }, read)];
      for (let i = 0; i < 5; i += 1) {
        await sleep(60);
        room.proxy.cut();
        await until(() => lanesOf(redis).some((lane) => lane.state === 'ready'));
      }
      await sleep(60);
      stop = true;
      await Promise.all(work);
      const ran = await number('n');
      assert.ok(
        ran >= done && ran <= done + unknown,
        `${done} done, ${unknown} unknown, ${ran} ran`,
      );
      assert.ok(done > 50 && reads > 50 && unknown > 0, `${done} ${reads} ${unknown}`);
    });

    test('a large value is written over connections that are killed meanwhile', async () => {
      const redis = await open({ deadlines: false });
      const values = chunked(redis, { chunkBytes: 10_000 });
      for (let i = 0; i < 3; i += 1) {
        const value = randomBytes(400_000);
        const before = room.proxy.passed;
        const written = values.set('killed', value).catch((error: KitError) => {
          // The swap itself was on its way: whether it ran nobody knows, so it is said, and written again.
          assert.equal(error.code, 'ERR_CLIENT_UNKNOWN_OUTCOME');
          return values.set('killed', value);
        });
        await until(() => room.proxy.passed > before + 100_000);
        room.proxy.cut();
        await written;
        assert.deepEqual(await values.get('killed'), value);
      }
    });

    test('a function that throws when a call was lost fails that call, and the others go on', async () => {
      const redis = await open({
        deadlines: false,
        retries: {
          idempotent: (_command, key) => {
            if (key === 'odd') throw new Error('no rule for odd');
            return true;
          },
        },
      });
      room.proxy.mute();
      const asked = room.proxy.asked;
      const odd = redis.set('odd', '1');
      const even = redis.set('even', '1');
      await until(() => room.proxy.asked > asked);
      room.proxy.cut();
      room.proxy.resume();
      await assert.rejects(odd, /no rule for odd/);
      await even;
    });

    test('a call that is declared idempotent is made again', async () => {
      const redis = await open();
      const safe = calling(redis, { idempotent: true });
      let stop = false;
      let done = 0;
      const work = Array.from({ length: 5 }, async () => {
        while (!stop) {
          await safe.set('same', 'value');
          done += 1;
        }
      });
      for (let i = 0; i < 3; i += 1) {
        await sleep(50);
        room.proxy.cut();
        await until(() => lanesOf(redis).some((lane) => lane.state === 'ready'));
      }
      stop = true;
      await Promise.all(work);
      assert.ok(done > 10);
    });

    test('what the server refused to run is made again, and can be given up meanwhile', async () => {
      const budget = new RetryBudget(1, 1_000);
      const redis = await open({
        retries: { attempts: 1_000, baseMs: 5, capMs: 10, breaker: false, budget },
        deadlines: false,
      });
      let tries = 0;
      const count = (): void => {
        tries += 1;
      };
      diagnosticsChannel.subscribe('cinnabar:client:retry', count);
      // NOREPLICAS, until the setting is taken back.
      await ask(server.port, 'CONFIG', 'SET', 'min-replicas-to-write', '1');
      const giveUp = new AbortController();
      const stays = redis.set('later', 'value');
      const goes = calling(redis, { signal: giveUp.signal }).set('never', 'value');
      await until(() => tries > 10);
      giveUp.abort();
      await assert.rejects(goes, { code: 'ERR_CLIENT_ABORTED' });
      // An attempt that is on its way has been refused when what stands behind it was answered.
      await redis.get('warm');
      await ask(server.port, 'CONFIG', 'SET', 'min-replicas-to-write', '0');
      assert.equal(await stays, 'OK');
      assert.equal(await redis.get('later'), 'value');
      assert.equal(await redis.get('never'), null);
      diagnosticsChannel.unsubscribe('cinnabar:client:retry', count);
    });

    test('what a server in front of others lost is made again where it may be, and is unknown in a batch', async () => {
      const redis = await open({
        retries: { budget: new RetryBudget(1, 1_000), baseMs: 1 },
        deadlines: false,
      });
      // As the endpoint of a managed cache says it.
      const script =
        "if redis.call('incr', KEYS[1]) < 3 then " +
        "return redis.error_reply('OUTCOMEUNKNOWN the connection to its shard was lost') end return 'done'";
      const words = ['EVAL', script, '1', 'behind'];
      await redis.del('behind');
      await assert.rejects(kind.call(redis, ...words), {
        code: 'ERR_CLIENT_UNKNOWN_OUTCOME',
        message: /lost the shard/,
      });
      assert.equal(await redis.get('behind'), '1');
      await redis.del('behind');
      assert.equal(await kind.call(calling(redis, { idempotent: true }), ...words), 'done');
      assert.equal(await redis.get('behind'), '3');
      await redis.del('behind');
      const outcome = await batch(redis, [words, ['GET', 'behind']]);
      assert.deepEqual(
        outcome.results.map((result) => result.status),
        ['unknown', 'done'],
      );
    });

    test('a stalled server: calls fail at their deadline, the socket is given up, and all is well afterwards', async () => {
      const redis = await open({
        deadlines: { fastMs: 200 },
        stallMs: 500,
        retries: { breaker: false },
      });
      const lost: string[] = [];
      const watch = (message: unknown): void => {
        const { what, reason } = message as { what: string; reason: string };
        if (what === 'lost') lost.push(reason);
      };
      diagnosticsChannel.subscribe('cinnabar:client:lane', watch);
      room.proxy.stall();
      const started = performance.now();
      await assert.rejects(redis.get('a'), { code: 'ERR_CLIENT_DEADLINE' });
      assert.ok(performance.now() - started < 1_000);
      await until(() => lost.length > 0, 3_000);
      room.proxy.resume();
      const from = performance.now();
      await until(async () => (await redis.set('a', '1').catch(() => null)) !== null, 8_000);
      assert.ok(performance.now() - from < 6_000);
      diagnosticsChannel.unsubscribe('cinnabar:client:lane', watch);
    });

    test('without a server: calls wait within bounds, then fail with a reason', async () => {
      const redis = await open({
        offline: { calls: 3, ageMs: 150 },
        deadlines: { fastMs: 60_000 },
      });
      room.proxy.refuse(true);
      room.proxy.cut();
      await until(() => lanesOf(redis).every((lane) => lane.state !== 'ready'));
      const codes = await Promise.all(
        Array.from({ length: 5 }, () =>
          redis.get('x').then(
            () => 'ok',
            (e: KitError) => e.code,
          ),
        ),
      );
      assert.deepEqual(codes.sort(), [
        'ERR_CLIENT_OFFLINE',
        'ERR_CLIENT_OFFLINE',
        'ERR_CLIENT_OFFLINE',
        'ERR_CLIENT_QUEUE_FULL',
        'ERR_CLIENT_QUEUE_FULL',
      ]);
      room.proxy.refuse(false);
      await until(async () => (await redis.get('x').catch(() => 'failed')) !== 'failed', 8_000);
    });

    test('a connection that ends with many calls on it opens no circuit', async () => {
      const redis = await open({ retries: { budget: new RetryBudget(1, 1_000) } });
      room.proxy.mute();
      const asked = room.proxy.asked;
      const reads = Array.from({ length: 60 }, () => redis.get('warm'));
      await until(() => room.proxy.asked > asked);
      room.proxy.resume();
      // Connected again within a turn it would never be seen without a connection.
      room.proxy.refuse(true);
      room.proxy.cut();
      await until(() => lanesOf(redis).some((lane) => lane.state !== 'ready'));
      room.proxy.refuse(false);
      const later = Array.from({ length: 10 }, () => redis.get('warm'));
      assert.deepEqual(new Set(await Promise.all([...reads, ...later])), new Set([null]));
    });

    test('after many failures the circuit opens, a probe closes it', async () => {
      const redis = await open({
        deadlines: { fastMs: 200 },
        retries: { attempts: 1, breaker: { minCalls: 10, openMs: 200 } },
        stallMs: false,
      });
      room.proxy.stall();
      await Promise.all(Array.from({ length: 12 }, () => redis.get('x').catch(() => {})));
      await assert.rejects(redis.get('x'), { code: 'ERR_CLIENT_CIRCUIT_OPEN' });
      room.proxy.resume();
      await until(async () => (await redis.get('x').catch(() => 'failed')) !== 'failed', 5_000);
      assert.equal(await redis.get('x'), null);
    });
  });
}
