/**
 * OSSCluster and EnterpriseCluster become each other while clients of the one address count: none of
 * them sees an error, keys and port stay, and the shards let clients in exactly while they should. And
 * the third form between the two: a cluster whose shards are ports of the endpoint.
 */
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { after, before, test } from 'node:test';
import { Cluster as ValkeyCluster } from 'iovalkey';
import { createCluster } from 'redis';
import { connect, loginError, once, type Policy, target } from './clients.ts';
import { HEAL_DEADLINE_MS } from './limits.ts';
import { eventually, Service } from './service.ts';

const NAME = 'both';
const WARM = 50;

const service = new Service({ miniature: { memoryDivisor: 16, maxShards: 2 }, workers: 2 });
before(() => service.up());
after(() => service.close());

function become(policy: Policy, name = NAME, cinnabar: object = {}): Promise<void> {
  return change(name, { clusteringPolicy: policy, cinnabar });
}

async function change(name: string, properties: Record<string, unknown>): Promise<void> {
  const answer = await service.call('PATCH', service.database(name), { properties });
  assert.ok(answer.status < 300, answer.text);
  await eventually(`${JSON.stringify(properties)} is there`, HEAL_DEADLINE_MS, async () => {
    const { body } = await service.call('GET', service.database(name));
    return body.properties.provisioningState === 'Succeeded' ? true : null;
  });
}

test('EnterpriseCluster to OSSCluster and back, under a client that counts', async (t) => {
  await service.create(NAME, {
    sku: 'Balanced_B5',
    database: { clusteringPolicy: 'EnterpriseCluster' },
  });
  const shards = await service.healthy(NAME);
  const pids = () =>
    service
      .healthy(NAME)
      .then((all) => all.flatMap((s) => s.instances.map((i) => i.instance.process?.pid)).sort());
  const before = await pids();
  const to = await target(service, NAME, 'EnterpriseCluster');
  const client = once(to);
  await client.connect();
  let [acknowledged, stop] = [0, false];
  const counting = (async () => {
    while (!stop) {
      assert.equal(await client.incr(`n${acknowledged % 8}`), Math.floor(acknowledged / 8) + 1);
      acknowledged += 1;
    }
  })();
  counting.catch(() => undefined);
  const goesOn = async (): Promise<void> => {
    const from = acknowledged;
    await eventually('counting', HEAL_DEADLINE_MS, () =>
      acknowledged >= from + WARM ? true : null,
    );
  };
  t.after(() => client.disconnect());
  const port = shards[0]?.instances[0]?.instance.port ?? 0;
  await goesOn();
  assert.match((await loginError(to, { port })) ?? '', /WRONGPASS/, 'the shards are closed');

  await become('OSSCluster');
  await goesOn();
  const cluster = connect(await target(service, NAME, 'OSSCluster'));
  t.after(() => cluster.close());
  assert.equal(await cluster.call('SET', 'by the shards', 'yes'), 'OK');
  const direct = once(to, { port });
  t.after(() => direct.disconnect());
  await direct.connect();
  assert.equal(await direct.ping(), 'PONG');

  await become('EnterpriseCluster');
  await goesOn();
  await assert.rejects(direct.ping(), /NOPERM|closed/);
  assert.match((await loginError(to, { port })) ?? '', /WRONGPASS/, 'closed again');
  assert.equal(await client.get('by the shards'), 'yes');
  stop = true;
  await counting;
  assert.deepEqual(await pids(), before, 'nothing was started anew');
  t.diagnostic(`${acknowledged} increments acknowledged`);
});

test('in plaintext too, and from one protocol to the other: the shards open and close a port for it', async (t) => {
  const name = 'plain';
  const clientProtocol = 'Plaintext';
  const database = { clusteringPolicy: 'EnterpriseCluster', clientProtocol };
  await service.create(name, { sku: 'Balanced_B5', database });
  const ports = async () =>
    (await service.healthy(name)).flatMap((s) => s.instances.map((i) => i.clientPort));
  const pids = async () =>
    (await service.healthy(name)).flatMap((s) => s.instances.map((i) => i.instance.process?.pid));
  const before = await pids();
  const behind = await target(service, name, 'EnterpriseCluster', false);
  const client = once(behind);
  t.after(() => client.disconnect());
  await client.connect();
  const counts = Array.from({ length: 8 }, () => 0);
  let stop = false;
  const counting = (async () => {
    for (let i = 0; !stop; i = (i + 1) % counts.length) {
      counts[i] = (counts[i] ?? 0) + 1;
      assert.equal(await client.incr(`n${i}`), counts[i]);
    }
  })();
  counting.catch(() => undefined);

  await become('OSSCluster', name);
  const cluster = connect(await target(service, name, 'OSSCluster', false));
  t.after(() => cluster.close());
  assert.equal(await cluster.call('SET', 'by the shards', 'yes'), 'OK');
  const [port = 0] = await ports();
  const direct = once(behind, { port });
  t.after(() => direct.disconnect());
  await direct.connect();
  assert.equal(await direct.ping(), 'PONG');
  stop = true;
  await counting;

  // With TLS from now on: nobody goes on in plaintext.
  await change(name, { clientProtocol: 'Encrypted' });
  await assert.rejects(direct.ping(), /closed/);
  assert.match((await loginError(behind, { port })) ?? '', /ECONNREFUSED/);
  const secure = connect(await target(service, name, 'OSSCluster'));
  t.after(() => secure.close());
  assert.equal(await secure.call('GET', 'by the shards'), 'yes');
  for (const [i, count] of counts.entries()) {
    assert.equal(await secure.call('GET', `n${i}`), String(count));
  }

  await change(name, { clientProtocol, clusteringPolicy: 'EnterpriseCluster' });
  assert.equal(await loginError(behind), null);
  assert.deepEqual((await pids()).sort(), before.sort(), 'nothing was started anew');
  assert.ok(!(await ports()).includes(port), 'its port was given back');
});

