/** Refusals, failures and changes of clusters. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { CLUSTER, openCalls, refused, V } from './testing-calls.ts';

const { rig, call, cluster, database, group, fresh, makeCluster, makeCache } = await openCalls();
after(() => rig.close());

test('a failed create stays, says why, and can be repeated or deleted', async () => {
  const name = fresh();
  let giveUp = (_: Error) => {};
  const gate = new Promise<void>((_, reject) => {
    giveUp = reject;
  });
  rig.cluster.prepare = () => gate;
  const answer = await call('PUT', cluster(name), CLUSTER);
  const queued = await call('PUT', database(name), {});
  assert.equal(queued.status, 201);
  giveUp(new Error('no room for a key'));
  const failed = await rig.done(answer);
  assert.equal(failed.status, 'Failed');
  assert.equal(failed.error.message, 'no room for a key');
  assert.equal((await rig.done(queued)).error.code, 'ClusterNotCreated');
  rig.cluster.prepare = async () => {};
  const shown = (await call('GET', cluster(name))).body.properties;
  assert.deepEqual([shown.provisioningState, shown.resourceState], ['Failed', 'CreateFailed']);
  refused(await call('PUT', database(name), {}), 409, 'Conflict');
  const again = await call('PUT', cluster(name), CLUSTER);
  assert.equal(again.status, 200);
  assert.equal((await rig.done(again)).status, 'Succeeded');
  const second = await call('PUT', database(name), {});
  assert.equal(second.status, 200, second.text);
  assert.equal((await rig.done(second)).status, 'Succeeded');
  assert.equal((await call('DELETE', cluster(name))).status, 202);
});

test('refusals of a create, one by one', async () => {
  const put = (body: object, name = fresh()) => call('PUT', cluster(name), { ...CLUSTER, ...body });
  refused(await put({ location: undefined }), 400, 'LocationRequired');
  refused(await put({ sku: undefined }), 400, 'InvalidRequestContent');
  refused(await put({ sku: { name: 'Balanced_B9' } }), 400, 'InvalidSku');
  refused(await put({ sku: { name: 'Balanced_B1', capacity: 2 } }), 400, 'InvalidSkuCapacity');
  refused(await put({ sku: { name: 'FlashOptimized_A250' } }), 501, 'FlashNotBuilt');
  refused(await put({ zones: ['1'] }), 400, 'InvalidParameter');
  // The name first, whatever else is wrong.
  refused(await put({ properties: {} }, 'double--hyphen'), 400, 'InvalidResourceName');
  refused(await put({}, 'x'.repeat(61)), 400, 'InvalidResourceName');
  refused(
    await put({ tags: Object.fromEntries(Array.from({ length: 51 }, (_, i) => [`t${i}`, ''])) }),
    400,
    'InvalidTags',
  );
  refused(await put({ tags: { ['n'.repeat(513)]: '' } }), 400, 'InvalidTags');
  refused(await put({ tags: { long: 'v'.repeat(257) } }), 400, 'InvalidTags');
  for (const name of ['a<b', 'a/b', 'a%b', 'a\\b', 'a\u0000', 'a\nb', 'a\u202eb']) {
    refused(await put({ tags: { [name]: '' } }), 400, 'InvalidTagNameCharacters');
  }
  refused(await put({ tags: { name: 'a\u202eb' } }), 400, 'InvalidTagNameCharacters');
  const props = (extra: object) =>
    put({ properties: { publicNetworkAccess: 'Enabled', ...extra } });
  refused(await props({ minimumTlsVersion: '1.0' }), 400, 'InvalidParameter');
  refused(
    await props({ encryption: { customerManagedKeyEncryption: { keyEncryptionKeyUrl: 'x' } } }),
    501,
    'NotImplemented',
  );
  refused(await props({ publicNetworkAccess: 'Maybe' }), 400, 'InvalidRequestContent');
  refused(await put({ sku: { name: 'MemoryOptimized_M2000' } }), 409, 'InsufficientCapacity');
});

test('refusals of a change', async () => {
  const name = await makeCache();
  const put = (body: object) => call('PUT', cluster(name), { ...CLUSTER, ...body });
  refused(await put({ location: 'eastus' }), 409, 'InvalidResourceLocation');
  refused(await put({ sku: { name: 'FlashOptimized_A250' } }), 501, 'FlashNotBuilt');
  assert.equal((await call('GET', cluster(name))).body.sku.name, 'Balanced_B1');
});

test('another SKU with as many shards changes the running database', async () => {
  const name = await makeCache();
  const { skus, cinnabar } = (await call('POST', `${cluster(name)}/listSkusForScaling`)).body;
  // Also those with more shards: slots travel. Never a flash SKU, nor the one it has.
  assert.deepEqual(skus[0], { name: 'Balanced_B0', sizeInGB: 0.5 });
  const names: string[] = skus.map((sku: { name: string }) => sku.name);
  assert.ok(names.includes('Balanced_B3'), names.join());
  assert.ok(!names.some((each) => each.startsWith('Flash') || each === 'Balanced_B1'));
  // Beside Azure's list: each of them with its figures, and the others with the reason.
  type Target = {
    name: string;
    sizing: { shards: number } | null;
    reason: { code: string } | null;
  };
  const targets = new Map(cinnabar.targets.map((each: Target) => [each.name, each]));
  const of = (sku: string) => targets.get(sku) as Target | undefined;
  assert.deepEqual([of('Balanced_B5')?.sizing?.shards, of('Balanced_B5')?.reason], [2, null]);
  assert.equal(of('FlashOptimized_A250')?.reason?.code, 'FlashNotBuilt');
  assert.equal(of('MemoryOptimized_M2000')?.reason?.code, 'InsufficientCapacity');
  assert.equal(targets.has('Balanced_B1'), false);
  const reasons = [...targets.values()].filter((each) => (each as Target).reason === null);
  assert.equal(reasons.length, skus.length);
  const answer = await call('PUT', cluster(name), { ...CLUSTER, sku: { name: 'Balanced_B0' } });
  assert.equal(answer.status, 200, answer.text);
  assert.equal((await call('GET', database(name))).status, 200);
  assert.equal((await rig.done(answer)).status, 'Succeeded');
  const { sizing } = (await call('GET', database(name))).body.properties.cinnabar;
  assert.equal(sizing.sku, 'Balanced_B0');
  const off = await call('PATCH', cluster(name), {
    properties: { highAvailability: 'Disabled' },
  });
  assert.equal((await rig.done(off)).status, 'Succeeded');
  assert.equal((await call('GET', database(name))).body.properties.cinnabar.sizing.replicas, 0);
  rig.executor.fail = { code: 'EngineRefused', message: 'the engine said no' };
  const bad = await call('PATCH', cluster(name), { sku: { name: 'Balanced_B1' } });
  const ended = await rig.done(bad);
  assert.deepEqual([ended.status, ended.error.code], ['Failed', 'EngineRefused']);
  assert.equal((await call('GET', cluster(name))).body.properties.resourceState, 'UpdateFailed');
  const retry = await call('PATCH', cluster(name), { sku: { name: 'Balanced_B1' } });
  assert.equal((await rig.done(retry)).status, 'Succeeded');
  assert.equal((await call('GET', database(name))).body.properties.provisioningState, 'Succeeded');
});

test('retired names: default capacity, zones, kind v1', async () => {
  const name = await makeCluster({ sku: { name: 'enterprise_e1' }, zones: ['1', '2'] });
  const shown = (await call('GET', cluster(name))).body;
  assert.deepEqual(shown.sku, { name: 'Enterprise_E1', capacity: 2 });
  assert.equal(shown.kind, 'v1');
  assert.equal(shown.properties.redundancyMode, 'ZR');
  refused(
    await call('PUT', cluster(name), {
      ...CLUSTER,
      sku: { name: 'Enterprise_E1' },
      zones: ['3'],
    }),
    400,
    'InvalidParameter',
  );
});

test('a name is taken in a location, not elsewhere', async () => {
  const name = await makeCluster();
  await call('PUT', group('other'), { location: 'local' }, 'api-version=2021-04-01');
  const path = `${group('other')}/providers/Microsoft.Cache/redisEnterprise/${name}`;
  refused(await call('PUT', path, CLUSTER), 409, 'NameNotAvailable');
  const elsewhere = await call('PUT', path, { ...CLUSTER, location: 'eastus' });
  assert.equal(elsewhere.status, 201);
  await rig.done(elsewhere);
});

test('lists come in pages that can be followed', async () => {
  const before = (await call('GET', `${group()}/providers/Microsoft.Cache/redisEnterprise`)).body
    .value.length;
  let path = `${group()}/providers/Microsoft.Cache/redisEnterprise?${V}&$top=3`;
  const names: string[] = [];
  for (let pages = 1; ; pages++) {
    const answer = await rig.call('GET', path);
    assert.equal(answer.status, 200, answer.text);
    assert.ok(answer.body.value.length <= 3);
    names.push(...answer.body.value.map((each: { name: string }) => each.name));
    if (answer.body.nextLink === undefined) break;
    assert.ok(pages < 100);
    const next = new URL(answer.body.nextLink);
    assert.equal(next.origin, rig.api.http);
    path = `${next.pathname}${next.search}`;
  }
  assert.equal(new Set(names).size, before);
  assert.equal(names.length, before);
  refused(
    await rig.call('GET', `${group()}/providers/Microsoft.Cache/redisEnterprise?${V}&$top=none`),
    400,
    'InvalidParameter',
  );
  await call('PUT', group('bare'), { location: 'local' }, 'api-version=2021-04-01');
  const empty = await call('GET', `${group('bare')}/providers/Microsoft.Cache/redisEnterprise`);
  assert.deepEqual(empty.body, { value: [] });
});
