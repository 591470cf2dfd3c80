/** Connections that nobody uses: kept alive, and found out when their other end is gone. */
import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { Redis } from 'ioredis';
import { lanes, lanesOf, observe } from '../index.ts';
import { clusterKinds, olderKinds, plainKinds } from '../testing/clients.ts';
import { startProxy } from '../testing/proxy.ts';
import { ask, startCluster, startServer, type TestServer } from '../testing/server.ts';
import { until } from '../testing/until.ts';

let server: TestServer;
before(async () => {
  server = await startServer();
});
after(() => server?.stop());

const pings = async (port: number): Promise<number> =>
  Number(/cmdstat_ping:calls=(\d+)/.exec(await ask(port, 'INFO', 'commandstats'))?.[1] ?? 0);

const often = { pingMs: 50, deadlines: { connectMs: 300 } };

for (const kind of [...plainKinds, ...olderKinds]) {
  describe(kind.name, () => {
    test('an idle connection is kept alive, and one that does not answer is made anew', async (t) => {
      const proxy = await startProxy(server.port);
      t.after(() => proxy.stop());
      const redis = lanes(() => kind.make([proxy.port]), often);
      t.after(() => kind.close(redis));
      await kind.connect(redis);
      await redis.get('k');
      const before = await pings(server.port);
      const { opened } = proxy;
      await until(async () => (await pings(server.port)) > before + 3);
      assert.equal(proxy.opened, opened);
      proxy.mute();
      await until(() => proxy.opened > opened);
      proxy.resume();
      assert.equal(await redis.get('k'), null);
    });

    test('a subscription whose other end is gone is made anew', async (t) => {
      const proxy = await startProxy(server.port);
      t.after(() => proxy.stop());
      const redis = lanes(() => kind.make([proxy.port]), often);
      t.after(() => kind.close(redis));
      await kind.connect(redis);
      const heard: string[] = [];
      const channel = `news of ${kind.name}`;
      await kind.subscribe(redis, channel, (message) => heard.push(message));
      const { opened } = proxy;
      const before = await pings(server.port);
      await until(async () => (await pings(server.port)) > before + 4);
      assert.equal(proxy.opened, opened, 'one that answers is kept');
      proxy.mute();
      await until(() => proxy.opened >= opened + 2);
      proxy.resume();
      await until(async () => {
        await ask(server.port, 'PUBLISH', channel, 'again');
        return heard.length > 0;
      });
    });

    test('a user who may not PING, a blocking command that waits: nothing ends', async (t) => {
      const proxy = await startProxy(server.port);
      t.after(() => proxy.stop());
      const user = kind.name.replace(' ', '');
      await ask(server.port, 'ACL', 'SETUSER', user, 'on', '>pw', '~*', '&*', '+@all', '-ping');
      const redis = lanes(() => kind.make([proxy.port], { username: user, password: 'pw' }), often);
      t.after(() => kind.close(redis));
      await kind.connect(redis);
      await redis.get('k');
      const popped = kind.call(redis, 'BLPOP', 'list', '5');
      await until(() =>
        lanesOf(redis).some(({ lane, pending }) => /block/.test(lane) && pending > 0),
      );
      const { opened } = proxy;
      const begun = performance.now();
      await until(() => performance.now() - begun > 700);
      assert.equal(proxy.opened, opened);
      await ask(server.port, 'RPUSH', 'list', 'v');
      assert.deepEqual(await popped, ['list', 'v']);
    });

    test('observe() sends nothing of its own', async (t) => {
      const redis = observe(kind.make([server.port]));
      t.after(() => kind.close(redis));
      await kind.connect(redis);
      await redis.get('k');
      const before = await pings(server.port);
      const begun = performance.now();
      await until(() => performance.now() - begun > 300);
      assert.equal(await pings(server.port), before);
    });
  });
}

for (const kind of clusterKinds) {
  test(`${kind.name}: each connection to a node that was used is kept alive`, async (t) => {
    const cluster = await startCluster(3);
    t.after(() => cluster.stop());
    const redis = lanes(() => kind.make(cluster.ports), often);
    t.after(() => kind.close(redis));
    await kind.connect(redis);
    for (let i = 0; i < 20; i += 1) await redis.get(`k${i}`);
    const before = await Promise.all(cluster.ports.map(pings));
    await until(async () => {
      const now = await Promise.all(cluster.ports.map(pings));
      return now.every((count, i) => count > (before[i] ?? 0) + 2);
    });
    assert.equal(await redis.get('k1'), null);
  });
}

for (const kind of [...plainKinds, ...clusterKinds].filter(({ library }) => library !== 'redis')) {
  test(`${kind.name}: TCP finds out a peer that is gone while a blocking command waits`, async (t) => {
    const cluster = kind.name.includes('cluster') ? await startCluster(1) : undefined;
    t.after(() => cluster?.stop());
    const delays = new Map<object, unknown[]>();
    const see = (message: unknown): void => {
      const { socket } = message as { socket: Socket };
      const { setKeepAlive } = socket;
      delays.set(socket, []);
      socket.setKeepAlive = (...args) => {
        delays.get(socket)?.push(...args);
        return Reflect.apply(setKeepAlive, socket, args) as Socket;
      };
    };
    subscribe('net.client.socket', see);
    t.after(() => unsubscribe('net.client.socket', see));
    // As the older ones have it by themselves.
    const off = { keepAlive: 0 };
    const more = cluster === undefined ? off : { redisOptions: off };
    const redis = lanes(() => kind.make(cluster?.ports ?? [server.port], more));
    t.after(() => kind.close(redis));
    await redis.get('k');
    delays.clear();
    const popped = kind.call(redis, 'BLPOP', 'waits', '0');
    await until(() => [...delays.values()].some(([on]) => on === true));
    await until(() =>
      lanesOf(redis).some(({ lane, pending }) => /block/.test(lane) && pending > 0),
    );
    for (const [on, ms] of delays.values()) {
      if (on === undefined) continue;
      assert.equal(on, true);
      assert.ok(Number(ms) > 0 && Number(ms) <= 60_000, `after ${ms} ms`);
    }
    await redis.get('k');
    await kind.call(redis, 'RPUSH', 'waits', 'v');
    assert.deepEqual(await popped, ['waits', 'v']);
  });
}

test('in the middle of a MULTI nothing is added to it', async (t) => {
  const redis = lanes(() => new Redis(server.port), often);
  t.after(() => redis.disconnect());
  redis.multi({ pipeline: false });
  redis.set('in', '1');
  const begun = performance.now();
  await until(() => performance.now() - begun > 300);
  assert.deepEqual(await redis.exec(), [[null, 'OK']]);
});
