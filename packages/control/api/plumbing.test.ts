/** What every request goes through: token, versions, order of checks, paths, bodies, headers, records. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { CLUSTER, openCalls, refused, V } from './testing-calls.ts';
import type { CallOptions } from './testing-rig.ts';

const { rig, call, cluster, database, group, fresh, makeCluster, makeCache } = await openCalls();
after(() => rig.close());

test('without a token: 401, the challenge, and nothing about what exists', async () => {
  for (const path of [
    '/subscriptions',
    '/no/such/path',
    `${cluster('absent')}`,
    '/cinnabar/status',
  ]) {
    const answer = await rig.call('GET', `${path}?${V}`, { token: null });
    refused(answer, 401, 'AuthenticationFailed');
    assert.match(answer.headers['www-authenticate'] ?? '', /^Bearer authorization_uri="http.*"/);
  }
  const wrong = await rig.call('GET', `/subscriptions?${V}`, { token: 'nonsense' });
  refused(wrong, 401, 'InvalidAuthenticationToken');
  assert.match(wrong.body.error.message, /Send 'Bearer' and the content of the file api-token/);
  assert.match(wrong.headers['www-authenticate'] ?? '', /error="invalid_token"/);
});

test('a body of a stranger is refused before it is read', async () => {
  const answer = await rig.call('PUT', `${cluster('x')}?${V}`, { token: null, raw: '{"a":' });
  refused(answer, 401, 'AuthenticationFailed');
});

test('api-version: missing, malformed, unknown to the type', async () => {
  const bare = await rig.call('GET', cluster('x'));
  refused(bare, 400, 'MissingApiVersionParameter');
  refused(
    await call('GET', cluster('x'), undefined, 'api-version=new'),
    400,
    'InvalidApiVersionParameter',
  );
  const unknown = await call('GET', cluster('x'), undefined, 'api-version=2019-01-01');
  refused(unknown, 400, 'NoRegisteredProviderFound');
  assert.match(unknown.body.error.message, /2025-07-01/);
  refused(
    await call('GET', cluster('x'), undefined, 'API-Version=2025-07-01'),
    404,
    'ResourceNotFound',
  );
});

test('order of checks: version before subscription before group before resource', async () => {
  const other = '00000000-0000-4000-8000-000000000000';
  const bare = await rig.call('GET', `/subscriptions/${other}/resourceGroups/none`);
  refused(bare, 400, 'MissingApiVersionParameter');
  refused(
    await call('GET', `/subscriptions/${other}/resourceGroups/none`),
    404,
    'SubscriptionNotFound',
  );
  refused(await call('GET', '/subscriptions/mine'), 400, 'InvalidSubscriptionId');
  refused(await call('GET', group('none')), 404, 'ResourceGroupNotFound');
  const child = `${group('none')}/providers/Microsoft.Cache/redisEnterprise/x`;
  for (const method of ['GET', 'PUT', 'DELETE']) {
    refused(
      await call(method, child, method === 'PUT' ? CLUSTER : undefined),
      404,
      'ResourceGroupNotFound',
    );
  }
});

test('unknown paths and methods are ARM errors', async () => {
  refused(
    await call('GET', `${group()}/providers/Microsoft.Web/sites/x`),
    404,
    'InvalidResourceNamespace',
  );
  refused(
    await call('GET', `${group()}/providers/Microsoft.Cache/redis/x`),
    404,
    'InvalidResourceType',
  );
  for (const query of [V, '']) {
    const nothing = await call('GET', '/nothing/here', undefined, query);
    refused(nothing, 404, 'InvalidResourceType');
    assert.match(nothing.body.error.message, /'\/nothing\/here'.*redisEnterprise\/<name>/);
  }
  const method = await call('POST', cluster('x'));
  refused(method, 405, 'HttpMethodNotSupported');
  assert.match(method.headers['allow'] ?? '', /GET/);
  refused(await call('OPTIONS', cluster('x')), 405, 'HttpMethodNotSupported');
});

test('segments have no case, empty ones are dropped, ids are canonical', async () => {
  const name = await makeCluster();
  const odd = `//subscriptions/${rig.sub.toUpperCase()}/resourcegroups/DEFAULT/providers/microsoft.cache//REDISENTERPRISE/${name.toUpperCase()}/`;
  const answer = await call('GET', odd);
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.body.id, cluster(name));
});

test('bodies: malformed, wrong media type, too deep, too large, wrong types', async () => {
  const put = (options: CallOptions) => rig.call('PUT', `${cluster('bad')}?${V}`, options);
  refused(await put({ raw: '{"location":' }), 400, 'InvalidRequestContent');
  refused(
    await put({ raw: 'a=b', headers: { 'content-type': 'text/plain' } }),
    415,
    'UnsupportedMediaType',
  );
  refused(
    await put({ raw: '['.repeat(60_000) + ']'.repeat(60_000) }),
    400,
    'InvalidRequestContent',
  );
  refused(await put({ raw: Buffer.alloc(1024 * 1024 + 1, 32) }), 413, 'RequestEntityTooLarge');
  for (const body of [[], 'x', 7, { location: 5 }, { ...CLUSTER, tags: { a: 1 } }]) {
    refused(await put({ body }), 400, 'InvalidRequestContent');
  }
  const list = await put({ body: [] });
  assert.match(list.body.error.message, /must be a JSON object, \{\.\.\.\}, not an array\./);
  const answer = await put({ body: { ...CLUSTER, sku: { name: 'Balanced_B1', capacity: 'x' } } });
  refused(answer, 400, 'InvalidRequestContent');
  assert.equal(answer.body.error.target, 'sku.capacity');
});

test('every answer carries ids, and the caller gets its own back', async () => {
  const headers = {
    'x-ms-correlation-request-id': 'corr-1',
    'x-ms-client-request-id': 'mine-1',
    'x-ms-return-client-request-id': 'true',
  };
  for (const path of [`/subscriptions?${V}`, `/nothing?${V}`]) {
    const answer = await rig.call('GET', path, { headers });
    assert.match(answer.headers['x-ms-request-id'] ?? '', /^[0-9a-f-]{36}$/);
    assert.equal(answer.headers['x-ms-correlation-request-id'], 'corr-1');
    assert.equal(answer.headers['x-ms-client-request-id'], 'mine-1');
    assert.match(answer.headers['x-ms-routing-request-id'] ?? '', /^LOCAL:\d{8}T\d{6}Z:/);
    assert.equal(answer.headers['x-content-type-options'], 'nosniff');
  }
});

test('URLs that are handed out lead to the host that the caller named', async () => {
  const name = fresh();
  const answer = await rig.call('PUT', `${cluster(name)}?${V}`, {
    body: CLUSTER,
    headers: { host: 'caches.example.org:8443' },
  });
  assert.ok(
    answer.headers['azure-asyncoperation']?.startsWith('http://caches.example.org:8443/subs'),
  );
  const odd = await rig.call('PUT', `${cluster(fresh())}?${V}`, {
    body: CLUSTER,
    headers: { host: 'evil"><script>' },
  });
  assert.match(odd.headers['location'] ?? '', /^http:\/\/127\.0\.0\.1:\d+\/subs/);
});

test('ignored fields are named in the log, never their values', async () => {
  const name = await makeCluster({
    colour: 'red',
    id: 'secret-value',
    properties: { publicNetworkAccess: 'Enabled', hostName: 'x', future: 1 },
  });
  const line = rig.log.findLast((entry) => String(entry.data['path']).endsWith(`/${name}`));
  assert.ok(Array.isArray(line?.data['fields']));
  assert.deepEqual([...line.data['fields']].sort(), [
    'colour',
    'id',
    'properties.future',
    'properties.hostName',
  ]);
  assert.ok(!JSON.stringify(line).includes('secret-value'));
});

test('every management call is in the audit record, without a secret', async () => {
  const name = await makeCache();
  const keys = (await call('POST', `${database(name)}/listKeys`)).body;
  await rig.call('DELETE', `${cluster('absent')}?${V}`, { token: 'wrong' });
  const [last, before] = rig.store.audits(2);
  assert.equal(last?.status, 401);
  assert.equal(last?.code, 'InvalidAuthenticationToken');
  assert.equal(last?.actor, 'anonymous');
  assert.equal(before?.path, `${database(name)}/listKeys`);
  assert.equal(before?.apiVersion, '2025-07-01');
  const all = JSON.stringify([rig.store.audits(500), rig.store.events({ limit: 500 }), rig.log]);
  assert.ok(!all.includes(keys.primaryKey) && !all.includes('wrong'));
});
