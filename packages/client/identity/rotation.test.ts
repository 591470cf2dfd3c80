/** Keys that are rotated and tokens that are renewed while connections are lost, on each library. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { testCertificates } from '../../engine/testing.ts';
import { lanes, lanesOf, overlappingKeys, TokenKeeper } from '../index.ts';
import { OFFLINE_AGE_MS } from '../limits.ts';
import { clusterKinds, type Kind, olderKinds, overTls, plainKinds } from '../testing/clients.ts';
import {
  ask,
  freePort,
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

test('a token that current() had to fetch is that of every attached client, though one of them gets no answer', async (t) => {
  const mute = await startServer();
  t.after(() => mute.stop());
  const user = 'late-token';
  for (const { port } of [server, mute])
    await ask(port, 'ACL', 'SETUSER', user, 'on', '>token1', '~*', '&*', '+@all');
  let time = 0;
  let fetched = 0;
  const keeper = new TokenKeeper({
    now: () => time,
    fetch: async () => {
      fetched += 1;
      return { username: user, password: `token${fetched}`, expiresAt: time + 3_600_000 };
    },
  });
  t.after(() => keeper.stop());
  const { password } = await keeper.current();
  type Client = ReturnType<(typeof plainKinds)[number]['make']>;
  const clients: Client[] = [];
  for (const kind of plainKinds) {
    for (const { port } of [mute, server]) {
      const redis = kind.make([port], { username: user, password });
      t.after(() => kind.close(redis));
      await kind.connect(redis);
      keeper.attach(redis);
      if (port === server.port) clients.push(redis);
    }
  }
  await ask(mute.port, 'CLIENT', 'PAUSE', '5000', 'ALL');
  await ask(server.port, 'ACL', 'SETUSER', user, '>token2');
  time += 3_600_001;
  assert.equal((await keeper.current()).password, 'token2');
  await ask(server.port, 'ACL', 'SETUSER', user, '<token1');
  await ask(server.port, 'CLIENT', 'KILL', 'USER', user);
  const works = (redis: Client): Promise<boolean> =>
    redis.get('k').then(
      () => true,
      () => false,
    );
  await Promise.all(clients.map((redis) => until(() => works(redis), 3_000)));
});

// node-redis' cluster client is not connected again by itself when its first attempt fails.
for (const kind of [...plainKinds, ...clusterKinds.filter(({ library }) => library !== 'redis')]) {
  test(`${kind.name}: who is not connected yet is told within seconds which of the keys is taken`, async (t) => {
    const ports = kind.name.includes('cluster') ? cluster.ports : [server.port];
    const user = `early-${kind.name.replaceAll(' ', '-')}`;
    for (const port of ports)
      await ask(port, 'ACL', 'SETUSER', user, 'on', '>valid', '~*', '+@all');
    for (const first of ['stale', 'valid']) {
      const redis = lanes(() => kind.make(ports, login(kind, user, first)), {
        retries: { breaker: false },
      });
      t.after(() => kind.close(redis));
      const connecting = kind.connect(redis).catch(() => undefined);
      const since = performance.now();
      assert.equal(await overlappingKeys(redis, user, ['wrong', 'valid']), 1);
      assert.ok(performance.now() - since < OFFLINE_AGE_MS, `${performance.now() - since} ms`);
      await connecting;
      assert.equal(await redis.set('k', 'v'), 'OK');
    }
  });
}

test('a rotation and a renewal while the certificate is not trusted: told at once why, and in force when it is', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'cinnabar-client-'));
  t.after(() => rm(folder, { recursive: true }));
  const [ours, strange] = await Promise.all(
    ['ours', 'strange'].map((label) => testCertificates(join(folder, label), label)),
  );
  assert.ok(ours !== undefined && strange !== undefined);
  const port = await freePort();
  const settings = ({ certFile, keyFile }: typeof ours): string[] => [
    ...['tls-cert-file', certFile],
    ...['tls-key-file', keyFile],
  ];
  const secure = await startServer([
    ...['--tls-port', String(port), '--tls-auth-clients', 'no', '--tls-ca-cert-file', ours.caFile],
    ...settings(ours).map((word, i) => (i % 2 === 0 ? `--${word}` : word)),
  ]);
  t.after(() => secure.stop());
  const ca = await readFile(ours.caFile, 'utf8');
  const admin = async (...args: string[]): Promise<void> =>
    assert.doesNotMatch(await ask(secure.port, ...args), /^-/);
  for (const plain of plainKinds) {
    const kind = overTls(plain, () => ({ host: 'localhost', ca, password: 'key1' }));
    const user = plain.name;
    const show = async (which: typeof ours): Promise<void> => {
      await admin('CONFIG', 'SET', ...settings(which));
      await admin('CLIENT', 'KILL', 'USER', user);
    };
    await admin('ACL', 'SETUSER', user, 'on', '>key1', '>key2', '~*', '&*', '+@all');
    const redis = lanes(() => kind.make([port], { username: user }), {
      offline: { ageMs: 300 },
      retries: { breaker: false },
    });
    t.after(() => kind.close(redis));
    await kind.connect(redis);
    const works = (): Promise<boolean> =>
      redis.set('k', 'v').then(
        () => true,
        () => false,
      );
    await until(works);

    await show(strange);
    const told = (error: Error & { code?: string }): boolean => {
      if (error.code !== 'ERR_CLIENT_OFFLINE') return false;
      assert.match(error.message, /signed by a CA that this process does not trust/);
      return true;
    };
    await until(async () =>
      told(
        await redis.get('k').then(
          () => new Error('it works'),
          (e) => e,
        ),
      ),
    );
    await assert.rejects(overlappingKeys(redis, user, ['key2', 'key1']), told);
    await show(ours);
    await until(works, 15_000);
    assert.equal(await overlappingKeys(redis, user, ['key2', 'key1']), 0);
    await admin('ACL', 'SETUSER', user, '<key1');
    await admin('CLIENT', 'KILL', 'USER', user);
    await until(works, 15_000);

    await show(strange);
    await until(() => lanesOf(redis).every(({ state }) => state !== 'ready'));
    const login = { username: user, password: 'key3', expiresAt: Date.now() + 3_600_000 };
    const keeper = new TokenKeeper({ fetch: async () => login });
    keeper.attach(redis);
    assert.equal(await keeper.renew(), 0);
    await admin('ACL', 'SETUSER', user, '<key2', '>key3');
    await show(ours);
    await until(works, 15_000);
    keeper.stop();
  }
});
