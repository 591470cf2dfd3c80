import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { after, before, test } from 'node:test';
import { Cluster, Redis } from 'ioredis';
import { Cluster as ValkeyCluster } from 'iovalkey';
import { createClient, createCluster } from 'redis';
import { adviceFor, diagnose, parseAddress, recommended } from '../index.ts';
import { startProxy } from '../testing/proxy.ts';
import { ask, freePort, startCluster, startServer, type TestServer } from '../testing/server.ts';

let server: TestServer;
before(async () => {
  server = await startServer();
});
after(() => server?.stop());

test('every option has a reason, and the libraries take them', async () => {
  for (const service of ['azure', 'cinnabar'] as const) {
    for (const library of ['ioredis', 'iovalkey', 'redis'] as const) {
      for (const policy of ['OSSCluster', 'EnterpriseCluster'] as const) {
        const made = recommended(service, {
          library,
          policy,
          host: 'cache.example.org',
          password: 'secret',
        });
        for (const [name, reason] of Object.entries(made.reasons))
          assert.ok(reason.length > 20, name);
        assert.equal(JSON.stringify(made).includes('rejectUnauthorized'), false);
      }
    }
  }
  const local = {
    policy: 'EnterpriseCluster',
    host: '127.0.0.1',
    port: server.port,
    tls: false,
  } as const;
  const io = new Redis(recommended('cinnabar', { ...local, library: 'ioredis' }).options);
  assert.equal(await io.ping(), 'PONG');
  await io.quit();
  const node = createClient(recommended('cinnabar', { ...local, library: 'redis' }).options);
  await node.connect();
  assert.equal(await node.ping(), 'PONG');
  await node.close();
  const { nodes, options } = recommended('azure', {
    library: 'ioredis',
    policy: 'OSSCluster',
    host: 'c.example.org',
  });
  assert.deepEqual(nodes, [{ host: 'c.example.org', port: 10_000 }]);
  assert.deepEqual(options.natMap?.('10.1.2.3:8501'), { host: 'c.example.org', port: 8501 });
  assert.throws(() => recommended('aws' as 'azure', { ...local, library: 'redis' }), {
    code: 'ERR_CLIENT_OPTION',
    message: /got 'aws'/,
  });
});

test('recommended settings reach a cluster', async () => {
  const cluster = await startCluster(2);
  try {
    const [port = 0] = cluster.ports;
    const { nodes, options } = recommended('cinnabar', {
      library: 'ioredis',
      policy: 'OSSCluster',
      host: '127.0.0.1',
      port,
      tls: false,
    });
    const redis = new Cluster(nodes, options);
    for (let i = 0; i < 20; i += 1) await redis.set(`k${i}`, 'v');
    await redis.quit();
    const place = { policy: 'OSSCluster', host: '127.0.0.1', port, tls: false } as const;
    const valkey = recommended('cinnabar', { ...place, library: 'iovalkey' });
    const other = new ValkeyCluster(valkey.nodes, valkey.options);
    assert.equal(await other.get('k1'), 'v');
    await other.quit();
    const node = createCluster(recommended('cinnabar', { ...place, library: 'redis' }).options);
    await node.connect();
    assert.equal(await node.get('k2'), 'v');
    await node.close();
    const found = await diagnose(`redis://127.0.0.1:${cluster.ports[0]}/2`);
    assert.equal(found.policy, 'OSSCluster');
    assert.ok(found.problems.some((p) => p.code === 'database-in-cluster'));
    assert.ok((found.upBytesPerSecond ?? 0) > 0);
  } finally {
    await cluster.stop();
  }
});

test('diagnose measures a server, and leaves nothing on it', async () => {
  const found = await diagnose(server.url);
  assert.equal(found.error, null);
  assert.equal(found.reachable, true);
  assert.ok(
    found.rttMs !== null && found.rttMs.least > 0 && found.rttMs.least <= found.rttMs.median,
  );
  assert.ok((found.downBytesPerSecond ?? 0) > 1_000_000);
  assert.equal(found.server?.name, 'valkey');
  assert.equal(found.policy, 'EnterpriseCluster or NoCluster');
  assert.match(await ask(server.port, 'DBSIZE'), /^:0/);
});

test('diagnose sees a slow link', async () => {
  const proxy = await startProxy(server.port);
  proxy.limit(4_000_000);
  const found = await diagnose(`redis://127.0.0.1:${proxy.port}`);
  const down = found.downBytesPerSecond ?? 0;
  assert.ok(down > 1_000_000 && down < 6_000_000, String(down));
  assert.ok(found.problems.some((p) => p.code === 'slow-link'));
  await proxy.stop();
});

test('diagnose says why a server cannot be used', async () => {
  assert.match(
    String((await diagnose(`redis://127.0.0.1:${await freePort()}`)).error),
    /nothing listens/,
  );
  assert.match(
    String((await diagnose('redis://no.such.host.invalid:10000')).error),
    /does not resolve/,
  );
  assert.match(
    String((await diagnose(`rediss://127.0.0.1:${server.port}`)).error),
    /does not speak TLS|closed|reset|hang up|disconnected/,
  );
  assert.match(
    String((await diagnose(`redis://:wrong@127.0.0.1:${server.port}`)).error),
    /access key|without any password/,
  );
  const web = createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
  await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve));
  const address = web.address();
  assert.ok(address !== null && typeof address === 'object');
  assert.match(String((await diagnose(`redis://127.0.0.1:${address.port}`)).error), /RESP|closed/);
  web.close();
});

test('what an address alone tells', () => {
  const codes = (url: string): string[] => adviceFor(parseAddress(url)).map((a) => a.code);
  assert.deepEqual(codes('rediss://:key@cache.example.org:10000'), []);
  assert.deepEqual(codes('cache.example.org'), ['no-password']);
  assert.deepEqual(codes('redis://:key@cache.example.org'), ['plaintext']);
  assert.deepEqual(codes('rediss://:key@10.1.2.3:10000'), ['ip-address']);
  assert.deepEqual(codes('redis://:key@localhost'), []);
  assert.equal(parseAddress('cache.example.org').port, 10_000);
  assert.equal(parseAddress('rediss://u:p%40ss@h:1/3').password, 'p@ss');
  assert.throws(() => parseAddress('http://x'), { code: 'ERR_CLIENT_OPTION' });
  assert.throws(() => parseAddress('redis://'), { code: 'ERR_CLIENT_OPTION' });
});
