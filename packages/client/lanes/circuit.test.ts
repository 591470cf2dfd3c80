/** The circuit breaker and servers that are gone: what opens it, what does not, and what closes it. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type KitError, lanesOf } from '../index.ts';
import { plainKinds } from '../testing/clients.ts';
import { faulty } from '../testing/faulty.ts';
import { startServer, type TestServer } from '../testing/server.ts';
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
    const gone = async (redis: object): Promise<void> => {
      room.proxy.refuse(true);
      room.proxy.cut();
      await until(() => lanesOf(redis).every((lane) => lane.state !== 'ready'));
    };
    const codes = async (redis: { get(key: string): Promise<unknown> }): Promise<unknown> => {
      const all = await Promise.all(
        Array.from({ length: 30 }, () => redis.get('k').catch((error: KitError) => error.code)),
      );
      return [...new Set(all)].join();
    };

    test('calls that no connection came for open it; the connection that comes is tried at once', async () => {
      const redis = await open({
        offline: { ageMs: 1_200 },
        retries: { breaker: { openMs: 60_000 } },
      });
      await gone(redis);
      assert.equal(await codes(redis), 'ERR_CLIENT_OFFLINE');
      const asked = performance.now();
      assert.equal(await codes(redis), 'ERR_CLIENT_CIRCUIT_OPEN');
      const took = performance.now() - asked;
      assert.ok(took < 600, `refused after ${took} ms, half of what waiting takes`);
      room.proxy.refuse(false);
      await until(async () => (await redis.get('k').catch(() => 'failed')) === null, 10_000);
      assert.equal(await codes(redis), '');
    });

    test('with hardly a call, connections that cannot be made open it when calls would have failed', async () => {
      const redis = await open({
        offline: { ageMs: 300 },
        retries: { breaker: { minCalls: 3, openMs: 60_000 } },
      });
      await gone(redis);
      const code = (): Promise<unknown> => redis.get('k').catch((error: KitError) => error.code);
      assert.equal(await code(), 'ERR_CLIENT_OFFLINE');
      await until(async () => (await code()) === 'ERR_CLIENT_CIRCUIT_OPEN', 10_000);
      room.proxy.refuse(false);
      await until(async () => (await code()) === null, 10_000);
    });

    test('a short failover does not, though callers were less patient than it took', async () => {
      const redis = await open({ offline: { ageMs: 300 }, retries: { breaker: { minCalls: 5 } } });
      await gone(redis);
      assert.equal(await codes(redis), 'ERR_CLIENT_OFFLINE');
      const back = redis.get('k').catch((error: KitError) => error.code);
      room.proxy.refuse(false);
      assert.notEqual(await back, 'ERR_CLIENT_CIRCUIT_OPEN');
    });
  });
}
