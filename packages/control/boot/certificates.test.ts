/**
 * Certificates of a running service: renewed while everything is connected, and replaced by the
 * user's own. The clock of certificates starts in the past, so what is issued first is due once it
 * shows the present: everything else is real.
 */
import 'reflect-metadata';
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import pino from 'pino';
import { eventually } from '../../engine/testing.ts';
import { issueCa, issueLeaf } from '../tls/issue.ts';
import { exportKey, makeKeys } from '../tls/keys.ts';
import { System } from './system.ts';

const DAY = 86_400_000;
/** Of 90 days a third is left from the 60th on. */
const AGO_MS = 65 * DAY;
const DEADLINE_MS = 20_000;

const folder = mkdtempSync(join(tmpdir(), 'cc-'));
const home = join(folder, 'h');
let aheadMs = -AGO_MS;
let system: System;
let http = '';
let https = '';
let caFile = '';
let token = '';
let sub = '';

before(async () => {
  system = new System(
    {
      home,
      runDir: join(folder, 'r'),
      engineCache: join(
        process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'),
        'cinnabar',
        'engines',
      ),
      listen: [],
      domain: null,
      apiPort: 0,
      httpsPort: 0,
      workers: 1,
      firstPorts: { database: 31_000, shard: 32_000, internal: 33_000 },
      miniature: { memoryDivisor: 16, maxShards: 2 },
    },
    pino({ level: 'silent' }),
    () => undefined,
    () => undefined,
    { now: () => Date.now() + aheadMs, clockLookMs: 20 },
  );
  const { status } = await system.start();
  http = status.api.http ?? '';
  https = status.api.https ?? '';
  caFile = status.caFile;
  token = readFileSync(join(home, 'api-token'), 'utf8').trim();
  sub = JSON.parse(readFileSync(join(home, 'control.json'), 'utf8')).subscriptionId;
  await create('direct', 'OSSCluster');
  await create('plainport', 'NoCluster');
});

after(async () => {
  await system.stop({ save: false, mayRefuse: false });
  rmSync(folder, { recursive: true, force: true });
});

