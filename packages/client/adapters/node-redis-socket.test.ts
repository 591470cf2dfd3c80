import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { connect as dial, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { createClient } from 'redis';
import { lanes } from '../index.ts';
import { startProxy } from '../testing/proxy.ts';
import { startServer, type TestServer } from '../testing/server.ts';
import { until } from '../testing/until.ts';

let server: TestServer;
before(async () => {
  server = await startServer();
});
after(() => server?.stop());

/** It reads into a buffer that its user gave it. */
function readsInto(socket: Socket): boolean {
  const field = Object.getOwnPropertySymbols(socket).find((one) => one.description === 'kBuffer');
  return field !== undefined && Reflect.get(socket, field) !== null;
}

test('the socket of a connection is found, also when it connects again, and no other is touched', async (t) => {
  const proxy = await startProxy(server.port);
  t.after(() => proxy.stop());
  const made: Socket[] = [];
  const hear = (message: unknown): void => void made.push((message as { socket: Socket }).socket);
  subscribe('net.client.socket', hear);
  t.after(() => unsubscribe('net.client.socket', hear));
  const strangers: Socket[] = [];
  t.after(() => strangers.map((one) => one.destroy()));
  const heard: string[] = [];
  // Made in the very moment, to the same server, and talking.
  const stranger = (): void => {
    const socket = dial(proxy.port, '127.0.0.1').on('error', () => {});
    socket.write('PING\r\n');
    socket.on('data', (bytes) => heard.push(String(bytes)));
    strangers.push(socket);
  };
  const redis = lanes(() => createClient({ socket: { port: proxy.port } }));
  t.after(() => redis.destroy());
  redis.on('error', () => {});
  redis.on('reconnecting', stranger);
  const connected = redis.connect();
  stranger();
  await connected;
  await redis.set('k', 'v');
  const own = (): Socket[] => made.filter((one) => !strangers.includes(one) && readsInto(one));
  assert.equal(own().length, 1);
  proxy.cut();
  await until(() => strangers.length > 1);
  assert.equal(await redis.get('k'), 'v');
  assert.equal(own().length, 2);
  await until(() => heard.length === strangers.length);
  assert.deepEqual(strangers.filter(readsInto), []);
  assert.deepEqual(new Set(heard), new Set(['+PONG\r\n']));
});

test('many connections at once: no socket has a listener for each of them', async (t) => {
  const most = new Set<number>();
  const hear = (message: unknown): void => {
    const { socket } = message as { socket: Socket };
    queueMicrotask(() => most.add(socket.listenerCount('data')));
  };
  subscribe('net.client.socket', hear);
  t.after(() => unsubscribe('net.client.socket', hear));
  const redis = lanes(() => createClient({ socket: { port: server.port } }));
  t.after(() => redis.destroy());
  redis.on('error', () => {});
  await redis.connect();
  const popped = Array.from({ length: 16 }, (_, i) => redis.blPop(`q:${i}`, 10));
  for (let i = 0; i < 16; i += 1) await redis.rPush(`q:${i}`, 'v');
  assert.equal((await Promise.all(popped)).length, 16);
  assert.ok(Math.max(...most) <= 3, String([...most]));
});
