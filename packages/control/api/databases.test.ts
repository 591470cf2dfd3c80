/** The database of a cluster, as clients of Azure's management API rely on it. */
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { after, test } from 'node:test';
import { CLUSTER, openCalls, refused } from './testing-calls.ts';

const { rig, call, cluster, database, fresh, makeCluster, makeCache } = await openCalls();
after(() => rig.close());

test('PUT {} gives the defaults of its version', async () => {
  for (const [version, keys] of [
    ['2025-07-01', 'Disabled'],
    ['2025-04-01', 'Disabled'],
    ['2024-09-01-preview', 'Enabled'],
    ['2022-01-01', 'Enabled'],
  ]) {
    const name = await makeCluster();
    const answer = await call('PUT', database(name), {}, `api-version=${version}`);
    assert.equal(answer.status, 201, answer.text);
    await rig.done(answer);
    const shown = (await call('GET', database(name))).body;
    assert.equal(shown.name, 'default');
    const { port, cinnabar, ...properties } = shown.properties;
    assert.ok(port >= 12_000);
    assert.deepEqual(properties, {
      provisioningState: 'Succeeded',
      resourceState: 'Running',
      clientProtocol: 'Encrypted',
      clusteringPolicy: 'OSSCluster',
      evictionPolicy: 'VolatileLRU',
      persistence: { aofEnabled: false, rdbEnabled: false },
      modules: [],
      redisVersion: '9.1',
      deferUpgrade: 'NotDeferred',
      accessKeysAuthentication: keys,
    });
    const codes = cinnabar.warnings.map((each: { code: string }) => each.code);
    assert.deepEqual(codes, keys === 'Disabled' ? ['nobody-can-log-in'] : []);
    const old = await call('PUT', database(name), {}, 'api-version=2022-01-01');
    await rig.done(old);
    const kept = (await call('GET', database(name))).body.properties.accessKeysAuthentication;
    assert.equal(kept, keys, 'an old PUT does not touch the switch');
  }
});

test('right after the cluster it waits, as Pending, and then goes on', async () => {
  const name = fresh();
  let letGo = () => {};
  const gate = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  rig.cluster.prepare = () => gate;
  const first = await call('PUT', cluster(name), CLUSTER);
  const second = await call('PUT', database(name), {});
  assert.equal(second.status, 201, second.text);
  const { pathname, search } = new URL(second.headers['azure-asyncoperation'] ?? '');
  assert.equal((await rig.call('GET', `${pathname}${search}`)).body.status, 'Pending');
  refused(await call('PUT', database(name), {}), 409, 'Conflict');
  rig.cluster.prepare = async () => {};
  letGo();
  assert.equal((await rig.done(first)).status, 'Succeeded');
  assert.equal((await rig.done(second)).status, 'Succeeded');
});

test('refusals of a create, one by one', async () => {
  const name = await makeCluster();
  const put = (properties: object, path = database(name)) => call('PUT', path, { properties });
  refused(await put({}, database('absent')), 404, 'ParentResourceNotFound');
  refused(await put({}, `${cluster(name)}/databases/second`), 400, 'InvalidResourceName');
  refused(await put({ clusteringPolicy: 'Some' }), 400, 'InvalidRequestContent');
  refused(
    await put({ persistence: { aofEnabled: true, rdbEnabled: true } }),
    400,
    'InvalidParameter',
  );
  refused(await put({ persistence: { aofEnabled: true } }), 501, 'NotImplemented');
  refused(await put({ modules: [{ name: 'RedisJSON' }] }), 501, 'NotImplemented');
  refused(await put({ geoReplication: { groupNickname: 'g' } }), 501, 'NotImplemented');
  refused(await put({ port: 80 }), 400, 'InvalidParameter');
  refused(await put({ port: 70_000 }), 400, 'InvalidParameter');
  refused(await put({ port: 'x' }), 400, 'InvalidRequestContent');
  const flags = await call(
    'PUT',
    database(name),
    { properties: { notifyKeyspaceEvents: 'q' } },
    'api-version=2026-02-01-preview',
  );
  refused(flags, 400, 'InvalidParameter');
  const large = await makeCluster({ sku: { name: 'Balanced_B3' } });
  const routed = await put({ clusteringPolicy: 'EnterpriseCluster' }, database(large));
  assert.equal(routed.status, 201, routed.text);
  const huge = await makeCluster({ sku: { name: 'MemoryOptimized_M50' } });
  refused(
    await put({ clusteringPolicy: 'NoCluster' }, database(huge)),
    400,
    'SkuNotAllowedForPolicy',
  );
  assert.deepEqual((await call('GET', `${cluster(name)}/databases`)).body, { value: [] });
});

test('ports: the first free one, 409 with a free one, a stranger by name', async () => {
  const stranger = createServer();
  await new Promise<void>((resolve) => stranger.listen(0, '127.0.0.1', resolve));
  const address = stranger.address();
  const taken = typeof address === 'object' && address !== null ? address.port : 0;
  try {
    const one = await makeCache();
    const { port } = (await call('GET', database(one))).body.properties;
    const two = await makeCluster();
    const put = (wanted: number) => call('PUT', database(two), { properties: { port: wanted } });
    const clash = await put(port);
    refused(clash, 409, 'PortInUse');
    assert.match(clash.body.error.message, new RegExp(`cluster '${one}'.*Port \\d+ is free`));
    const foreign = await put(taken);
    refused(foreign, 409, 'PortInUse');
    assert.match(foreign.body.error.message, new RegExp(`process ${process.pid} `));
    const free = Number(/Port (\d+) is free/.exec(clash.body.error.message)?.[1]);
    const good = await put(free);
    assert.equal(good.status, 201, good.text);
    await rig.done(good);
    refused(await put(free + 1), 400, 'InvalidParameter');
    await rig.done(await call('DELETE', database(two)));
    assert.equal(rig.store.portOwner(free), null);
  } finally {
    stranger.close();
  }
});

