/**
 * Microsoft's client library (npm @azure/arm-redisenterprisecache, api-version 2022-01-01) over
 * HTTPS with our own certificate authority, logged in at our token server.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { connect, type PeerCertificate } from 'node:tls';
import { Authority } from '../tls/authority.ts';
import { V } from './testing-calls.ts';
import { type Rig, startRig, TOKEN } from './testing-rig.ts';

const home = mkdtempSync(join(tmpdir(), 'cinnabar-sdk-'));
after(() => rmSync(home, { recursive: true }));
const authority = await Authority.open({ home });
const certificate = await authority.api();
const ca = readFileSync(authority.caFile);
const rig: Rig = await startRig({
  https: { hosts: ['127.0.0.1', '::1'], port: 0, certificate },
  ca,
  firstPort: 13_000,
});
after(() => rig.close());
const endpoint = rig.api.https ?? '';

function post(path: string, fields: Record<string, string>, headers: Record<string, string> = {}) {
  return rig.call('POST', path, {
    https: true,
    token: null,
    raw: new URLSearchParams(fields).toString(),
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
  });
}

test('the library creates, reads, changes, rotates keys, sees errors, deletes', async () => {
  rig.cluster.prepare = async (cluster) => {
    if (cluster.name === 'will-fail') throw new Error('nothing works today');
  };
  const script = new URL('./testing-sdk.ts', import.meta.url).pathname;
  const output = await new Promise<string>((resolve, reject) => {
    const env = { ...process.env, NODE_EXTRA_CA_CERTS: authority.caFile, CINNABAR_TOKEN: TOKEN };
    const args = [script, endpoint, rig.sub];
    execFile(process.execPath, args, { env, timeout: 60_000 }, (error, out, err) =>
      error === null ? resolve(out) : reject(new Error(`${error.message}\n${err}`)),
    );
  });
  const seen = JSON.parse(output);
  assert.deepEqual(seen.cluster, ['sdk-cache', 'Succeeded', 'Running', 'localhost']);
  assert.deepEqual(seen.database, ['default', 'Succeeded', 'EnterpriseCluster']);
  assert.deepEqual(seen.list, ['sdk-cache']);
  assert.equal(seen.databases.length, 1);
  assert.deepEqual(seen.updated, [{ b: '2' }, 'Succeeded']);
  assert.deepEqual(seen.changed, ['AllKeysLRU', 'Succeeded']);
  assert.equal(seen.completed, true);
  assert.deepEqual(seen.keys, [44, true, true]);
  assert.ok(seen.operations > 5);
  assert.equal(seen.connections, true);
  assert.deepEqual([seen.absent.code, seen.absent.statusCode], ['ResourceNotFound', 404]);
  assert.deepEqual([seen.notBuilt.code, seen.notBuilt.statusCode], ['NotImplemented', 501]);
  assert.match(JSON.stringify(seen.failed), /nothing works today/);
  assert.equal(seen.gone.statusCode, 404);
  assert.ok(rig.store.audits(100).some((entry) => entry.actor === 'my-app'));
});

test('discovery: one document, the older forms, two slashes, no token', async () => {
  const get = (path: string) => rig.call('GET', path, { https: true, token: null });
  const cloud = (await get('//metadata/endpoints?api-version=2022-09-01')).body;
  assert.equal(cloud.authentication.loginEndpoint, endpoint);
  assert.equal(cloud.authentication.tenant, 'common');
  assert.equal(cloud.authentication.identityProvider, 'AAD');
  assert.ok(cloud.name && cloud.authentication.audiences[0] && cloud.resourceManager);
  assert.ok(cloud.microsoftGraphResourceId && cloud.suffixes.storage && cloud.suffixes.keyVaultDns);
  assert.ok(Array.isArray((await get('/metadata/endpoints?api-version=2019-05-01')).body));
  const old = (await get('/metadata/endpoints?api-version=2015-01-01')).body;
  assert.equal(old.authentication.loginEndpoint, endpoint);
  const openid = [
    '/some-tenant/v2.0/.well-known/openid-configuration',
    '/adfs/.well-known/openid-configuration',
    '/adfs/adfs/.well-known/openid-configuration',
    '/adfs/adfs/v2.0/.well-known/openid-configuration',
  ];
  for (const path of openid) {
    const document = (await get(path)).body;
    for (const field of ['issuer', 'authorization_endpoint', 'token_endpoint']) {
      assert.ok(document[field].startsWith(`${endpoint}/`), `${path} ${field}`);
    }
  }
  assert.equal(
    (await get('/adfs/.well-known/openid-configuration')).body.token_endpoint,
    `${endpoint}/adfs/oauth2/token`,
  );
});

test('tokens: both scopes, Basic, claims; wrong secrets and grants are refused', async () => {
  const good = { client_id: 'app', client_secret: TOKEN, grant_type: 'client_credentials' };
  const tenant = '11111111-2222-4333-8444-555555555555';
  for (const scope of [`${endpoint}/.default`, `${endpoint}//.default`]) {
    const answer = await post(`/${tenant}/oauth2/v2.0/token?x=1`, { ...good, scope, extra: '1' });
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.body.token_type, 'Bearer');
    const parts = answer.body.access_token.split('.');
    assert.equal(parts.length, 3);
    const claims = JSON.parse(Buffer.from(parts[1], 'base64url').toString());
    assert.equal(claims.tid, tenant);
    assert.equal(claims.appid, 'app');
    assert.match(claims.oid, /^[0-9a-f-]{36}$/);
    assert.ok(claims.exp > Date.now() / 1000);
    const token = answer.body.access_token;
    assert.equal(
      (await rig.call('GET', `/subscriptions?${V}`, { https: true, token })).status,
      200,
    );
    const forged = [
      `${parts[0]}.${Buffer.from(JSON.stringify({ ...claims, appid: 'root' })).toString('base64url')}.${parts[2]}`,
      `${Buffer.from('{"alg":"none"}').toString('base64url')}.${parts[1]}.`,
      `${parts[0]}.${parts[1]}`,
      '..',
      '.',
    ];
    for (const each of forged) {
      const refused = await rig.call('GET', `/subscriptions?${V}`, { https: true, token: each });
      assert.equal(refused.body.error.code, 'InvalidAuthenticationToken');
    }
  }
  const basic = Buffer.from(`app:${encodeURIComponent(TOKEN)}`).toString('base64');
  const fields = { grant_type: 'client_credentials', resource: endpoint };
  const answer = await post('/adfs/oauth2/token', fields, { authorization: `Basic ${basic}` });
  assert.equal(answer.status, 200, answer.text);

  const wrong = await post('/t/oauth2/v2.0/token', { ...good, client_secret: 'guess' });
  assert.equal(wrong.status, 401);
  assert.equal(wrong.body.error, 'invalid_client');
  assert.match(wrong.body.error_description, /^AADSTS7000215: /);
  const grant = await post('/t/oauth2/v2.0/token', { ...good, grant_type: 'password' });
  assert.deepEqual([grant.status, grant.body.error], [400, 'unsupported_grant_type']);
  assert.ok(!JSON.stringify(rig.store.audits(50)).includes('guess'));
});

test('an expired token says so', async () => {
  const { Identity } = await import('./identity.ts');
  let now = Date.now() - 2 * 3_600_000;
  const past = new Identity(TOKEN, rig.sub, () => now);
  const token = past.issue({ clientId: 'a', tenant: 't', audience: 'x', issuer: 'y' });
  const answer = await rig.call('GET', `/subscriptions?${V}`, { token });
  assert.equal(answer.body.error.code, 'ExpiredAuthenticationToken');
  now += 1_000;
  assert.equal(past.authenticate(`Bearer ${token}`).name, 'a');
});

test('a renewed certificate is served to new connections, without a restart', async () => {
  const second = mkdtempSync(join(tmpdir(), 'cinnabar-sdk-'));
  after(() => rmSync(second, { recursive: true }));
  const peer = () =>
    new Promise<PeerCertificate>((resolve, reject) => {
      const { port } = new URL(endpoint);
      const socket = connect(
        { host: '127.0.0.1', port: Number(port), rejectUnauthorized: false },
        () => {
          resolve(socket.getPeerCertificate());
          socket.destroy();
        },
      );
      socket.once('error', reject);
    });
  const before = await peer();
  assert.match(before.subjectaltname ?? '', /IP Address:127\.0\.0\.1/);
  rig.api.reload(await (await Authority.open({ home: second })).api());
  assert.notEqual((await peer()).fingerprint256, before.fingerprint256);
  rig.api.reload(certificate);
  assert.equal((await peer()).fingerprint256, before.fingerprint256);
});
