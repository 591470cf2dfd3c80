/** Keys that are rotated and tokens that are renewed while connections are lost, on each library. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { lanes, lanesOf, overlappingKeys, TokenKeeper } from '../index.ts';
import { clusterKinds, type Kind, olderKinds, plainKinds } from '../testing/clients.ts';
import {
  ask,
  startCluster,
  startServer,
  type TestCluster,
  type TestServer,
} from '../testing/server.ts';
import { until } from '../testing/until.ts';

let server: TestServer;
let cluster: TestCluster;
before(async () => {
  [server, cluster] = await Promise.all([startServer(), startCluster(3)]);
});
after(async () => {
  await Promise.all([server?.stop(), cluster?.stop()]);
});

/** The options with which a client of this kind logs in. */
function login(kind: Kind, username: string, password: string): Record<string, unknown> {
  const own = { username, password };
  if (!kind.name.includes('cluster')) return own;
  return kind.library === 'redis' ? { defaults: own } : { redisOptions: own };
}

for (const [kinds, portsOf] of [
  [[...plainKinds, ...olderKinds], () => [server.port]],
  [clusterKinds, () => cluster.ports],
] as const) {
  for (const kind of kinds) {
    for (const wrapped of [true, false]) {
      const name = `${kind.name}${wrapped ? ' in lanes' : ''}`;
      const user = name.replaceAll(' ', '-');
      const everywhere = (...args: string[]) =>
        Promise.all(portsOf().map((port) => ask(port, ...args)));
      const keys = ['a', 'b', 'c', 'd'].map((k) => `${user}:${k}`);

      test(`${name}: after a rotation, and after a renewal, lost connections come back with the newest login`, async (t) => {
        await everywhere('ACL', 'SETUSER', user, 'on', '>key1', '>key2', '~*', '&*', '+@all');
        const make = () => kind.make(portsOf(), login(kind, user, 'key1'));
        const redis = wrapped ? lanes(make, { retries: { breaker: false } }) : make();
        t.after(() => kind.close(redis));
        await kind.connect(redis);
        const works = async (): Promise<boolean> => {
          const all = keys.map((key) => redis.set(key, 'v'));
          return (await Promise.allSettled(all)).every(({ status }) => status === 'fulfilled');
        };
        await until(works);
        assert.equal(await overlappingKeys(redis, user, ['key2', 'key1']), 0);
        await everywhere('ACL', 'SETUSER', user, '<key1');
        await everywhere('CLIENT', 'KILL', 'USER', user);
        await until(works, 15_000);
        const keeper = new TokenKeeper({
          fetch: async () => ({
            username: user,
            password: 'key3',
            expiresAt: Date.now() + 3_600_000,
          }),
        });
        keeper.attach(redis);
        await everywhere('ACL', 'SETUSER', user, '>key3');
        assert.ok((await keeper.renew()) > 0);
        await everywhere('ACL', 'SETUSER', user, '<key2');
        await everywhere('CLIENT', 'KILL', 'USER', user);
        await until(works, 15_000);
        keeper.stop();
      });
    }
  }
}

for (const kind of plainKinds) {
  test(`${kind.name}: a login that is refused is the cause of what callers see, and a valid key ends it`, async (t) => {
    const user = `late-${kind.name}`;
    await ask(server.port, 'ACL', 'SETUSER', user, 'on', '>first', '~*', '&*', '+@all');
    const redis = lanes(() => kind.make([server.port], { username: user, password: 'first' }), {
      offline: { ageMs: 500 },
      retries: { breaker: false },
    });
    t.after(() => kind.close(redis));
    await kind.connect(redis);
    await redis.set('k', 'v');
    await ask(server.port, 'ACL', 'SETUSER', user, '>second', '<first');
    await ask(server.port, 'CLIENT', 'KILL', 'USER', user);
    await until(() => lanesOf(redis).every(({ state }) => state !== 'ready'));
    await until(
      () =>
        redis.get('k').then(
          () => false,
          (error: Error & { code?: string }) => {
            if (error.code !== 'ERR_CLIENT_OFFLINE' || !/WRONGPASS/.test(error.message))
              return false;
            assert.match(String((error.cause as Error).message), /WRONGPASS/);
            assert.match(error.message, /give the newest/);
            return true;
          },
        ),
      15_000,
    );
    assert.equal(await overlappingKeys(redis, user, ['first', 'second']), 1);
    assert.equal(await redis.set('k', 'v'), 'OK');
  });
}
