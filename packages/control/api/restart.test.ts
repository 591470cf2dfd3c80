/** Operations survive the process that accepted them: a client in mid-poll goes on. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ControlError } from '../errors.ts';
import { CLUSTER, until, V } from './testing-calls.ts';
import { type Answer, type Rig, startRig } from './testing-rig.ts';

const folders: string[] = [];
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true });
});

function newHome(): string {
  const home = mkdtempSync(join(tmpdir(), 'cinnabar-restart-'));
  folders.push(home);
  return home;
}

const cluster = (rig: Rig, name: string) =>
  `/subscriptions/${rig.sub}/resourceGroups/default/providers/Microsoft.Cache/redisEnterprise/${name}`;
const pathOf = (answer: Answer, header = 'azure-asyncoperation') => {
  const { pathname, search } = new URL(answer.headers[header] ?? '');
  return `${pathname}${search}`;
};

test('a create that was interrupted goes on, and so does what waited for it', async () => {
  const home = newHome();
  const first = await startRig({ home, firstPort: 14_000 });
  first.cluster.prepare = () => new Promise(() => {});
  const made = await first.call('PUT', `${cluster(first, 'c')}?${V}`, { body: CLUSTER });
  const inside = await first.call('PUT', `${cluster(first, 'c')}/databases/default?${V}`, {
    body: {},
  });
  await until(async () => (await first.call('GET', pathOf(made))).body.status === 'InProgress');
  await first.abandon();

  const second = await startRig({ home, firstPort: 14_000, subscriptionId: first.sub });
  for (const answer of [made, inside]) {
    await until(async () => (await second.call('GET', pathOf(answer))).body.status === 'Succeeded');
  }
  const shown = await second.call('GET', `${cluster(second, 'c')}/databases/default?${V}`);
  assert.equal(shown.body.properties.provisioningState, 'Succeeded');
  await second.close();
});

test('a key that was stored but not applied is applied by the next process', async () => {
  const home = newHome();
  const first = await startRig({ home, firstPort: 14_100 });
  const base = cluster(first, 'c');
  await first.done(await first.call('PUT', `${base}?${V}`, { body: CLUSTER }));
  await first.done(await first.call('PUT', `${base}/databases/default?${V}`, { body: {} }));
  first.executor.apply = () => new Promise(() => {});
  const asked = first.call('POST', `${base}/databases/default/regenerateKey?${V}`, {
    body: { keyType: 'Primary', disconnect: true },
  });
  asked.catch(() => {}); // its process dies before it is answered
  await until(async () => first.executor.applied.length === 1);
  await first.abandon();

  const second = await startRig({ home, firstPort: 14_100, subscriptionId: first.sub });
  await until(async () => second.store.openOperations().length === 0);
  assert.deepEqual(second.executor.applied, first.executor.applied);
  const [latest] = second.store.operations({ limit: 1 });
  assert.deepEqual([latest?.kind, latest?.status], ['RegenerateKey', 'Succeeded']);
  await second.close();
});

test('a key that not every process took: the caller is told, and the new key is shown', async () => {
  const rig = await startRig({ firstPort: 14_200 });
  const base = cluster(rig, 'c');
  const body = { properties: { accessKeysAuthentication: 'Enabled' } };
  await rig.done(await rig.call('PUT', `${base}?${V}`, { body: CLUSTER }));
  await rig.done(await rig.call('PUT', `${base}/databases/default?${V}`, { body }));
  const list = async () => (await rig.call('POST', `${base}/databases/default/listKeys?${V}`)).body;
  const before = await list();
  rig.executor.apply = async () => {
    throw new Error('engine 1 is mute.');
  };
  const path = `${base}/databases/default/regenerateKey?${V}`;
  const answer = await rig.call('POST', path, { body: { keyType: 'Secondary' } });
  assert.deepEqual([answer.status, answer.body.error.code], [409, 'KeyNotApplied']);
  assert.match(answer.body.error.message, /engine 1 is mute/);
  assert.notEqual((await list()).secondaryKey, before.secondaryKey);
  rig.executor.apply = async () => {};
  assert.equal((await rig.call('POST', path, { body: { keyType: 'Secondary' } })).status, 200);
  await rig.close();
});

test('a group whose cluster cannot be deleted comes back, and the delete can be repeated', async () => {
  const rig = await startRig({ firstPort: 14_300 });
  await rig.done(await rig.call('PUT', `${cluster(rig, 'c')}?${V}`, { body: CLUSTER }));
  rig.cluster.release = async () => {
    throw new Error('the folder is read-only');
  };
  const group = `/subscriptions/${rig.sub}/resourceGroups/default?api-version=2021-04-01`;
  const answer = await rig.call('DELETE', group);
  assert.equal(answer.status, 202);
  let last: Answer | undefined;
  await until(async () => {
    last = await rig.call('GET', pathOf(answer, 'location'));
    return last.status !== 202;
  });
  assert.deepEqual([last?.status, last?.body.error.code], [409, 'ResourceGroupDeletionBlocked']);
  assert.match(last?.body.error.message, /read-only/);
  const shown = (await rig.call('GET', `${cluster(rig, 'c')}?${V}`)).body.properties;
  assert.deepEqual([shown.provisioningState, shown.resourceState], ['Failed', 'DeleteFailed']);
  assert.equal((await rig.call('GET', group)).body.properties.provisioningState, 'Succeeded');
  rig.cluster.release = async () => {};
  const again = await rig.call('DELETE', group);
  await until(async () => (await rig.call('GET', pathOf(again, 'location'))).status === 200);
  assert.equal((await rig.call('GET', group)).status, 404);
  await rig.close();
});

test('a group whose cluster is busy waits for it', async () => {
  const rig = await startRig({ firstPort: 14_400 });
  const base = cluster(rig, 'c');
  await rig.done(await rig.call('PUT', `${base}?${V}`, { body: CLUSTER }));
  rig.executor.held = true;
  const busy = await rig.call('PUT', `${base}/databases/default?${V}`, { body: {} });
  assert.equal((await rig.call('DELETE', `${base}?${V}`)).body.error.code, 'Conflict');
  const group = `/subscriptions/${rig.sub}/resourceGroups/default?api-version=2021-04-01`;
  const answer = await rig.call('DELETE', group);
  rig.executor.goOn();
  await until(async () => (await rig.call('GET', pathOf(answer, 'location'))).status === 200);
  assert.equal((await rig.call('GET', pathOf(busy))).body.status, 'Succeeded');
  assert.deepEqual(rig.store.databases(), []);
  await rig.close();
});

test('a disk that is full for a while delays the end of an operation, nothing else', async () => {
  const rig = await startRig({ firstPort: 14_500 });
  let letGo = () => {};
  const gate = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  rig.cluster.prepare = () => gate;
  const made = await rig.call('PUT', `${cluster(rig, 'c')}?${V}`, { body: CLUSTER });
  await until(async () => (await rig.call('GET', pathOf(made))).body.status === 'InProgress');
  const full = new ControlError('DiskFull', 507, 'The data folder has no space left.');
  const write = rig.store.write;
  const decide = rig.store.decide;
  rig.store.write = rig.store.decide = () => {
    throw full;
  };
  letGo();
  await until(async () => rig.log.some((line) => line.data['operation'] !== undefined));
  const refused = await rig.call('PUT', `${cluster(rig, 'd')}?${V}`, { body: CLUSTER });
  assert.deepEqual([refused.status, refused.body.error.code], [507, 'DiskFull']);
  assert.equal((await rig.call('GET', pathOf(made))).body.status, 'InProgress');
  rig.store.write = write;
  rig.store.decide = decide;
  assert.equal((await rig.done(made)).status, 'Succeeded');
  assert.equal((await rig.call('GET', `${cluster(rig, 'd')}?${V}`)).status, 404);
  await rig.close();
});
