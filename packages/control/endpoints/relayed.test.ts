/**
 * Shards that have addresses of their own at the endpoint: each is a node of a cluster to its clients,
 * in whichever of two workers they arrive, and what belongs to another shard is answered with MOVED,
 * also when the snapshot does not say so yet.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Cluster } from 'ioredis';
import type { ListenAddress, ShardView } from '../../endpoint/control-protocol.ts';
import { LOGIN_DELAY_MS } from '../../endpoint/proxy/limits.ts';
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
/** Slots 5061 and 12182. */
const [OWN, FOREIGN] = ['bar', 'foo'];

test('a node a shard: its keys, its figures, MOVED for the rest, one connection limit', async (t) => {
  const room = await engineRoom(t);
  const launches = [await room.launch(), await room.launch()];
  const members = membersOf(launches);
  const engines = await Promise.all(
    launches.map((launch) =>
      room.start({ ...launch, role: { kind: 'cluster', members, myself: launch.instance } }),
    ),
  );
  const fleet = await startedFleet(fleetRoom(t), 2);
  const [port = 0, securePort = 0, ...rest] = await freePorts(6);
  const [plain, secure] = [rest.slice(0, 2), rest.slice(2)];
  const shards = engines.map((engine, i) =>
    shardOf(instanceOf(engine), {
      id: `db/${i}`,
      slots: HALVES[i] ?? [],
      announce: { host: 'localhost', port: secure[i] ?? 0 },
    }),
  );
  const own = (ports: readonly number[], tls: boolean): ListenAddress[] =>
    ports.map((each, i) => ({ host: '127.0.0.1', port: each, tls, shard: `db/${i}` }));
  const view = await viewOf(shards[0] ?? shardOf(null), {
    policy: 'OSSCluster',
    certificate: room.tls,
    listen: [
      { host: '127.0.0.1', port, tls: false },
      { host: '127.0.0.1', port: securePort, tls: true },
      ...own(plain, false),
      ...own(secure, true),
    ],
    shards,
    guard: [{ command: 'hgetall', action: 'refuse', above: 2 }],
  });
  assert.deepEqual(await fleet.publish(1, [view]), []);
  const clients: RawClient[] = [];
  t.after(() => {
    for (const client of clients) client.close();
  });
  const open = async (at: number): Promise<RawClient> => {
    const client = await new RawClient(at).ready();
    clients.push(client);
    await client.ask('AUTH', TEST_PASSWORDS.default);
    return client;
  };
  // Two each: with more connections than workers both are met.
  const nodes = await Promise.all([0, 0, 0, 1, 1, 1].map((i) => open(plain[i] ?? 0)));
  const [node, other, third, second] = nodes;
  assert.ok(node && other && third && second);
  await eventually('the cluster serves', async () =>
    (await node.ask('CLUSTER', 'INFO')).includes('cluster_state:ok'),
  );
  const moved = `-MOVED 12182 localhost:${secure[1]}\r\n`;
  for (const each of [node, other, third]) {
    assert.equal(await each.ask('SET', OWN, '1'), '+OK\r\n');
    assert.equal(await each.ask('SET', FOREIGN, '1'), moved);
    assert.equal(await each.ask('OBJECT', 'ENCODING', FOREIGN), moved, 'not the short way');
    assert.equal(await each.ask('DBSIZE'), ':1\r\n');
    assert.match(await each.ask('CLUSTER', 'MYID'), new RegExp(launches[0]?.instance ?? '-'));
    assert.match(
      await each.ask('CLUSTER', 'NODES'),
      new RegExp(`^${launches[0]?.instance} localhost:${secure[0]}@.* myself,master`, 'm'),
    );
  }
  assert.equal(await second.ask('DBSIZE'), ':0\r\n');
  assert.match(await node.ask('MGET', OWN, FOREIGN), /^-CROSSSLOT/);
  for (const words of [
    ['BLPOP', FOREIGN, '0'],
    ['SSUBSCRIBE', FOREIGN],
    ['SPUBLISH', FOREIGN, 'x'],
    ['WATCH', FOREIGN],
    ['EVAL', 'return 1', '1', FOREIGN],
    ['GETDEL', FOREIGN],
  ]) {
    assert.equal(await node.ask(...words), moved, words.join(' '));
  }
  await node.ask('MULTI');
  assert.equal(await node.ask('GET', FOREIGN), moved);
  assert.match(await node.ask('EXEC'), /^-EXECABORT/);

  // A pipeline: what is not here is refused, the rest stays in order.
  node.text = '';
  node.send('SET', OWN, '2').send('GET', FOREIGN).send('GET', OWN).send('PING');
  await node.until('a pipeline', ({ text }) => text.endsWith('+PONG\r\n'));
  assert.equal(node.text, `+OK\r\n${moved}$1\r\n2\r\n+PONG\r\n`);

  // The endpoint's own: the guard in its words, one book for the figures of all addresses.
  await node.ask('HSET', `{${OWN}}h`, 'a', '1', 'b', '2', 'c', '3');
  assert.match(await node.ask('HGETALL', `{${OWN}}h`), /^-ERR guard-refused/);
  const seed = await open(port);
  assert.equal(await seed.ask('SET', FOREIGN, 'by the seed'), '+OK\r\n');
  assert.equal(await second.ask('GET', FOREIGN), '$11\r\nby the seed\r\n');
  const [counted] = (await fleet.counters()).databases;
  assert.equal(counted?.connections, 7);
  assert.equal(counted?.commands['dbsize']?.calls, 4);
  assert.equal(counted?.guard['hgetall']?.refused, 1);
  assert.equal((await fleet.clients('db', 100)).length, 7);

  // Connections are the database's, whatever address and worker they came to.
  for (const each of [seed, node, second]) {
    const listed = await each.ask('CLIENT', 'LIST');
    assert.equal(listed.match(/^id=/gm)?.length, 7, listed);
    assert.match(await each.ask('INFO', 'clients'), /connected_clients:7\r/);
  }
  const victim = await open(plain[0] ?? 0);
  const number = /:(\d+)/.exec(await victim.ask('CLIENT', 'ID'))?.[1] ?? '';
  assert.equal(await second.ask('CLIENT', 'KILL', 'ID', number), ':1\r\n');
  await victim.until('killed', ({ closed }) => closed);
  const spy = await open(plain[1] ?? 0);
  assert.equal(await spy.ask('MONITOR'), '+OK\r\n');
  const shown = async (client: RawClient, word: string) => {
    // Another worker hears of a monitor a moment later.
    await eventually(`${word} is shown`, async () => {
      await client.ask('GET', OWN);
      await client.ask('ECHO', word);
      return spy.text.includes(`"ECHO" "${word}"`);
    });
  };
  for (const [i, each] of [node, other, third, seed].entries()) await shown(each, `word ${i}`);
  spy.close();
  const guessing = await new RawClient(plain[0] ?? 0).ready();
  clients.push(guessing);
  for (let i = 0; i < 2; i++) assert.match(await guessing.ask('AUTH', 'guess'), /^-WRONGPASS/);
  const elsewhere = await new RawClient(plain[1] ?? 0).ready();
  clients.push(elsewhere);
  const asked = performance.now();
  assert.match(await elsewhere.ask('AUTH', 'guess'), /^-WRONGPASS/);
  assert.ok(performance.now() - asked >= 4 * LOGIN_DELAY_MS - 5, 'a guess costs time at any port');
  guessing.close();
  elsewhere.close();
  await eventually('7 again', async () => (await fleet.clients('db', 100)).length === 7);

  // Links are the engines' own affair; the slot of a key is asked where it is.
  assert.equal(await seed.ask('CLUSTER', 'LINKS'), '*0\r\n');
  assert.equal(await seed.ask('CLUSTER', 'COUNTKEYSINSLOT', '12182'), ':1\r\n');

  // A cluster client, with TLS and the certificate that the endpoint serves.
  const cluster = new Cluster([{ host: '127.0.0.1', port: securePort }], {
    dnsLookup: (address, done) => done(null, address),
    redisOptions: {
      password: TEST_PASSWORDS.default,
      tls: { ca: readFileSync(room.tls.caFile), servername: 'localhost' },
    },
  });
  cluster.on('error', () => undefined);
  t.after(() => cluster.disconnect());
  for (let i = 0; i < 100; i++) await cluster.set(`key ${i}`, `value ${i}`);
  for (let i = 0; i < 100; i++) assert.equal(await cluster.get(`key ${i}`), `value ${i}`);
  const masters = cluster.nodes('master');
  assert.deepEqual(masters.map((each) => each.options.port).toSorted(), secure.toSorted());
  const seen = new Set<string>();
  let scanned = 0;
  for (const master of masters) {
    for (let cursor = ''; cursor !== '0'; ) {
      const [next, keys] = await master.scan(cursor || '0', 'COUNT', 10);
      cursor = next;
      scanned += keys.length;
      for (const key of keys) seen.add(key);
    }
  }
  const sizes = await Promise.all(masters.map((master) => master.dbsize()));
  assert.deepEqual([seen.size, scanned, sizes[0] ?? 0], [103, 103, 103 - (sizes[1] ?? 0)]);

  // The snapshot is late, and says that all is of the first shard: the engines know better.
  const [{ primary: late = null } = shardOf(null)] = shards;
  const stale: ShardView[] = [
    { ...(shards[0] ?? shardOf(null)), primary: late, slots: [[0, 16383]] },
    { ...(shards[1] ?? shardOf(null)), slots: [] },
  ];
  await fleet.publish(2, [{ ...view, shards: stale }]);
  assert.equal(await node.ask('GET', FOREIGN), moved);
  await fleet.publish(3, [{ ...view, shards: stale }]);
  assert.equal(await other.ask('BLPOP', FOREIGN, '0'), moved);
  assert.equal(await node.ask('GET', OWN), '$1\r\n2\r\n');

  // One limit for all addresses; and one that goes leaves its clients between two commands.
  const full = { ...view.limits, maxConnections: 9 };
  await fleet.publish(4, [{ ...view, limits: full }]);
  const { connections = 0 } = (await fleet.counters()).databases[0] ?? {};
  assert.ok(connections >= 9, `${connections} are connected`);
  const refused = await new RawClient(plain[1] ?? 0).ready();
  clients.push(refused);
  assert.match(await refused.until('refused', ({ closed }) => closed), /max number of clients/);
  cluster.disconnect();
  const without = view.listen.filter(({ shard }) => shard === undefined);
  await fleet.publish(5, [{ ...view, listen: without }]);
  await eventually('they left', () => nodes.every(({ closed }) => closed), MS);
  assert.equal(await seed.ask('GET', OWN), '$1\r\n2\r\n');
  const after = (await fleet.counters()).databases[0];
  assert.ok((after?.commands['dbsize']?.calls ?? 0) >= 6, 'what was counted stays');
});
