/**
 * Port 10000 of OSSCluster: a cluster client starts from it, it tells the topology of the last
 * snapshot (a dead node at once no more), and whatever shard is down, it answers.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Cluster } from 'ioredis';
import { engineRoom, eventually, freePorts, TEST_PASSWORDS } from '../../engine/testing.ts';
import {
  fleetRoom,
  HALVES,
  instanceOf,
  membersOf,
  RawClient,
  shardOf,
  startedFleet,
  viewOf,
} from './testing.ts';

const MS = 2000;
test('the seed tells who serves, a cluster client starts from it, a down shard is left out', async (t) => {
  const room = await engineRoom(t);
  const launches = [await room.launch(), await room.launch()];
  const all = membersOf(launches);
  const engines = await Promise.all(
    launches.map((launch) =>
      room.start({
        ...launch,
        role: { kind: 'cluster', members: all, myself: launch.instance },
        settings: { ...launch.settings, 'cluster-require-full-coverage': 'no' },
      }),
    ),
  );
  const [first, second] = engines;
  assert.ok(first !== undefined && second !== undefined);
  const fleet = await startedFleet(fleetRoom(t), 2);
  const [port = 0, securePort = 0] = await freePorts(2);
  const shards = engines.map((engine, i) =>
    shardOf(
      { ...instanceOf(engine), announce: { host: 'localhost', port: engine.launch.port } },
      { id: `db/${i}`, slots: HALVES[i] ?? [] },
    ),
  );
  const listen = [
    { host: '127.0.0.1', port, tls: false },
    { host: '::1', port: securePort, tls: true },
  ];
  const view = await viewOf(shards[0] ?? shardOf(null), {
    policy: 'OSSCluster',
    certificate: room.tls,
    listen,
    shards,
  });
  assert.deepEqual(await fleet.publish(1, [view]), []);
  const client = await new RawClient(port).ready();
  await client.ask('AUTH', TEST_PASSWORDS.default);
  await eventually('the cluster serves', async () =>
    (await client.ask('CLUSTER', 'INFO')).includes('cluster_state:ok'),
  );
  for (const [i, { launch }] of engines.entries()) {
    const [[from, to] = [0, 0]] = HALVES[i] ?? [];
    const node = `\\$9\r\nlocalhost\r\n:${launch.port}\r\n\\$40\r\n${launch.instance}\r\n`;
    assert.match(
      await client.ask('CLUSTER', 'SLOTS'),
      new RegExp(`:${from}\r\n:${to}\r\n\\*4\r\n${node}`),
    );
    const shards = await client.ask('CLUSTER', 'SHARDS');
    assert.match(shards, new RegExp(launch.instance));
    assert.match(shards, /\$8\r\ntls-port\r\n:\d/);
    assert.match(
      await client.ask('CLUSTER', 'NODES'),
      new RegExp(`^${launch.instance} localhost:${launch.port}@`, 'm'),
    );
  }
  // 'foo' is slot 12182, of the other shard: a client without the Cluster protocol is served, too.
  assert.equal(await client.ask('SET', 'foo', 'plain'), '+OK\r\n');
  assert.equal(String(await second.link.command(['GET', 'foo'], MS)), 'plain');

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
  assert.deepEqual(
    cluster
      .nodes('master')
      .map((node) => node.options.port)
      .toSorted(),
    engines.map(({ launch }) => launch.port).toSorted(),
  );

  await fleet.publish(2, [
    { ...view, shards: [shardOf(null, { id: 'db/0' }), shards[1] ?? shardOf(null)] },
  ]);
  const slots = await client.ask('CLUSTER', 'SLOTS');
  assert.ok(!slots.includes(first.launch.instance) && slots.includes(second.launch.instance));
  const next = await new RawClient(port).ready();
  assert.equal(await next.ask('AUTH', TEST_PASSWORDS.default), '+OK\r\n');
  assert.equal(await next.ask('GET', 'foo'), '$3\r\nbar\r\n');
  for (const each of [client, next]) each.close();
});
