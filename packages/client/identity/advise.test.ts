/** What is wrong with where a client connects to is said where the client is made. */
import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { test } from 'node:test';
import { Cluster, Redis } from 'ioredis';
import { createClient, createCluster } from 'redis';
import { harden, lanes, recommended } from '../index.ts';
import { Recorder } from '../telemetry/recorder.ts';
import { startServer } from '../testing/server.ts';
import { until } from '../testing/until.ts';
import { adviseOnDistance, placesOf } from './advise.ts';

interface Said {
  readonly code: string;
  readonly host: string;
}

function hearing(t: { after(run: () => void): void }): { said: string[]; warned: string[] } {
  const said: string[] = [];
  const warned: string[] = [];
  const hear = (message: unknown): void => {
    const { code, host } = message as Said;
    said.push(`${code} ${host}`);
  };
  const warn = (warning: Error & { code?: string }): void => {
    if (warning.name === 'CinnabarWarning') warned.push(`${warning.code} ${warning.message}`);
  };
  subscribe('cinnabar:client:advice', hear);
  process.on('warning', warn);
  t.after(() => {
    unsubscribe('cinnabar:client:advice', hear);
    process.off('warning', warn);
  });
  return { said, warned };
}

test('lanes() and harden() warn of plaintext and of addresses, once a process for each host', async (t) => {
  const { said, warned } = hearing(t);
  const silent = <T extends { on(event: 'error', listener: () => void): unknown }>(
    client: T,
  ): T => {
    client.on('error', () => {});
    return client;
  };
  const io = { lazyConnect: true, retryStrategy: () => null } as const;
  const made = [
    () => lanes(() => silent(new Redis({ ...io, host: 'one.invalid' }))),
    () => harden(silent(new Redis({ ...io, host: 'one.invalid' }))),
    () => lanes(() => silent(new Redis({ ...io, host: '192.0.2.1', tls: {} }))),
    () => lanes(() => silent(new Redis({ ...io, host: 'fine.invalid', tls: {} }))),
    () => lanes(() => silent(new Redis({ ...io, path: '/nowhere/a.sock' }))),
  ];
  for (const make of made) {
    const redis = make();
    redis.disconnect();
  }
  const nodes = [
    () => lanes(() => createClient({ url: 'redis://two.invalid:1' })),
    () => lanes(() => createCluster({ rootNodes: [{ url: 'redis://192.0.2.2:1' }] })),
    () => lanes(() => createClient({ url: 'rediss://fine.invalid:1' })),
    () => lanes(() => createClient({ url: 'redis://localhost:1' })),
  ];
  for (const make of nodes) make().destroy();
  assert.deepEqual(said, [
    'plaintext one.invalid',
    'plaintext one.invalid',
    'ip-address 192.0.2.1',
    'plaintext two.invalid',
    'plaintext 192.0.2.2',
    'ip-address 192.0.2.2',
  ]);
  await until(() => warned.length >= 5);
  assert.deepEqual(
    warned.map((one) => one.split(' ')[0]),
    ['plaintext', 'ip-address', 'plaintext', 'plaintext', 'ip-address'],
  );
  assert.match(warned[0] ?? '', /one\.invalid: without TLS/);
});

test('recommended() says it, too, and has it as data', (t) => {
  const { said } = hearing(t);
  const { problems } = recommended('cinnabar', {
    library: 'ioredis',
    policy: 'NoCluster',
    host: '192.0.2.9',
    tls: false,
  });
  assert.deepEqual(
    problems.map(({ code }) => code),
    ['plaintext', 'ip-address'],
  );
  assert.deepEqual(said, ['plaintext 192.0.2.9', 'ip-address 192.0.2.9']);
});

test('where the first nodes of a cluster are is known', () => {
  const io = new Cluster([{ host: 'a.invalid', port: 1 }], {
    redisOptions: { tls: {} },
    lazyConnect: true,
  });
  assert.deepEqual(placesOf(io), [{ host: 'a.invalid', tls: true }]);
  io.disconnect();
  const node = createCluster({
    rootNodes: [{ url: 'redis://a.invalid:1' }, { socket: { host: 'b.invalid', port: 1 } }],
    defaults: { socket: { tls: true } },
  });
  assert.deepEqual(placesOf(node), [
    { host: 'a.invalid', tls: true },
    { host: 'b.invalid', tls: true },
  ]);
});

test('a far server is told once many commands have gone there and back alone', async (t) => {
  const { said } = hearing(t);
  const server = await startServer();
  t.after(() => server.stop());
  const redis = lanes(() => new Redis(server.port));
  t.after(() => redis.disconnect());
  for (let i = 0; i < 150; i += 1) await redis.get('k');
  assert.deepEqual(said, [], 'this machine is not far');

  const far = new Redis({ host: 'far.invalid', tls: {}, lazyConnect: true });
  const recorder = new Recorder();
  recorder.leastMs = 31;
  recorder.lone = 99;
  assert.equal(adviseOnDistance(far, recorder), false);
  recorder.lone = 100;
  assert.equal(adviseOnDistance(far, recorder), true);
  assert.deepEqual(said, ['far-server far.invalid']);
  far.disconnect();
});
