/** Counters only grow: whoever dies, and whoever is replaced. Clients and the largest, over workers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { engineRoom, eventually, TEST_PASSWORDS } from '../../engine/testing.ts';
import {
  fleetRoom,
  guardSupervisor,
  instanceOf,
  RawClient,
  shardOf,
  startedFleet,
  viewOf,
} from './testing.ts';

test('no counter goes back when workers, the supervisor or the control process end', async (t) => {
  const engines = await engineRoom(t);
  const engine = await engines.start(await engines.launch());
  const room = fleetRoom(t);
  let fleet = await startedFleet(room, 2);
  const view = await viewOf(shardOf(instanceOf(engine)), {
    guard: [{ command: 'flushall', action: 'refuse', above: 0 }],
  });
  await fleet.publish(1, [view]);
  let asked = 0;
  const work = async (): Promise<void> => {
    for (let i = 0; i < 6; i += 1) {
      const client = await new RawClient(view.port).ready();
      assert.equal(await client.ask('AUTH', TEST_PASSWORDS.default), '+OK\r\n');
      await client.ask('SET', 'k', 'v');
      assert.match(await client.ask('FLUSHALL'), /^-ERR guard-refused/);
      client.close();
      asked += 1;
    }
  };
  const agree = (): Promise<unknown> =>
    eventually('everything is counted', async () => {
      const [counted] = (await fleet.counters()).databases;
      return (
        counted?.opened === asked &&
        counted.closed['client-closed'] === asked &&
        counted.commands['set']?.calls === asked &&
        counted.guard['flushall']?.refused === asked
      );
    });
  await work();
  await agree();
  const { since } = await fleet.counters();

  // Killed, one after the other: what was told of them stays.
  for (let round = 0; round < 2; round += 1) {
    const [victim] = fleet.status().workers;
    process.kill(victim?.pid ?? 0, 'SIGKILL');
    await eventually('a successor serves', () => {
      const { workers } = fleet.status();
      return (
        workers.length === 2 &&
        workers.every((worker) => worker.state === 'serving' && worker.pid !== victim?.pid)
      );
    });
    await agree();
    await work();
    await agree();
  }
  // Replaced in order.
  await fleet.reload();
  await agree();
  await work();
  await agree();
  // Another control process.
  fleet.detach();
  fleet = room.fleet(2);
  await fleet.start();
  await agree();
  await fleet.publish(2, [view]);
  await work();
  await agree();
  // The supervisor is killed; the workers, too, are replaced then.
  const before = fleet.status();
  process.kill(before.supervisor ?? 0, 'SIGKILL');
  await eventually('another one runs both workers', () => {
    const { supervisor, workers } = fleet.status();
    return (
      supervisor !== null &&
      supervisor !== before.supervisor &&
      workers.length === 2 &&
      workers.every((worker) => worker.state === 'serving' && worker.epoch === 2)
    );
  });
  guardSupervisor(room, fleet);
  await agree();
  await work();
  await agree();
  assert.equal((await fleet.counters()).since, since);
});

test('what was counted of a database goes with it, also what the dead had counted', async (t) => {
  const engines = await engineRoom(t);
  const engine = await engines.start(await engines.launch());
  const fleet = await startedFleet(fleetRoom(t), 2);
  const shard = shardOf(instanceOf(engine));
  const stays = await viewOf(shard);
  const goes = { ...(await viewOf(shard)), id: 'goes', shards: [{ ...shard, id: 'goes/0' }] };
  await fleet.publish(1, [stays, goes]);
  const counted = async () => (await fleet.counters()).databases.map(({ id }) => id).toSorted();
  const client = await new RawClient(goes.port).ready();
  assert.equal(await client.ask('AUTH', TEST_PASSWORDS.default), '+OK\r\n');
  client.close();
  assert.deepEqual(await counted(), ['db', 'goes']);
  const [victim] = fleet.status().workers;
  process.kill(victim?.pid ?? 0, 'SIGKILL');
  await eventually('a successor serves', () =>
    fleet.status().workers.every(({ state, pid }) => state === 'serving' && pid !== victim?.pid),
  );
  assert.deepEqual(await counted(), ['db', 'goes']);
  await fleet.publish(2, [stays]);
  assert.deepEqual(await counted(), ['db']);
});

test('clients of all workers are listed and ended by their id; the largest are added up', async (t) => {
  const engines = await engineRoom(t);
  const engine = await engines.start(await engines.launch());
  const fleet = await startedFleet(fleetRoom(t), 2);
  const view = await viewOf(shardOf(instanceOf(engine)));
  await fleet.publish(1, [view]);
  const clients = await Promise.all(
    Array.from({ length: 8 }, async (_, i) => {
      const client = await new RawClient(view.port).ready();
      assert.equal(await client.ask('AUTH', TEST_PASSWORDS.default), '+OK\r\n');
      await client.ask('CLIENT', 'SETNAME', `worker-${i}`);
      return client;
    }),
  );
  const value = 'x'.repeat(200_000);
  for (const client of clients) {
    await client.ask('SET', 'large', value);
    client.text = '';
    client.send('GET', 'large');
    await client.until('all of it', (c) => c.text.length > value.length + 10);
  }
  const listed = await fleet.clients('db', 100);
  assert.deepEqual(
    listed.map(({ name }) => name).toSorted(),
    clients.map((_, i) => `worker-${i}`),
  );
  assert.equal((await fleet.clients('db', 3)).length, 3);
  for (const each of listed) {
    assert.equal(each.user, 'default');
    assert.equal(each.commands, 4);
    assert.ok(each.bytesIn > value.length && each.bytesOut > value.length);
    assert.equal(each.lastCommand, 'get');
    assert.ok(each.latency.count >= 2);
  }
  const large = await fleet.large('db');
  assert.deepEqual(
    large.map(({ kind, key, count }) => ({ kind, key, count })),
    [
      { kind: 'large-request', key: 'large', count: 8 },
      { kind: 'large-reply', key: 'large', count: 8 },
    ],
  );
  const wordy = await new RawClient(view.port).ready();
  clients.push(wordy);
  assert.equal(await wordy.ask('AUTH', TEST_PASSWORDS.default), '+OK\r\n');
  assert.equal(await wordy.ask('CLIENT', 'SETNAME', 'n'.repeat(60_000)), '+OK\r\n');
  const [longest] = (await fleet.clients('db', 100)).toSorted(
    (a, b) => b.name.length - a.name.length,
  );
  assert.equal(longest?.name, 'n'.repeat(256));
  const victim = listed.find(({ name }) => name === 'worker-3');
  assert.equal(await fleet.kill(victim?.id ?? '', 'killed'), true);
  assert.equal(await fleet.kill('1-1', 'killed'), false);
  await clients[3]?.until('it is ended', (c) => c.closed || c.ended);
  await eventually(
    'it is counted',
    async () => (await fleet.counters()).databases[0]?.closed['killed'] === 1,
  );
  for (const client of clients) client.close();
});
