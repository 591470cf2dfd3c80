/** What clients ask before the resource: subscriptions, providers, resource groups, tags, names. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { CLUSTER, openCalls, refused, until } from './testing-calls.ts';

const { rig, call, cluster, group, fresh, makeCluster } = await openCalls();
after(() => rig.close());

test('subscriptions, tenants, locations with old and new versions', async () => {
  for (const version of ['2019-11-01', '2022-12-01', '2016-06-01']) {
    const query = `api-version=${version}`;
    const list = await call('GET', '/subscriptions', undefined, query);
    assert.equal(list.body.value[0].subscriptionId, rig.sub);
    const one = await call('GET', `/subscriptions/${rig.sub}`, undefined, query);
    assert.equal(one.body.state, 'Enabled');
    const { tenantId } = one.body;
    assert.equal(
      (await call('GET', '/tenants', undefined, query)).body.value[0].tenantId,
      tenantId,
    );
    const places = await call('GET', `/subscriptions/${rig.sub}/locations`, undefined, query);
    const names = places.body.value.map((each: { name: string }) => each.name);
    assert.ok(names.includes('westus3') && names.includes('local'));
  }
});

test('Microsoft.Cache is registered and lists a stable version first', async () => {
  const path = `/subscriptions/${rig.sub}/providers/microsoft.cache`;
  const query = 'api-version=2016-02-01';
  const provider = await call('GET', path, undefined, query);
  assert.equal(provider.body.registrationState, 'Registered');
  assert.equal(provider.body.resourceTypes[0].apiVersions[0], '2025-07-01');
  const register = await call('POST', `${path}/register`, undefined, query);
  assert.equal(register.status, 200);
  const list = await call('GET', `/subscriptions/${rig.sub}/providers`, undefined, query);
  assert.ok(list.body.value.length >= 2);
  refused(
    await call('GET', `/subscriptions/${rig.sub}/providers/Microsoft.Web`, undefined, query),
    404,
    'InvalidResourceNamespace',
  );
  const operations = await call('GET', '/providers/Microsoft.Cache/operations');
  assert.ok(operations.body.value.length > 5);
});

test('a group: 201, 200, HEAD, list, tags, delete with what is in it', async () => {
  const path = group('Team-A');
  const query = 'api-version=2021-04-01';
  const put = (body: unknown) => call('PUT', path, body, query);
  assert.equal((await put({ location: 'westeurope', tags: { a: '1' } })).status, 201);
  assert.equal((await put({ location: 'West Europe', tags: { a: '2' } })).status, 200);
  refused(await put({ location: 'local' }), 409, 'InvalidResourceGroupLocation');
  refused(await put({}), 400, 'LocationRequired');
  const head = await call('HEAD', path, undefined, query);
  assert.deepEqual([head.status, head.text], [204, '']);
  const absent = await call('HEAD', group('nobody'), undefined, query);
  assert.deepEqual([absent.status, absent.text], [404, '']);
  assert.equal((await call('PATCH', path, { tags: { b: '3' } }, query)).body.tags.b, '3');
  const found = await rig.call(
    'GET',
    `/subscriptions/${rig.sub}/resourcegroups?${query}&$filter=tagName%20eq%20'b'%20and%20tagValue%20eq%20'3'`,
  );
  assert.deepEqual(
    found.body.value.map((each: { name: string }) => each.name),
    ['Team-A'],
  );

  const inside = `${path}/providers/Microsoft.Cache/redisEnterprise/${fresh()}`;
  const made = await call('PUT', inside, CLUSTER);
  await rig.done(made);
  await rig.done(await call('PUT', `${inside}/databases/default`, {}));
  const resources = await rig.call('GET', `${path}/resources?${query}&$filter=`);
  assert.deepEqual(
    resources.body.value.map((each: { id: string }) => each.id),
    [inside],
  );

  rig.executor.held = true;
  const gone = await call('DELETE', path, undefined, query);
  assert.equal(gone.status, 202);
  const { pathname, search } = new URL(gone.headers['location'] ?? '');
  assert.equal((await rig.call('GET', `${pathname}${search}`)).status, 202);
  assert.equal(
    (await call('GET', path, undefined, query)).body.properties.provisioningState,
    'Deleting',
  );
  refused(
    await call('PUT', `${path}/providers/Microsoft.Cache/redisEnterprise/late`, CLUSTER),
    409,
    'ResourceGroupBeingDeleted',
  );
  rig.executor.goOn();
  await until(async () => (await rig.call('GET', `${pathname}${search}`)).status === 200);
  refused(await call('GET', path, undefined, query), 404, 'ResourceGroupNotFound');
  refused(await call('DELETE', path, undefined, query), 404, 'ResourceGroupNotFound');
  const left = await call(
    'GET',
    `/subscriptions/${rig.sub}/providers/Microsoft.Cache/redisEnterprise`,
  );
  assert.ok(!left.text.includes('Team-A'));
});

test('tags of a scope: merge, replace, delete', async () => {
  const name = await makeCluster({ tags: { keep: '1', drop: '2' } });
  const path = `${cluster(name)}/providers/Microsoft.Resources/tags/default`;
  const settled = () =>
    until(
      async () =>
        (await call('GET', cluster(name))).body.properties.provisioningState === 'Succeeded',
    );
  const change = async (operation: string, tags: object) => {
    const answer = await call(
      'PATCH',
      path,
      { operation, properties: { tags } },
      'api-version=2021-04-01',
    );
    assert.equal(answer.status, 200, answer.text);
    await settled();
    return answer.body.properties.tags;
  };
  assert.deepEqual(await change('Merge', { add: '3' }), { keep: '1', drop: '2', add: '3' });
  assert.deepEqual(await change('Delete', { drop: '2', add: 'other' }), { keep: '1', add: '3' });
  assert.deepEqual(await change('Replace', { last: '4' }), { last: '4' });
  assert.deepEqual((await call('GET', cluster(name))).body.tags, { last: '4' });
});

test('names can be checked', async () => {
  const name = await makeCluster();
  const check = async (asked: string) =>
    (
      await call(
        'POST',
        `/subscriptions/${rig.sub}/providers/Microsoft.Cache/checkNameAvailability`,
        { name: asked, type: 'Microsoft.Cache/redisEnterprise' },
      )
    ).body;
  assert.deepEqual(await check('free-name'), { nameAvailable: true });
  assert.equal((await check(name)).reason, 'AlreadyExists');
  assert.equal((await check('-bad-')).reason, 'Invalid');
});