test('clusteringPolicy: clusters become each other, NoCluster stays what it is', async () => {
  const name = await makeCache({ clusteringPolicy: 'EnterpriseCluster' });
  const to = (clusteringPolicy: string) =>
    call('PATCH', database(name), { properties: { clusteringPolicy } });
  await rig.done(await to('OSSCluster'));
  assert.equal((await call('GET', database(name))).body.properties.clusteringPolicy, 'OSSCluster');
  refused(await to('NoCluster'), 400, 'InvalidParameter');
  const open = await makeCache({
    clusteringPolicy: 'EnterpriseCluster',
    clientProtocol: 'Plaintext',
  });
  const protocols = { clusteringPolicy: 'OSSCluster', clientProtocol: 'Encrypted' };
  for (const properties of [{ clusteringPolicy: 'OSSCluster' }, protocols]) {
    await rig.done(await call('PATCH', database(open), { properties }));
  }
  const plain = await makeCache({ clusteringPolicy: 'NoCluster' });
  refused(
    await call('PATCH', database(plain), { properties: { clusteringPolicy: 'OSSCluster' } }),
    501,
    'NotImplemented',
  );
  const same = await call('PATCH', database(plain), {
    properties: { clusteringPolicy: 'nocluster', evictionPolicy: 'NoEviction' },
  });
  assert.equal(same.status, 202, same.text);
  await rig.done(same);
  assert.equal((await call('GET', database(plain))).body.properties.evictionPolicy, 'NoEviction');
});

test('the number of replicas is a setting, where high availability is on', async () => {
  const name = await makeCache();
  const sizing = async () => (await call('GET', database(name))).body.properties.cinnabar.sizing;
  assert.equal((await sizing()).replicas, 1);
  const to = (replicas: unknown) =>
    call('PATCH', database(name), { properties: { cinnabar: { replicas } } });
  await rig.done(await to(2));
  assert.equal((await sizing()).replicas, 2);
  for (const wrong of [0, 5, 1.5, 'two']) refused(await to(wrong), 400, 'InvalidRequestContent');
  const ha = (highAvailability: string) =>
    call('PATCH', cluster(name), { properties: { highAvailability } });
  await rig.done(await ha('Disabled'));
  assert.equal((await sizing()).replicas, 0);
  await rig.done(await ha('Enabled'));
  assert.equal((await sizing()).replicas, 2, 'the setting is remembered');
});

test('azureStrict is set by the extension and survives a PUT that does not know it', async () => {
  const name = await makeCache({ cinnabar: { azureStrict: true } });
  await rig.done(
    await call('PUT', database(name), { properties: { accessKeysAuthentication: 'Enabled' } }),
  );
  assert.equal((await call('GET', database(name))).body.properties.cinnabar.azureStrict, true);
});

test('reads from replicas and the idle time are set by the extension, within bounds', async () => {
  const name = await makeCache({
    clusteringPolicy: 'EnterpriseCluster',
    cinnabar: { readFrom: 'replica', idleTimeoutMinutes: 0 },
  });
  const settings = async () => (await call('GET', database(name))).body.properties.cinnabar;
  assert.equal((await settings()).readFrom, 'replica');
  assert.equal((await settings()).idleTimeoutMinutes, 0);
  await rig.done(
    await call('PATCH', database(name), { properties: { cinnabar: { idleTimeoutMinutes: 30 } } }),
  );
  assert.equal((await settings()).readFrom, 'replica');
  assert.equal((await settings()).idleTimeoutMinutes, 30);
  for (const cinnabar of [{ idleTimeoutMinutes: -1 }, { readFrom: 'anywhere' }]) {
    const refusal = await call('PATCH', database(name), { properties: { cinnabar } });
    assert.equal(refusal.status, 400);
  }
  const direct = await makeCache({ clusteringPolicy: 'OSSCluster' });
  const refusal = await call('PATCH', database(direct), {
    properties: { cinnabar: { readFrom: 'replica' } },
  });
  assert.equal(refusal.status, 400);
  assert.match(refusal.body.error.message, /READONLY/);
});

test('a failed create stays and can be repeated, with another policy too', async () => {
  const name = await makeCluster();
  rig.executor.fail = { code: 'EngineMissing', message: 'no engine' };
  const answer = await call('PUT', database(name), {});
  const failed = await rig.done(answer);
  assert.deepEqual(
    [failed.status, failed.error],
    ['Failed', { code: 'EngineMissing', message: 'no engine' }],
  );
  const { properties } = (await call('GET', database(name))).body;
  assert.deepEqual(
    [properties.provisioningState, properties.resourceState],
    ['Failed', 'CreateFailed'],
  );
  const again = await call('PUT', database(name), {
    properties: { clusteringPolicy: 'NoCluster' },
  });
  assert.equal(again.status, 200, again.text);
  assert.equal(again.body.properties.provisioningState, 'Creating');
  assert.equal((await rig.done(again)).status, 'Succeeded');
});
