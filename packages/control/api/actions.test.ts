/** Actions on a database: keys, flush, delete; and what is not built. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { openCalls, refused, V } from './testing-calls.ts';

const { rig, call, cluster, database, makeCache } = await openCalls();
after(() => rig.close());

test('keys: two, listed without a body, replaced one at a time, at once', async () => {
  const name = await makeCache();
  const listed = await rig.call('POST', `${database(name)}/listKeys?${V}`);
  assert.equal(listed.status, 200, listed.text);
  assert.match(listed.body.primaryKey, /^[A-Za-z0-9+/]{43}=$/);
  const path = `${database(name)}/regenerateKey`;
  const first = await call('POST', path, { keyType: 'Primary' });
  assert.equal(first.status, 200, first.text);
  assert.notEqual(first.body.primaryKey, listed.body.primaryKey);
  assert.equal(first.body.secondaryKey, listed.body.secondaryKey);
  const second = await call('POST', path, { keyType: 'secondary', disconnect: true });
  assert.equal(second.body.primaryKey, first.body.primaryKey);
  assert.notEqual(second.body.secondaryKey, first.body.secondaryKey);
  const own = rig.store
    .databases()
    .find((each) => each.id === rig.executor.applied.at(-1)?.databaseId);
  assert.ok(own !== undefined);
  assert.deepEqual(
    rig.executor.applied.slice(-2).map((each) => each.disconnect),
    [false, true],
  );
  for (const body of [{}, { keyType: 'Third' }, []]) {
    refused(await call('POST', path, body), 400, 'InvalidRequestContent');
  }
  await rig.done(
    await call('PATCH', database(name), { properties: { accessKeysAuthentication: 'Disabled' } }),
  );
  refused(
    await call('POST', `${database(name)}/listKeys`),
    400,
    'AccessKeysAuthenticationDisabled',
  );
});

test('flush: {}, no body, its own id; not the ids of others', async () => {
  const name = await makeCache();
  const path = `${database(name)}/flush`;
  for (const body of [{}, undefined, { ids: [database(name).toLowerCase()] }]) {
    const answer = await call('POST', path, body);
    assert.equal(answer.status, 202, answer.text);
    assert.equal((await rig.done(answer)).status, 'Succeeded');
    const { pathname, search } = new URL(answer.headers['location'] ?? '');
    const final = await rig.call('GET', `${pathname}${search}`);
    assert.deepEqual([final.status, final.text], [204, '']);
  }
  refused(await call('POST', path, { ids: [database('other')] }), 400, 'InvalidParameter');
});

test('delete: 202, then 204, and the cluster stays', async () => {
  const name = await makeCache();
  const answer = await call('DELETE', database(name));
  assert.equal(answer.status, 202);
  assert.equal((await rig.done(answer)).status, 'Succeeded');
  assert.equal((await call('DELETE', database(name))).status, 204);
  refused(await call('GET', database(name)), 404, 'ResourceNotFound');
  assert.equal((await call('GET', cluster(name))).status, 200);
});

test('what is not built says so', async () => {
  const name = await makeCache();
  for (const action of ['import', 'export', 'forceUnlink', 'forceLinkToReplicationGroup']) {
    refused(await call('POST', `${database(name)}/${action}`, {}), 501, 'NotImplemented');
  }
  const assignment = `${database(name)}/accessPolicyAssignments/5f8a1d1e-0000-4000-8000-000000000000`;
  refused(await call('PUT', assignment, {}), 501, 'NotImplemented');
  refused(await call('GET', assignment), 404, 'ResourceNotFound');
  assert.equal((await call('DELETE', assignment)).status, 204);
  for (const list of [
    `${database(name)}/accessPolicyAssignments`,
    `${cluster(name)}/privateEndpointConnections`,
    `${cluster(name)}/privateLinkResources`,
    `${cluster(name)}/migrations`,
  ]) {
    assert.deepEqual((await call('GET', list)).body, { value: [] });
  }
  refused(
    await call(
      'GET',
      `${cluster(name)}/providers/Microsoft.Insights/metrics`,
      undefined,
      'api-version=2018-01-01',
    ),
    501,
    'NotImplemented',
  );
});

test('an operation that does not exist: 404; one of another resource, too', async () => {
  const name = await makeCache();
  const base = `/subscriptions/${rig.sub}/providers/Microsoft.Cache/locations/local/operationsStatus`;
  refused(await call('GET', `${base}/none`), 404, 'ResourceNotFound');
  const answer = await call('PATCH', cluster(name), { tags: {} });
  await rig.done(answer);
  const id = new URL(answer.headers['location'] ?? '').pathname.split('/').at(-1);
  refused(
    await call('GET', `${cluster('elsewhere')}/operationresults/${id}`),
    404,
    'ResourceNotFound',
  );
});
