/**
 * OSSCluster and EnterpriseCluster become each other while clients of the one address count: none of
 * them sees an error, keys and port stay, and the shards let clients in exactly while they should.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { connect, loginError, once, type Policy, target } from './clients.ts';
import { HEAL_DEADLINE_MS } from './limits.ts';
import { eventually, Service } from './service.ts';

const NAME = 'both';
const WARM = 50;

const service = new Service({ miniature: { memoryDivisor: 16, maxShards: 2 } });
before(() => service.up());
after(() => service.close());

function become(policy: Policy, name = NAME): Promise<void> {
  return change(name, { clusteringPolicy: policy });
}

async function change(name: string, properties: Record<string, string>): Promise<void> {
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

test('NoCluster is no neighbour of either', async () => {
  const properties = { clusteringPolicy: 'NoCluster' };
  const answer = await service.call('PATCH', service.database(NAME), { properties });
  assert.equal(answer.status, 400, answer.text);
  assert.match(answer.text, /can become each other/);
});