async function call(method: string, path: string, body?: unknown) {
  const answer = await fetch(`${http}${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  return { status: answer.status, body: text === '' ? null : JSON.parse(text), text };
}

const cluster = (name: string) =>
  `/subscriptions/${sub}/resourceGroups/default/providers/Microsoft.Cache/redisEnterprise/${name}`;
const database = (name: string) => `${cluster(name)}/databases/default`;
const V = '?api-version=2025-07-01';

async function create(name: string, clusteringPolicy: string): Promise<void> {
  const made = await call('PUT', cluster(name) + V, {
    location: 'local',
    sku: { name: 'Balanced_B0' },
    properties: { highAvailability: 'Enabled', publicNetworkAccess: 'Enabled' },
  });
  assert.equal(made.status, 201, made.text);
  const db = await call('PUT', database(name) + V, {
    properties: { accessKeysAuthentication: 'Enabled', clusteringPolicy },
  });
  assert.equal(db.status, 201, db.text);
  await until(`${name} runs`, async () => {
    const { body } = await call('GET', database(name) + V);
    return body.properties.resourceState === 'Running';
  });
}

async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  let met = false;
  let asking = false;
  await eventually(
    what,
    () => {
      if (!asking) {
        asking = true;
        void condition().then(
          (answer) => {
            met ||= answer;
            asking = false;
          },
          () => {
            asking = false;
          },
        );
      }
      return met;
    },
    DEADLINE_MS,
  );
}

async function open(port: number): Promise<TLSSocket> {
  const socket = connect({
    host: '127.0.0.1',
    port,
    servername: 'localhost',
    ca: readFileSync(caFile),
  });
  socket.on('error', () => undefined);
  await new Promise<void>((resolve, reject) => {
    socket.once('secureConnect', resolve);
    socket.once('error', reject);
  });
  return socket;
}

/** Serial of what a new connection is shown. */
async function shown(port: number): Promise<string> {
  const socket = await open(port);
  const { serialNumber } = socket.getPeerCertificate();
  socket.destroy();
  return serialNumber;
}

async function ask(socket: TLSSocket, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    socket.once('data', (chunk) => resolve(String(chunk)));
    socket.once('close', () => reject(new Error('the connection was closed')));
    socket.write(text);
  });
}

async function login(socket: TLSSocket, name: string): Promise<void> {
  const { body } = await call('POST', `${database(name)}/listKeys${V}`);
  assert.match(await ask(socket, `AUTH ${body.primaryKey}\r\n`), /^\+OK/);
}

test('renewal: new connections get the new certificate, open ones go on, replication stays', async () => {
  const info = (await call('GET', `${database('direct')}/connection`)).body;
  const shardPort = info.shards.find((s: { role: string }) => s.role === 'primary').port;
  const nocluster = (await call('GET', `${database('plainport')}/connection`)).body;
  const ports = [info.port, nocluster.port, shardPort, Number(new URL(https).port)];
  const before = await Promise.all(ports.map(shown));
  const sockets = await Promise.all([info.port, nocluster.port, shardPort].map(open));
  await login(sockets[0] as TLSSocket, 'direct');
  await login(sockets[1] as TLSSocket, 'plainport');
  await login(sockets[2] as TLSSocket, 'direct');
  const seen = (await call('GET', '/cinnabar/events?top=1')).body.value[0].id;

  aheadMs = 0;
  for (const [i, port] of ports.entries()) {
    await until(`port ${port} shows a new one`, async () => (await shown(port)) !== before[i]);
  }
  for (const socket of sockets) assert.match(await ask(socket, 'PING\r\n'), /^\+PONG/);
  assert.match(await ask(sockets[1] as TLSSocket, 'SET a b\r\n'), /^\+OK/);
  for (const socket of sockets) socket.destroy();

  for (const name of ['direct', 'plainport']) {
    await until(`${name} is in sync`, async () => {
      const { body } = await call('GET', `${database(name)}/shards`);
      const instances = body.value.flatMap((s: { instances: unknown[] }) => s.instances);
      const states = instances.map((i: { condition: string }) => i.condition).sort();
      return states.every((state: string) => state === 'in-sync' || state === 'serving');
    });
  }
  const events = (await call('GET', `/cinnabar/events?since=${seen}&top=200`)).body.value;
  const reasons = new Set(events.map((event: { reason: string }) => event.reason));
  assert.ok(reasons.has('certificate-renewed'));
  for (const bad of ['engine-died', 'shard-promoted', 'false-alarm', 'data-lost']) {
    assert.ok(!reasons.has(bad), bad);
  }
});

test('a clock that is set back: what is shown then is valid by that clock, too, within seconds', async () => {
  const info = (await call('GET', `${database('direct')}/connection`)).body;
  const shardPort = info.shards.find((s: { role: string }) => s.role === 'primary').port;
  const ports = [info.port, shardPort, Number(new URL(https).port)];
  const before = await Promise.all(ports.map(shown));
  aheadMs = -3 * DAY;
  for (const [i, port] of ports.entries()) {
    await until(`port ${port} shows a new one`, async () => (await shown(port)) !== before[i]);
    const socket = await open(port);
    const leaf = socket.getPeerX509Certificate();
    socket.destroy();
    assert.ok(Date.parse(String(leaf?.validFrom)) <= Date.now() + aheadMs, `port ${port}`);
  }
  aheadMs = 0;
});

test('an own certificate is checked, served, shown without its key, warned of, and given back', async () => {
  const path = `${database('plainport')}/certificate`;
  const ours = (await call('GET', path)).body;
  assert.equal(ours.origin, 'ours');
  assert.ok(ours.names.includes('DNS:localhost'));
  const { port } = (await call('GET', `${database('plainport')}/connection`)).body;
  const old = await open(port);
  await login(old, 'plainport');

  const now = Date.now();
  const signer = await authority(now);
  const strange = await pair(signer, ['other.example.org'], now);
  const refused = await call('PUT', path, strange);
  assert.deepEqual([refused.status, refused.body.error.code], [400, 'OwnCertificateNames']);
  const missing = await call('PUT', path, { certPem: strange.certPem });
  assert.deepEqual([missing.status, missing.body.error.target], [400, 'keyPem']);

  const mine = await pair(signer, ['localhost'], now - 75 * DAY);
  const put = await call('PUT', path, mine);
  assert.equal(put.status, 200, put.text);
  assert.deepEqual([put.body.origin, put.body.applied], ['own', true]);
  assert.ok(!put.text.includes('PRIVATE KEY'));
  assert.match(put.body.problem, /expires on/);
  const leaf = new X509Certificate(mine.certPem);
  const fresh = connect({ host: '127.0.0.1', port, servername: 'localhost', ca: signer.pem });
  await new Promise<void>((resolve, reject) => {
    fresh.once('secureConnect', resolve);
    fresh.once('error', reject);
  });
  assert.equal(fresh.getPeerCertificate().fingerprint256, leaf.fingerprint256);
  fresh.destroy();
  assert.match(await ask(old, 'PING\r\n'), /^\+PONG/);
  const events = (await call('GET', '/cinnabar/events?top=100')).body.value;
  const warned = events.filter((e: { reason: string }) => e.reason === 'own-certificate-expires');
  assert.equal(warned.length, 1, 'said once, however often it was looked at');
  const { warnings } = (await call('GET', '/cinnabar/status')).body;
  assert.ok(warnings.some((text: string) => text.includes('expires on')));

  const reset = await call('DELETE', path);
  assert.deepEqual([reset.status, reset.body.origin, reset.body.problem], [200, 'ours', null]);
  assert.ok(reset.body.generation > put.body.generation);
  await shown(port); // trusted through our root again
  assert.match(await ask(old, 'PING\r\n'), /^\+PONG/);
  old.destroy();
});

test('a failover with loss is refused where nothing has to be given up', async () => {
  const path = `${database('direct')}/failover`;
  const serving = await call('POST', path, { acceptDataLoss: true, shard: 0 });
  assert.deepEqual([serving.status, serving.body.error.code], [409, 'ShardServes']);
  const none = await call('POST', path, { acceptDataLoss: true });
  assert.deepEqual([none.status, none.body.error.code], [409, 'NothingToFailOver']);
  const absent = await call('POST', path, { acceptDataLoss: true, shard: 99 });
  assert.deepEqual([absent.status, absent.body.error.target], [400, 'shard']);
});

async function authority(now: number) {
  const keys = await makeKeys('ecdsa');
  const name = 'A company CA';
  const pem = await issueCa({ name, keys, signer: null, pathLength: 1, now: now - 100 * DAY });
  return { pem, keys };
}

async function pair(signer: Awaited<ReturnType<typeof authority>>, names: string[], now: number) {
  const keys = await makeKeys('rsa');
  const certPem = await issueLeaf({
    names,
    keys,
    signer: { certificatePem: signer.pem, keys: signer.keys },
    use: 'server',
    now,
  });
  return { certPem, keyPem: await exportKey(keys) };
}
