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

async function become(policy: Policy): Promise<void> {
  const properties = { clusteringPolicy: policy };
  const answer = await service.call('PATCH', service.database(NAME), { properties });
  assert.ok(answer.status < 300, answer.text);
  await eventually(`${policy} is there`, HEAL_DEADLINE_MS, async () => {
    const { body } = await service.call('GET', service.database(NAME));
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

test('NoCluster is no neighbour of either', async () => {
  const properties = { clusteringPolicy: 'NoCluster' };
  const answer = await service.call('PATCH', service.database(NAME), { properties });
  assert.equal(answer.status, 400, answer.text);
  assert.match(answer.text, /can become each other/);
});