test('OSSCluster through the endpoint: three cluster clients, a failover, and back', async (t) => {
  const refuse = [{ command: 'hgetall', action: 'refuse', above: 2 }];
  const direct = await service.call('PATCH', service.database(NAME), {
    properties: { clusteringPolicy: 'OSSCluster', cinnabar: { guard: refuse } },
  });
  assert.equal(direct.status, 400, 'an engine refuses always or never');
  assert.match(direct.text, /shardAccess/);
  const misplaced = await service.call('PATCH', service.database(NAME), {
    properties: { cinnabar: { shardAccess: 'relayed' } },
  });
  assert.match(misplaced.text, /for OSSCluster/);
  await become('OSSCluster', NAME, { shardAccess: 'relayed', guard: refuse });

  const engines = (await service.healthy(NAME)).flatMap((shard) => shard.instances);
  const to = await target(service, NAME, 'OSSCluster');
  const { body: said } = await service.call('GET', `${service.database(NAME)}/connection`);
  const ports = (said.shards as { port: number; role: string }[]).map(({ port }) => port);
  assert.equal(ports.length, 2, 'one a shard, whatever copies it has');
  assert.ok(engines.every(({ instance }) => !ports.includes(instance.port)));
  for (const { instance } of engines) {
    assert.match((await loginError(to, { port: instance.port })) ?? '', /WRONGPASS/);
  }

  // Azure's way: the name that the certificate was made for, whatever the cluster announces.
  const tls = { ca: to.ca ?? '', servername: 'localhost' };
  const io = connect(to);
  const iovalkey = new ValkeyCluster([{ host: 'localhost', port: to.port }], {
    dnsLookup: (address, done) => done(null, address),
    redisOptions: { username: 'default', password: to.password, tls },
  });
  const redis = createCluster({
    rootNodes: [{ url: `rediss://localhost:${to.port}` }],
    defaults: { username: 'default', password: to.password, socket: { tls: true, ...tls } },
  });
  redis.on('error', () => undefined);
  iovalkey.on('error', () => undefined);
  await redis.connect();
  t.after(() => {
    io.close();
    iovalkey.disconnect();
    redis.destroy();
  });
  for (let i = 0; i < WARM; i++) {
    assert.equal(await io.call('SET', `c${i}`, String(i)), 'OK');
    assert.equal(await iovalkey.get(`c${i}`), String(i));
    assert.equal(await redis.incr(`c${i}`), i + 1);
  }
  assert.deepEqual(
    redis.masters.map(({ port }) => port).toSorted(),
    ports.toSorted(),
    'what a client has learned',
  );
  await io.call('HSET', 'h', 'a', 1, 'b', 2, 'c', 3);
  await assert.rejects(redis.hGetAll('h'), /guard-refused/);
  const { body: counted } = await service.call('GET', `${service.database(NAME)}/stats`);
  assert.equal(counted.source, 'endpoint', JSON.stringify(counted).slice(0, 300));

  // The port of a shard outlives its primary: nobody has to look for another node.
  const [victim] = (await service.healthy(NAME)).flatMap((shard) =>
    shard.instances.filter(({ role }) => role === 'primary'),
  );
  process.kill(victim?.instance.process?.pid ?? 0, 'SIGKILL');
  const said2: string[] = [];
  for (let i = 0; i < WARM; i++) {
    await redis.incr(`c${i}`).catch((error: Error) => said2.push(error.message));
    assert.ok(Number(await io.call('GET', `c${i}`)) >= i + 1, 'a read waits and is answered');
  }
  assert.ok(said2.length <= 1 && said2.every((text) => /OUTCOMEUNKNOWN/.test(text)), said2.join());
  await service.healthy(NAME);
  const { body: after } = await service.call('GET', `${service.database(NAME)}/connection`);
  assert.deepEqual(
    after.shards.map(({ port }: { port: number }) => port).toSorted(),
    ports.toSorted(),
  );

  // And by an update: the same clients find the engines' own ports, and come back.
  await become('OSSCluster', NAME, { shardAccess: 'direct', guard: [] });
  await eventually('clients of direct shards', HEAL_DEADLINE_MS, async () => {
    const answers = await Promise.allSettled([
      io.call('GET', 'c1'),
      iovalkey.get('c1'),
      redis.get('c1'),
    ]);
    return answers.every(({ status }) => status === 'fulfilled') ? true : null;
  });
  assert.equal(await loginError(to, { port: engines[0]?.instance.port ?? 0 }), null);
  // Back again, under clients of the engines: they are cut off when others know where to go, and never
  // told that they may do nothing.
  const errors: string[] = [];
  let stop = false;
  const readers = [() => io.call('GET', 'c1'), () => iovalkey.get('c1'), () => redis.get('c1')];
  const working = readers.map(async (read) => {
    while (!stop) {
      await read().catch((error: Error) => errors.push(error.message));
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  });
  await become('OSSCluster', NAME, { shardAccess: 'relayed' });
  await eventually('they found the endpoint', HEAL_DEADLINE_MS, async () => {
    const answers = await Promise.allSettled(readers.map((read) => read()));
    return answers.every(({ status }) => status === 'fulfilled') ? true : null;
  });
  stop = true;
  await Promise.all(working);
  t.diagnostic(`${errors.length} errors: ${[...new Set(errors)].join('; ')}`);
  // Their connections ended: that is what they say. Of a server's own words there is only one kind: a
  // client that was given no core for long comes too late, and finds its login refused.
  const words = errors.filter((text) => /^[A-Z]{2,} /.test(text));
  assert.deepEqual(
    words.filter((text) => !/^(?:NOAUTH|WRONGPASS) /.test(text)),
    [],
  );
  const anew = connect(to);
  t.after(() => anew.close());
  assert.equal(await anew.call('SET', 'c1', 'again'), 'OK');
  assert.match(
    (await loginError(to, { port: engines[0]?.instance.port ?? 0 })) ?? '',
    /WRONGPASS|refused/i,
  );
  await become('EnterpriseCluster');
});

test('in plaintext and without replicas: ports stay over a restart, and grow with the shards', async (t) => {
  const name = 'plain-relayed';
  const cinnabar = { shardAccess: 'relayed' };
  await service.create(name, {
    ha: false,
    database: { clusteringPolicy: 'OSSCluster', clientProtocol: 'Plaintext', cinnabar },
  });
  const portsOf = async (): Promise<number[]> => {
    const { body } = await service.call('GET', `${service.database(name)}/connection`);
    return body.shards.map(({ port }: { port: number }) => port);
  };
  const ports = await portsOf();
  assert.equal(ports.length, 1);
  const client = connect(await target(service, name, 'OSSCluster', false));
  t.after(() => client.close());
  assert.equal(await client.call('SET', 'n', '0'), 'OK');
  await service.killControl();
  await service.up();

  // A stranger at the shard's port: that port is not served, the cache is, and nobody is sent there.
  await service.down();
  const stranger = createServer((socket) => socket.destroy());
  t.after(() => stranger.close());
  await new Promise<void>((done) => {
    stranger.listen(ports[0], '127.0.0.1', done);
  });
  await service.up();
  const meanwhile = connect(await target(service, name, 'OSSCluster', false));
  t.after(() => meanwhile.close());
  assert.equal(await meanwhile.call('INCR', 'n'), 1);
  const described = JSON.stringify(await meanwhile.call('CLUSTER', 'SHARDS'));
  assert.match(described, /"port",\d+/);
  assert.doesNotMatch(described, /tls-port/);
  const warnings = async (): Promise<string> => {
    const { body } = await service.call('GET', service.database(name));
    return JSON.stringify(body.properties.cinnabar.warnings);
  };
  const shard = new RegExp(`shard-port-taken.* shard 0: 127.0.0.1:${ports[0]}: port-taken`);
  assert.match(await warnings(), shard);
  assert.equal(await meanwhile.call('SET', 'n', '0'), 'OK');
  await new Promise((done) => stranger.close(done));
  await eventually('the port is ours again', HEAL_DEADLINE_MS, async () =>
    shard.test(await warnings()) ? null : true,
  );
  let stop = false;
  const counting = (async () => {
    let count = 0;
    while (!stop) assert.equal(await client.call('INCR', 'n'), ++count);
    return count;
  })();
  counting.catch(() => undefined);
  const scaled = await service.call('PATCH', service.cluster(name), {
    sku: { name: 'Balanced_B5' },
  });
  assert.ok(scaled.status < 300, scaled.text);
  await service.settled(name);
  const now = await portsOf();
  assert.deepEqual([now.length, now[0]], [2, ports[0]]);
  for (let i = 0; i < WARM; i++) assert.equal(await client.call('SET', `k${i}`, i), 'OK');
  stop = true;
  t.diagnostic(`${await counting} increments acknowledged while slots moved`);
});

test('NoCluster is no neighbour of either', async () => {
  const properties = { clusteringPolicy: 'NoCluster' };
  const answer = await service.call('PATCH', service.database(NAME), { properties });
  assert.equal(answer.status, 400, answer.text);
  assert.match(answer.text, /can become each other/);
});
