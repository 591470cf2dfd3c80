/** Processes that die, are replaced, are adopted: what clients see of it, and what is remembered. */
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type DatabaseView, PROTOCOL } from '../../endpoint/control-protocol.ts';
import { SUPERVISOR_PROTOCOL, SUPERVISOR_SOCKET } from '../../endpoint/supervisor-protocol.ts';
import { refOf } from '../../engine/index.ts';
import { engineRoom, eventually, freePorts, TEST_PASSWORDS } from '../../engine/testing.ts';
import { alive } from './launch.ts';
import { Peer, PeerRefusal } from './peer.ts';
import {
  connectLoad,
  fleetRoom,
  instanceOf,
  RawClient,
  shardOf,
  startedFleet,
  viewOf,
} from './testing.ts';

const MS = 2000;
/** Rounds of replacing both workers under load; 25 rounds are 50 replacements. */
const ROUNDS = Number(process.env['CINNABAR_REPLACE_ROUNDS'] ?? 4);
const fixture = (name: string): string =>
  fileURLToPath(new URL(`./testing/${name}.ts`, import.meta.url));

test('replacing workers under connect load: nothing is refused or reset', async (t) => {
  const engines = await engineRoom(t);
  const engine = await engines.start(await engines.launch());
  const room = fleetRoom(t);
  const fleet = await startedFleet(room, 2);
  const view = await viewOf(shardOf(instanceOf(engine)));
  await fleet.publish(1, [view]);
  const load = connectLoad(view.port, 8);
  const seen = new Set(fleet.status().workers.map((worker) => worker.pid));
  for (let round = 0; round < ROUNDS; round += 1) {
    const before = load.served;
    const old = new Set(seen);
    await fleet.reload();
    const { workers } = fleet.status();
    const taking = workers.filter(({ state }) => state !== 'draining');
    assert.deepEqual(
      taking.filter(({ pid }) => old.has(pid)),
      [],
      'none of the old ones is named',
    );
    for (const worker of workers) seen.add(worker.pid);
    await eventually('the new workers serve', () => load.served > before + 50);
  }
  const { served, failures } = await load.stop();
  t.diagnostic(`${served} connections over ${ROUNDS * 2} replacements`);
  assert.equal(seen.size, 2 + ROUNDS * 2);
  assert.deepEqual(failures, {});
  await eventually('all counts are there', async () => {
    const counted = (await fleet.counters()).databases[0];
    return counted?.opened === served && counted.connections === 0;
  });
});

test('replacing a worker lets a session finish what is in flight', async (t) => {
  const engines = await engineRoom(t);
  const engine = await engines.start(await engines.launch());
  const fleet = await startedFleet(fleetRoom(t), 1);
  const view = await viewOf(shardOf(instanceOf(engine)));
  await fleet.publish(1, [view]);
  const client = await new RawClient(view.port).ready();
  await client.ask('AUTH', TEST_PASSWORDS.default);
  client.text = '';
  client.send(
    'EVAL',
    "local t=redis.call('time')[1]*1000000+redis.call('time')[2] repeat local n=redis.call('time') until n[1]*1000000+n[2]-t>600000 return 'done'",
    '0',
  );
  await eventually('it runs', async () => {
    try {
      return (await engine.link.ping(20)) !== 'pong';
    } catch {
      return true;
    }
  });
  await fleet.reload();
  await client.until('the reply, then the end', (c) => c.ended || c.closed);
  assert.equal(client.text, '$4\r\ndone\r\n');
  assert.equal(client.error, null);
});

