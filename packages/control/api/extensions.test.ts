/** What Azure has no word for, and what is not built. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { CLUSTER, openCalls, refused, until } from './testing-calls.ts';

const { rig, call, cluster, database, makeCache } = await openCalls();
after(() => rig.close());

test('status, SKUs, operations, events, connection, shards, without an api-version', async () => {
  const name = await makeCache();
  const get = async (path: string) => {
    const answer = await rig.call('GET', path);
    assert.equal(answer.status, 200, answer.text);
    return answer.body;
  };
  assert.equal((await get('/cinnabar/status')).pid, process.pid);
  const skus = (await get('/cinnabar/skus?policy=enterprisecluster')).value;
  assert.equal(skus.length, 55);
  const by = (sku: string) => skus.find((each: { name: string }) => each.name === sku);
  assert.equal(by('Balanced_B1').fits, true);
  assert.equal(by('Balanced_B3').fits, true);
  assert.equal(by('FlashOptimized_A250').reason.code, 'FlashNotBuilt');
  const operations = (await get(`/cinnabar/operations?cluster=${name}&top=2`)).value;
  assert.deepEqual(
    operations.map((each: { kind: string }) => each.kind),
    ['CreateDatabase', 'CreateCluster'],
  );
  const one = await get(`/cinnabar/operations/${operations[0].id}`);
  assert.equal(one.steps[0].state, 'done');
  assert.equal(one.percentComplete, 100);
  const events = (await get(`/cinnabar/events?cluster=${encodeURIComponent(cluster(name))}`)).value;
  const reasons = events.map((each: { reason: string }) => each.reason);
  assert.ok(reasons.includes('cluster-created') && reasons.includes('database-creating'));
  assert.deepEqual((await get(`/cinnabar/events?since=${events[0].id}&cluster=${name}`)).value, []);
  const connection = await get(`${database(name)}/connection`);
  assert.equal(connection.tls, true);
  assert.ok(!JSON.stringify(connection).includes('Key":'));
  assert.deepEqual(await get(`${database(name)}/shards`), { value: [] });
  for (const bad of [
    'operations?top=0',
    'events?since=x',
    'skus?policy=x',
    'operations?before=1&top=x',
  ]) {
    assert.equal((await rig.call('GET', `/cinnabar/${bad}`)).status, 400, bad);
  }
  refused(await rig.call('GET', '/cinnabar/operations?cluster=nobody'), 404, 'ResourceNotFound');
});

test('events of a cluster that is gone have its name still', async () => {
  const name = await makeCache();
  assert.equal((await call('DELETE', cluster(name))).status, 202);
  await until(async () => (await call('GET', cluster(name))).status === 404);
  const { value } = (await rig.call('GET', '/cinnabar/events')).body;
  const of = (reason: string) => value.find((each: { reason: string }) => each.reason === reason);
  assert.equal(of('cluster-deleted').cluster, name);
  assert.equal(of('database-creating').cluster, name);
  const get = async (path: string) => (await rig.call('GET', path)).body.value;
  for (const asked of [name.toUpperCase(), encodeURIComponent(cluster(name))]) {
    const its = await get(`/cinnabar/events?cluster=${asked}`);
    assert.ok(its.some(({ reason }: { reason: string }) => reason === 'cluster-deleted'));
    assert.ok(its.every((each: { cluster: string }) => each.cluster === name));
  }
  const operations = await get(`/cinnabar/operations?cluster=${name}`);
  assert.equal(operations[0].kind, 'DeleteCluster');
  assert.ok(operations.every((each: { cluster: string }) => each.cluster === name));
  // Who has the name now is meant, not who had it.
  assert.equal((await call('PUT', cluster(name), CLUSTER)).status, 201);
  const now = await get(`/cinnabar/events?cluster=${name}`);
  assert.ok(!now.some(({ reason }: { reason: string }) => reason === 'cluster-deleted'));
});

test('a failpoint is armed for a time and disarmed; unknown ones are refused by name', async () => {
  const path = '/cinnabar/failpoint';
  const body = { point: 'give-up:before', effect: 'hang', forMs: 60_000 };
  const armed = { point: body.point, effect: body.effect };
  assert.deepEqual((await rig.call('PUT', path, { body })).body, { armed, reached: null });
  assert.deepEqual((await rig.call('GET', path)).body.armed, armed);
  assert.deepEqual((await rig.call('DELETE', path)).body.armed, null);
  for (const wrong of [{ point: 'give-up' }, { effect: 'explode' }, { forMs: 0 }, { forMs: 1e9 }]) {
    const answer = await rig.call('PUT', path, { body: { ...body, ...wrong } });
    assert.equal(answer.status, 400, answer.text);
  }
  const brief = { ...body, forMs: 1 };
  await rig.call('PUT', path, { body: brief });
  await until(async () => (await rig.call('GET', path)).body.armed === null);
});

test('the endpoint’s workers are replaced when asked', async () => {
  const answer = await rig.call('POST', '/cinnabar/endpoint/reload', { body: {} });
  assert.equal(answer.status, 200);
  assert.equal(rig.reloads, 1);
  assert.ok('workers' in answer.body);
});

test('stop is answered, then done', async () => {
  const answer = await rig.call('POST', '/cinnabar/stop', { body: { save: false } });
  assert.equal(answer.status, 202);
  assert.equal(answer.body.withinSeconds, 300);
  await until(async () => rig.stops.length === 1);
  assert.deepEqual(rig.stops[0], { save: false });
});
