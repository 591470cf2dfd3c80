/** Clusters, as clients of Azure's management API rely on them. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { CLUSTER, openCalls, refused, V } from './testing-calls.ts';
import { API_VERSIONS } from './versions.ts';

const { rig, call, cluster, database, fresh, makeCluster, makeCache } = await openCalls();
after(() => rig.close());

test('create: 201, Creating, absolute URLs, then Succeeded in both places', async () => {
  const name = fresh();
  let letGo = () => {};
  const gate = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  rig.cluster.prepare = () => gate;
  const answer = await call('PUT', cluster(name), {
    ...CLUSTER,
    location: 'WEST US 3',
    tags: {},
    properties: { publicNetworkAccess: 'Enabled', encryption: {} },
  });
  assert.equal(answer.status, 201, answer.text);
  const { properties, sku } = answer.body;
  assert.equal(properties.provisioningState, 'Creating');
  assert.equal(properties.resourceState, 'Creating');
  assert.equal(properties.hostName, 'localhost');
  assert.equal(answer.body.location, 'West US 3');
  assert.deepEqual(sku, { name: 'Balanced_B1' });
  assert.match(
    answer.headers['azure-asyncoperation'] ?? '',
    /^http:\/\/127\.0\.0\.1:\d+\/subscriptions\/[^/]+\/providers\/Microsoft\.Cache\/locations\/westus3\/operationsStatus\/[0-9a-f-]{36}\?api-version=2025-07-01$/,
  );
  assert.equal(answer.headers['location'], `${rig.api.http}${cluster(name)}?${V}`);
  assert.ok(Number(answer.headers['retry-after']) >= 1);

  const { pathname } = new URL(answer.headers['azure-asyncoperation'] ?? '');
  for (const path of [pathname, pathname.replace('westus3', 'West%20US%203')]) {
    const status = await call('GET', path);
    assert.equal(status.body.status, 'InProgress');
    assert.ok(Number(status.headers['retry-after']) >= 1);
    assert.equal(status.body.id, pathname);
  }
  refused(await call('PUT', cluster(name), CLUSTER), 409, 'Conflict');
  letGo();
  const done = await rig.done(answer);
  assert.equal(done.status, 'Succeeded');
  assert.equal(done.percentComplete, 100);
  const shown = (await call('GET', cluster(name))).body;
  assert.equal(shown.properties.provisioningState, 'Succeeded');
  assert.equal(shown.properties.resourceState, 'Running');
  rig.cluster.prepare = async () => {};
});

test('every listed api-version works on the same resource', async () => {
  const name = await makeCache();
  for (const version of API_VERSIONS) {
    const query = `api-version=${version}`;
    assert.equal((await call('GET', cluster(name), undefined, query)).status, 200, version);
    assert.equal((await call('GET', database(name), undefined, query)).status, 200, version);
    assert.equal((await call('POST', `${database(name)}/listKeys`, undefined, query)).status, 200);
  }
});

test('an old version neither shows nor resets what it does not know', async () => {
  const name = await makeCluster({
    properties: { publicNetworkAccess: 'Disabled', highAvailability: 'Disabled', encryption: {} },
  });
  const old = 'api-version=2022-01-01';
  const shown = (await call('GET', cluster(name), undefined, old)).body;
  for (const field of ['highAvailability', 'publicNetworkAccess', 'redundancyMode', 'encryption']) {
    assert.ok(!(field in shown.properties), field);
  }
  assert.ok(!('kind' in shown) && !('identity' in shown));
  const put = await call(
    'PUT',
    cluster(name),
    { location: 'westus3', sku: { name: 'Balanced_B1' }, tags: { a: 'b' } },
    old,
  );
  assert.equal(put.status, 200, put.text);
  assert.equal((await rig.done(put)).status, 'Succeeded');
  const now = (await call('GET', cluster(name))).body;
  assert.equal(now.properties.highAvailability, 'Disabled');
  assert.equal(now.properties.publicNetworkAccess, 'Disabled');
  assert.equal(now.properties.redundancyMode, 'None');
  assert.deepEqual(now.tags, { a: 'b' });
  assert.equal(now.kind, 'v2');
});

test('made by an old version: publicNetworkAccess is null, and goes back as null', async () => {
  for (const version of ['2022-01-01', '2024-09-01-preview']) {
    const name = fresh();
    const made = await call(
      'PUT',
      cluster(name),
      { location: 'westus3', sku: { name: 'Balanced_B0' } },
      `api-version=${version}`,
    );
    assert.equal(made.status, 201, made.text);
    await rig.done(made);
    const read = (await call('GET', cluster(name))).body;
    assert.equal(read.properties.publicNetworkAccess, null);
    const back = await call('PUT', cluster(name), read);
    assert.equal(back.status, 200, back.text);
    await rig.done(back);
  }
  refused(
    await call('PUT', cluster(fresh()), { ...CLUSTER, properties: {} }),
    400,
    'InvalidRequestContent',
  );
});

test('what was read can be sent back and changes nothing', async () => {
  const name = await makeCache();
  for (const path of [cluster(name), database(name)]) {
    const before = (await call('GET', path)).body;
    const answer = await call('PUT', path, before);
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.body.properties.provisioningState, 'Updating');
    assert.equal((await rig.done(answer)).status, 'Succeeded');
    const now = (await call('GET', path)).body;
    for (const document of [before, now]) {
      delete document.systemData;
      delete document.properties.cinnabar;
    }
    assert.deepEqual(now, before);
  }
});

test('PATCH replaces tags and leaves the rest', async () => {
  const name = await makeCluster({ tags: { a: '1' } });
  const answer = await call('PATCH', cluster(name), { tags: { b: '2' } });
  assert.equal(answer.status, 202);
  await rig.done(answer);
  const result = new URL(answer.headers['location'] ?? '');
  const final = await rig.call('GET', `${result.pathname}${result.search}`);
  assert.equal(final.status, 200);
  assert.deepEqual(final.body.tags, { b: '2' });
  refused(await call('PATCH', cluster('absent'), { tags: {} }), 404, 'ResourceNotFound');
});

test('delete: 202, visible as Deleting, then 404, then 204', async () => {
  const name = await makeCache();
  rig.executor.held = true;
  const answer = await call('DELETE', cluster(name));
  assert.equal(answer.status, 202);
  assert.equal(answer.body.properties.provisioningState, 'Deleting');
  const again = await call('DELETE', cluster(name));
  assert.equal(again.headers['azure-asyncoperation'], answer.headers['azure-asyncoperation']);
  const result = new URL(answer.headers['location'] ?? '');
  const path = `${result.pathname}${result.search}`;
  assert.match(path, /\/operationresults\//);
  const running = await rig.call('GET', path);
  assert.equal(running.status, 202);
  assert.equal(running.headers['location'], answer.headers['location']);
  assert.equal((await call('GET', cluster(name))).body.properties.resourceState, 'Deleting');
  refused(await call('PUT', cluster(name), CLUSTER), 409, 'Conflict');
  rig.executor.goOn();
  assert.equal((await rig.done(answer)).status, 'Succeeded');
  refused(await call('GET', cluster(name)), 404, 'ResourceNotFound');
  assert.deepEqual(
    [(await rig.call('GET', path)).status, (await call('DELETE', cluster(name))).status],
    [204, 204],
  );
  refused(await call('GET', database(name)), 404, 'ResourceNotFound');
  assert.equal((await call('HEAD', cluster(name))).status, 404);
  const reborn = await call('PUT', cluster(name), CLUSTER);
  assert.equal(reborn.status, 201);
  await rig.done(reborn);
});
