import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import type { DatabaseView, Snapshot } from '../control-protocol.ts';
import { addressOf } from '../worker-ipc.ts';
import { StaleEpoch, Worker } from './worker.ts';

const LIMITS = { maxConnections: 10, idleTimeoutMs: 60_000, outputBufferBytes: 0 };
const LISTEN = { host: '127.0.0.1', port: 9, tls: false };

function snapshot(epoch: number, ...ids: string[]): Snapshot {
  const databases = ids.map(
    (id): DatabaseView => ({
      id,
      policy: 'EnterpriseCluster',
      listen: [LISTEN],
      certificate: null,
      users: [],
      limits: LIMITS,
      guard: [],
      azureStrict: false,
      readFrom: 'primary',
      shards: [],
    }),
  );
  return { epoch, databases };
}

test('a snapshot is in force at once, whatever sockets it waits for', async (t) => {
  const worker = new Worker({
    slot: 0,
    workers: 1,
    ticketSecret: Buffer.alloc(48).toString('base64'),
    neighbourSocket: '/nowhere',
    emit: () => undefined,
    tell: () => true,
  });
  t.after(() => worker.apply(snapshot(7)));
  const ids = () => [...worker.fronts()].map(({ id }) => id);
  const first = worker.apply(snapshot(5, 'a'));
  assert.deepEqual([worker.epoch, ids()], [5, ['a']], 'what is said next comes after it');
  const second = worker.apply(snapshot(6, 'a', 'b'));
  assert.deepEqual([worker.epoch, ids()], [6, ['a', 'b']], 'nor does the next one wait');
  await assert.rejects(worker.apply(snapshot(4)), StaleEpoch);
  assert.deepEqual(ids(), ['a', 'b']);
  const address = addressOf(LISTEN);
  worker.listeners.arrived(address, null, 'port-taken');
  const failed = [{ address, reason: 'port-taken' }];
  assert.deepEqual(await first, failed);
  assert.deepEqual(await second, failed);
});

/** A worker with one client that was answered; the server and the client end with the test. */
async function oneClient(t: TestContext) {
  const told: { type: string; count?: number }[] = [];
  const worker = new Worker({
    slot: 0,
    workers: 1,
    ticketSecret: Buffer.alloc(48).toString('base64'),
    neighbourSocket: '/nowhere',
    emit: () => undefined,
    tell: (message) => told.push(message as (typeof told)[number]) > 0,
  });
  t.after(() => worker.apply(snapshot(7)));
  void worker.apply(snapshot(5, 'a'));
  const [front] = worker.fronts();
  assert.ok(front !== undefined);
  const server = createServer((socket) => front.arrive(socket.pause(), false));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  const client = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  t.after(() => client.destroy() && server.close());
  await once(client, 'connect');
  client.resume().write('PING\r\n');
  const answered = once(client, 'data');
  while (front.purse.waiting === 0) await new Promise(setImmediate);
  front.purse.granted(1);
  await answered;
  return { front, client, told };
}

test('who ignores the end of its connection keeps no place in the limit while a worker leaves', async (t) => {
  const { front, client, told } = await oneClient(t);
  const ended = once(client, 'end');
  void front.drain(performance.now());
  await ended;
  assert.ok(!client.closed, 'it does not close');
  front.purse.recall();
  assert.deepEqual(told.at(-1), { type: 'return', database: 'a', count: 1, answer: true });
});

test('a clock that is set makes nobody idle, and no leaving worker stay', async (t) => {
  const { front, client } = await oneClient(t);
  const { now } = Date;
  const idleMs = () => front.clients()[0]?.idleMs ?? Number.NaN;
  assert.ok(idleMs() < LIMITS.idleTimeoutMs);
  const clock = t.mock.method(Date, 'now', () => now() + 3_600_000);
  assert.ok(idleMs() < LIMITS.idleTimeoutMs, 'the clock is an hour ahead');
  clock.mock.mockImplementation(() => now() - 3_600_000);
  assert.ok(idleMs() >= 0, 'the clock is an hour behind');
  const ended = once(client, 'end');
  void front.drain(performance.now());
  await ended;
});
