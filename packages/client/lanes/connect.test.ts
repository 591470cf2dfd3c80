/** connect(): it fails where the plain client's does, and never lasts for ever. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createClient } from 'redis';
import { createClient as createOlderClient } from 'redis5';
import { testCertificates } from '../../engine/testing.ts';
import { type KitError, lanes } from '../index.ts';
import { clusterKinds, olderKinds, plainKinds } from '../testing/clients.ts';
import { startProxy } from '../testing/proxy.ts';
import { freePort, startServer, type TestServer } from '../testing/server.ts';
import { until } from '../testing/until.ts';

let server: TestServer;
before(async () => {
  server = await startServer(['--requirepass', 'right']);
});
after(() => server?.stop());

interface Connecting {
  connect(): Promise<unknown>;
}

const outcome = (client: Connecting): Promise<string> =>
  client.connect().then(
    () => 'connected',
    (error: KitError) => `${error.code} ${error.message}`,
  );

for (const [name, make] of [
  ['redis', createClient],
  ['redis 5', createOlderClient as unknown as typeof createClient],
] as const) {
  test(`${name}: without a listener connect() fails as the plain client's, and can be called again`, async () => {
    const port = await freePort();
    const url = `redis://:right@127.0.0.1:${port}`;
    for (const wrong of [url, server.url, server.url.replace('//', '//:wrong@')]) {
      const plain = make({ url: wrong });
      const expected = await outcome(plain);
      plain.destroy();
      const redis = lanes(() => make({ url: wrong }));
      assert.equal(await outcome(redis), expected);
      redis.destroy();
    }
    const redis = lanes(() => make({ url }));
    assert.match(await outcome(redis), /^ECONNREFUSED/);
    const late = await startServer(['--requirepass', 'right'], port);
    assert.equal(await outcome(redis), 'connected');
    assert.equal(await redis.get('k'), null);
    await redis.close();
    await late.stop();
  });
}

for (const kind of [...plainKinds, ...clusterKinds]) {
  test(`${kind.name}: a server that says nothing: connect() ends at its deadline, and works when it speaks`, async () => {
    const open = await startServer();
    const proxy = await startProxy(open.port);
    proxy.mute();
    const more = kind.library === 'redis' ? {} : { lazyConnect: true };
    const redis = lanes(() => kind.make([proxy.port], more), { deadlines: { connectMs: 300 } });
    await assert.rejects((redis as unknown as Connecting).connect(), {
      code: 'ERR_CLIENT_OFFLINE',
      message: /not connected after 300 ms/,
    });
    if (!kind.name.includes('cluster')) {
      proxy.resume();
      assert.equal(await redis.get('k'), null);
      await (redis as unknown as Connecting).connect().catch(() => {});
      assert.equal(await redis.get('k'), null);
    }
    (redis as unknown as { disconnect(): void }).disconnect();
    await proxy.stop();
    await open.stop();
  });
}

for (const kind of [...plainKinds, ...olderKinds]) {
  test(`${kind.name}: a server that accepts and says nothing: one connection at a time, and none after the end`, async (t) => {
    const open = new Set<Socket>();
    let made = 0;
    let most = 0;
    const silent = createServer((socket) => {
      open.add(socket);
      made += 1;
      most = Math.max(most, open.size);
      socket.resume();
      socket.on('error', () => {});
      socket.on('close', () => open.delete(socket));
    });
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    t.after(() => {
      for (const socket of open) socket.destroy();
      silent.close();
    });
    const address = silent.address();
    assert.ok(address !== null && typeof address !== 'string');
    const redis = lanes(() => kind.make([address.port]), { deadlines: { connectMs: 200 } });
    kind.connect(redis).catch(() => {});
    redis.get('k').catch(() => {});
    await until(() => made >= 4);
    // The other end of one that has just ended may not have heard of it.
    assert.ok(most <= 2, `${most} at once`);
    await kind.close(redis).catch(() => {});
    await until(() => open.size === 0);
  });
}

test('a certificate of a CA that nobody named: connect() fails and says what to do', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'cinnabar-client-'));
  t.after(() => rm(folder, { recursive: true }));
  const { caFile, certFile, keyFile } = await testCertificates(folder, 'nobody');
  const port = await freePort();
  const secure = await startServer([
    ...['--tls-port', String(port), '--tls-auth-clients', 'no', '--tls-ca-cert-file', caFile],
    ...['--tls-cert-file', certFile, '--tls-key-file', keyFile],
  ]);
  t.after(() => secure.stop());
  const make = () => createClient({ socket: { host: 'localhost', port, tls: true } });
  const told = { code: 'ERR_CLIENT_OFFLINE', message: /NODE_EXTRA_CA_CERTS/ };
  await assert.rejects(lanes(make).connect(), told);
  const redis = lanes(make, { deadlines: { connectMs: 300 } });
  let heard = 0;
  redis.on('error', () => {
    heard += 1;
  });
  await assert.rejects(redis.connect(), told);
  assert.ok(heard > 0);
  redis.destroy();
});