test('the control process is killed: clients do not notice, the next one adopts', async (t) => {
  const engines = await engineRoom(t);
  const engine = await engines.start(await engines.launch());
  const room = fleetRoom(t);
  const view = await viewOf(shardOf(instanceOf(engine)));
  const control = fork(fixture('control-process'), { execArgv: [] });
  const started = new Promise<{ failed: unknown; status: { supervisor: number } }>((resolve) =>
    control.once('message', (message) => resolve(message as never)),
  );
  control.send({ folder: join(room.folder, 'run'), workers: 2, epoch: 7, view, targets: [] });
  const { failed, status } = await started;
  assert.deepEqual(failed, []);
  const supervisor = refOf(status.supervisor);
  assert.ok(supervisor !== null);
  room.guard.watch(supervisor);

  const client = await new RawClient(view.port).ready();
  assert.equal(await client.ask('AUTH', TEST_PASSWORDS.default), '+OK\r\n');
  control.kill('SIGKILL');
  await new Promise((resolve) => control.once('exit', resolve));
  assert.equal(await client.ask('SET', 'a', '1'), '+OK\r\n');
  const other = await new RawClient(view.port).ready();
  assert.equal(await other.ask('AUTH', TEST_PASSWORDS.default), '+OK\r\n');

  // A worker that dies while nobody is there comes back with the last snapshot.
  const fleet = room.fleet(2);
  await fleet.start();
  const adopted = fleet.status();
  assert.equal(adopted.supervisor, status.supervisor);
  assert.equal(adopted.workers.length, 2);
  fleet.detach();
  const victim = adopted.workers[0]?.pid ?? 0;
  process.kill(victim, 'SIGKILL');
  const again = await eventually('a new worker took over', async () => {
    if (readdirSync(join(room.folder, 'run')).filter((name) => name.startsWith('w')).length < 2)
      return null;
    const looked = room.fleet(2);
    await looked.start();
    const { workers } = looked.status();
    if (workers.length === 2 && workers.every((w) => w.state === 'serving' && w.pid !== victim))
      return looked;
    looked.detach();
    return null;
  });
  for (let i = 0; i < 10; i += 1) {
    const late = await new RawClient(view.port).ready();
    assert.equal(await late.ask('PING'), '-NOAUTH Authentication required.\r\n');
    late.close();
  }

  await assert.rejects(again.publish(6, [view]), (error: Error & { code?: string }) => {
    assert.equal(error.code, 'stale-epoch');
    assert.match(error.message, /epoch 6 is older than 7/);
    return true;
  });
  assert.deepEqual(await again.publish(8, [view]), []);
  assert.equal(again.status().supervisor, status.supervisor);
  for (const each of [client, other]) each.close();
});

test('a worker refuses an older epoch and says which one it runs; and another protocol by name', async (t) => {
  const engines = await engineRoom(t);
  const engine = await engines.start(await engines.launch());
  const room = fleetRoom(t);
  const fleet = await startedFleet(room, 1);
  const view = await viewOf(shardOf(instanceOf(engine)));
  await fleet.publish(5, [view]);
  const name = readdirSync(join(room.folder, 'run')).find((file) => file.startsWith('w0'));
  const path = join(room.folder, 'run', name ?? '');
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(statSync(join(room.folder, 'run', SUPERVISOR_SOCKET)).mode & 0o777, 0o600);
  const options = { path, build: 'test', onMessage: () => {}, onClose: () => {} };
  const peer = await Peer.open({ ...options, protocol: PROTOCOL });
  const old = { type: 'snapshot', snapshot: { epoch: 4, databases: [view] } };
  await assert.rejects(peer.request(old, MS), (error) => {
    assert.ok(error instanceof PeerRefusal);
    assert.equal(error.code, 'stale-epoch');
    assert.match(error.message, /older than 5/);
    return true;
  });
  const release = { type: 'release', shard: 'db/0', successor: null };
  await assert.rejects(peer.request({ type: 'nonsense' }, MS), /'nonsense' is unknown/);
  await assert.rejects(
    peer.request({ ...release, epoch: 6 } as { type: string }, MS),
    /runs epoch 5/,
  );
  const stranger = { node: 'nobody', reason: 'promoting' };
  await assert.rejects(
    peer.request({ ...release, epoch: 5, successor: stranger } as { type: string }, MS),
    /db\/0 has no replica nobody here/,
  );
  const expect = { type: 'expect', shard: 'db/0', epoch: 5, successor: stranger };
  await assert.rejects(peer.request(expect as { type: string }, MS), (error) => {
    assert.ok(error instanceof PeerRefusal);
    assert.equal(error.code, 'not-held');
    return true;
  });
  await assert.rejects(
    peer.request({ ...expect, epoch: 6 } as { type: string }, MS),
    /runs epoch 5/,
  );
  peer.close();
  const said = Promise.withResolvers<unknown>();
  const misfit = await Peer.open({
    ...options,
    protocol: 99,
    onMessage: said.resolve,
    onClose: said.resolve,
  });
  await assert.rejects(misfit.request({ type: 'counters' }, MS), /closed by the other side/);
});

