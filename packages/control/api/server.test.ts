/** The listeners: bounds, ports that are taken, the orderly end. */
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { connect } from 'node:net';
import { after, test } from 'node:test';
import { distinctHosts } from '../listen.ts';
import { portError, startApi } from './index.ts';
import { MAX_IN_FLIGHT } from './limits.ts';
import { openCalls, until, V } from './testing-calls.ts';
import { NO_CERTIFICATES, NOTHING_TO_SEE, TOKEN } from './testing-rig.ts';

const { rig, makeCache, database, call } = await openCalls();
after(() => rig.close());
const port = Number(new URL(rig.api.http ?? '').port);

const context = () => ({
  service: rig.resources,
  skus: rig.resources,
  maintenance: rig.maintenance,
  certificates: NO_CERTIFICATES,
  observe: NOTHING_TO_SEE,
  token: TOKEN,
  now: Date.now,
  stop: () => {},
  stopWithinMs: () => 0,
  reloadEndpoint: async () => {},
  lookAt: async () => {},
  log: () => {},
});

/** The status of a call that nobody waits for yet. */
function start(atPort: number, method: string, path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = {
      authorization: `Bearer ${TOKEN}`,
      'content-length': '23',
      'content-type': 'application/json',
    };
    const sent = request({ host: '127.0.0.1', port: atPort, method, path, headers, agent: false });
    sent.on('response', (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    sent.on('error', reject);
    sent.end('{"keyType":"Secondary"} '.slice(0, 23));
  });
}

test('a port that is taken is named, and nothing stays open', async () => {
  const http = { hosts: ['127.0.0.1'], port };
  await assert.rejects(startApi(context(), { http, https: null }), {
    code: 'port-in-use',
    message: new RegExp(`127\\.0\\.0\\.1 port ${port}`),
  });
  const missing = { hosts: ['192.0.2.1'], port: 0 };
  await assert.rejects(startApi(context(), { http: missing, https: null }), {
    code: 'port-in-use',
  });
  // Tests may run as root, who may listen anywhere.
  const denied = Object.assign(new Error(), { code: 'EACCES' });
  assert.match(
    String(portError(denied, '127.0.0.1', 80)),
    /port 80: this user may not listen there/,
  );
});

test('both loopback addresses have the same port', async () => {
  const both = await startApi(context(), {
    http: { hosts: ['127.0.0.1', '::1'], port: 0 },
    https: null,
  });
  const shared = Number(new URL(both.http ?? '').port);
  for (const host of ['127.0.0.1', '::1']) {
    await new Promise<void>((resolve, reject) => {
      const socket = connect({ host, port: shared }, () => {
        socket.destroy();
        resolve();
      });
      socket.on('error', (error: NodeJS.ErrnoException) =>
        host === '::1' && error.code === 'EADDRNOTAVAIL' ? resolve() : reject(error),
      );
    });
  }
  await both.stop();
});

test('a wildcard takes the place of the addresses that it has', async () => {
  assert.deepEqual(distinctHosts(['127.0.0.1', '::1', '0.0.0.0']), ['0.0.0.0', '::1']);
  assert.deepEqual(distinctHosts(['127.0.0.1', '::1', '::', '::']), ['127.0.0.1', '::']);
  const hosts = ['127.0.0.1', '::1', '0.0.0.0', '::'];
  const api = await startApi(context(), { http: { hosts, port: 0 }, https: null });
  const open = Number(new URL(api.http ?? '').port);
  assert.equal(await start(open, 'GET', `/subscriptions?${V}`), 200);
  await api.stop();
});

test('more requests than the bound are refused with Retry-After, and the rest is answered', async () => {
  const name = await makeCache();
  let letGo = () => {};
  const gate = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  rig.executor.apply = () => gate;
  const path = `${database(name)}/regenerateKey?${V}`;
  const first = start(port, 'POST', path);
  await until(async () => rig.executor.applied.length > 0);
  // Requests whose body never comes hold a place each, until their time-out.
  const sockets = Array.from({ length: MAX_IN_FLIGHT - 1 }, () => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.on('error', () => {});
    socket.write(
      `PUT /x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${TOKEN}\r\nContent-Length: 9\r\n\r\n`,
    );
    return socket;
  });
  let busy = await call('GET', '/subscriptions');
  await until(async () => {
    busy = await call('GET', '/subscriptions');
    return busy.status === 503;
  });
  assert.equal(busy.body.error.code, 'ServiceUnavailable');
  assert.equal(busy.headers['retry-after'], '1');
  for (const socket of sockets) socket.destroy();
  await until(async () => (await call('GET', '/subscriptions')).status === 200);
  letGo();
  assert.equal(await first, 200);
  rig.executor.apply = async () => {};
});

test('an end lets the answer in flight finish and refuses new connections', async () => {
  const name = await makeCache();
  let letGo = () => {};
  const gate = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  const before = rig.executor.applied.length;
  rig.executor.apply = () => gate;
  const api = await startApi(context(), { http: { hosts: ['127.0.0.1'], port: 0 }, https: null });
  const ownPort = Number(new URL(api.http ?? '').port);
  const answer = start(ownPort, 'POST', `${database(name)}/regenerateKey?${V}`);
  await until(async () => rig.executor.applied.length > before);
  const stopped = api.stop();
  await assert.rejects(start(ownPort, 'GET', `/subscriptions?${V}`), { code: 'ECONNREFUSED' });
  letGo();
  assert.equal(await answer, 200);
  await stopped;
});
