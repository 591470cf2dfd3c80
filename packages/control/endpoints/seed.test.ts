/** Port 10000 of OSSCluster: a real cluster node answers through the relay, whichever shard serves. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Cluster } from 'ioredis';
import type { ClusterMember, EngineLaunch } from '../../engine/contract.ts';
import { engineRoom, eventually, freePorts, TEST_PASSWORDS } from '../../engine/testing.ts';
import { fleetRoom, instanceOf, RawClient, shardOf, startedFleet, viewOf } from './testing.ts';

const MS = 2000;
const HALVES: readonly ClusterMember['slots'][] = [[[0, 8191]], [[8192, 16383]]];

function members(launches: readonly EngineLaunch[]): ClusterMember[] {
  return launches.map(({ instance: id, host, port, busPort }, i) => ({
    id,
    host,
    port,
    busPort,
    primaryId: null,
    epoch: i + 1,
    slots: HALVES[i] ?? [],
  }));
}

test('the seed answers CLUSTER SLOTS and MOVED, a cluster client starts from it, a down shard is passed over', async (t) => {
  const room = await engineRoom(t);
  const launches = [await room.launch(), await room.launch()];
  const all = members(launches);
  const engines = await Promise.all(
    launches.map((launch) =>
      room.start({
        ...launch,
        role: { kind: 'cluster', members: all, myself: launch.instance },
      }),
    ),
  );
  const [first, second] = engines;
  assert.ok(first !== undefined && second !== undefined);
  const fleet = await startedFleet(fleetRoom(t), 2);
  const [port = 0] = await freePorts(1);
  const listen = ['127.0.0.1', '::1'].map((host) => ({ host, port, tls: false }));
  const shards = engines.map((engine, i) =>
    shardOf(instanceOf(engine), { id: `db/${i}`, slots: HALVES[i] ?? [] }),
  );
  const view = await viewOf(shards[0] ?? shardOf(null), { listen, shards });
  assert.deepEqual(await fleet.publish(1, [view]), []);
  const client = await new RawClient(port).ready();
  await client.ask('AUTH', TEST_PASSWORDS.default);
  await eventually('the cluster serves', async () =>
    (await client.ask('CLUSTER', 'INFO')).includes('cluster_state:ok'),
  );
  const slots = await client.ask('CLUSTER', 'SLOTS');
  for (const { launch } of engines) assert.ok(slots.includes(launch.instance));
  // 'foo' is slot 12182, of the other shard.
  assert.match(
    await client.ask('GET', 'foo'),
    new RegExp(`^-MOVED 12182 .*:${second.launch.port}\r\n`),
  );
  client.close();

  const tls = await startedFleet(fleetRoom(t), 1);
  const [securePort = 0] = await freePorts(1);
  const secure = {
    ...view,
    id: 'db',
    certificate: room.tls,
    listen: [{ host: '::1', port: securePort, tls: true }],
  };
  assert.deepEqual(await tls.publish(1, [secure]), []);
  const cluster = new Cluster([{ host: '::1', port: securePort }], {
    dnsLookup: (address, done) => done(null, address),
    redisOptions: {
      password: TEST_PASSWORDS.default,
      tls: { ca: readFileSync(room.tls.caFile), servername: 'localhost' },
    },
  });
  t.after(() => cluster.disconnect());
  assert.equal(await cluster.set('foo', 'bar'), 'OK');
  assert.equal(String(await second.link.command(['GET', 'foo'], MS)), 'bar');

  await fleet.publish(2, [
    { ...view, shards: [shardOf(null, { id: 'db/0' }), shards[1] ?? shardOf(null)] },
  ]);
  const next = await new RawClient(port).ready();
  assert.equal(await next.ask('AUTH', TEST_PASSWORDS.default), '+OK\r\n');
  assert.match(await next.ask('CLUSTER', 'MYID'), new RegExp(second.launch.instance));
  next.close();
  assert.equal(await second.link.ping(MS), 'pong');
});