test('a worker that speaks another protocol is replaced by draining', async (t) => {
  const engines = await engineRoom(t);
  const engine = await engines.start(await engines.launch());
  const room = fleetRoom(t);
  const view = await viewOf(shardOf(instanceOf(engine)));
  const first = await startedFleet(room, 1);
  const peer = await Peer.open({
    path: join(room.folder, 'run', SUPERVISOR_SOCKET),
    protocol: SUPERVISOR_PROTOCOL,
    build: 'old',
    onMessage: () => {},
    onClose: () => {},
  });
  const plan = {
    count: 1,
    runtime: process.execPath,
    program: fixture('old-worker'),
    build: 'old',
  };
  const snapshot = { epoch: 1, databases: [view] };
  await peer.request({ type: 'publish', plan, snapshot } as { type: string }, MS);
  await eventually(
    'the old one is seen for what it is',
    () => first.status().workers[0]?.state === 'misfit',
  );
  const old = first.status().workers[0]?.pid ?? 0;
  assert.deepEqual(await first.publish(2, [view]), []);
  const client = await new RawClient(view.port).ready();
  assert.equal(await client.ask('AUTH', TEST_PASSWORDS.default), '+OK\r\n');
  await eventually('the old one is gone', () => !alive(old));
  client.close();
  peer.close();
});

test('a stranger on the port is named, everything else is served, and a free port is taken up', async (t) => {
  const engines = await engineRoom(t);
  const engine = await engines.start(await engines.launch());
  const fleet = await startedFleet(fleetRoom(t), 2);
  const [good = 0] = await freePorts(1);
  const stranger = createServer();
  await new Promise<void>((resolve) =>
    stranger.listen({ host: '127.0.0.1', port: 0, reusePort: true }, resolve),
  );
  const address = stranger.address();
  const taken = typeof address === 'object' && address !== null ? address.port : 0;
  const listen = [good, taken].map((port) => ({ host: '127.0.0.1', port, tls: false }));
  const view: DatabaseView = await viewOf(shardOf(instanceOf(engine)), { listen });
  const failed = await fleet.publish(1, [view]);
  assert.equal(failed.length, 1);
  assert.equal(failed[0]?.address, `127.0.0.1:${taken}`);
  assert.match(
    failed[0]?.reason ?? '',
    new RegExp(`^port-taken: .*held by process ${process.pid} `),
  );
  const client = await new RawClient(good).ready();
  assert.equal(await client.ask('AUTH', TEST_PASSWORDS.default), '+OK\r\n');
  client.close();
  await new Promise((resolve) => stranger.close(resolve));
  assert.deepEqual(await fleet.publish(2, [view]), []);
  const second = await new RawClient(taken).ready();
  assert.equal(await second.ask('AUTH', TEST_PASSWORDS.default), '+OK\r\n');
  second.close();
  assert.deepEqual(await fleet.publish(3, []), []);
  const closed = await new RawClient(good).ready();
  await closed.until('nobody listens any more', (c) => c.closed);
  assert.equal(closed.error?.code, 'ECONNREFUSED');
});

test('nothing secret is in a process list, an environment or a file; stop leaves nothing behind', async (t) => {
  const engines = await engineRoom(t);
  const engine = await engines.start(await engines.launch());
  const room = fleetRoom(t);
  process.env['CINNABAR_TEST_SECRET'] = 'sesame-environment';
  const fleet = await startedFleet(room, 2);
  delete process.env['CINNABAR_TEST_SECRET'];
  const view = await viewOf(shardOf(instanceOf(engine)), {
    users: [
      { name: 'u', secretHashes: ['sesame-hash'], twin: { name: 't', password: 'sesame-twin' } },
    ],
  });
  await fleet.publish(1, [view]);
  fleet.renewLease([{ socket: engine.launch.socket, user: 'admin', password: 'sesame-lease' }]);
  const { supervisor, workers } = fleet.status();
  const pids = [supervisor ?? 0, ...workers.map((worker) => worker.pid)];
  assert.equal(pids.length, 3);
  for (const pid of pids) {
    for (const file of ['cmdline', 'environ']) {
      assert.doesNotMatch(
        readFileSync(`/proc/${pid}/${file}`, 'latin1'),
        /sesame/,
        `${pid} ${file}`,
      );
    }
  }
  for (const name of readdirSync(room.folder, { recursive: true, encoding: 'utf8' })) {
    const path = join(room.folder, name);
    if (statSync(path).isFile()) assert.doesNotMatch(readFileSync(path, 'latin1'), /sesame/, name);
  }
  await fleet.stop(MS);
  assert.deepEqual(pids.filter(alive), []);
  assert.deepEqual(readdirSync(join(room.folder, 'run')), []);
});
