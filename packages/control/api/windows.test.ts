/**
 * Maintenance by the calendar: the real desk, rules, store and API under a clock of the test's own. What
 * is seen of the engines is given; that maintenance does to real ones what it should is in e2e.
 */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { InstanceStatus, ShardStatus } from '../service.ts';
import { openCalls, refused, V } from './testing-calls.ts';

const { rig, call, cluster, database, makeCache } = await openCalls();
after(() => rig.close());

const at = (text: string) => Date.parse(`${text}:00Z`);
const GB = 1024 ** 3;
/** Windows came with it. */
const PREVIEW = 'api-version=2025-08-01-preview';
const window = (dayOfWeek: string) => ({
  type: 'Weekly',
  startHourUtc: 1,
  duration: 'PT9H',
  schedule: { dayOfWeek },
});
const WEEKEND = [window('Saturday'), window('Sunday')];

/** What its one engine is: its version, its threads, what it uses and what it takes. */
function engineIs(engine: string, threads = 1, usedMemoryBytes = GB, residentBytes = GB): void {
  const status = { instance: { engine, threads }, usedMemoryBytes, residentBytes };
  const shard = { instances: [status as InstanceStatus] } as unknown as ShardStatus;
  rig.running.shards = () => [shard];
}

async function cacheWith(maintenanceWindows: object[] | null, properties: object = {}) {
  const name = await makeCache(properties);
  if (maintenanceWindows !== null) {
    const body = { properties: { maintenanceConfiguration: { maintenanceWindows } } };
    await rig.done(await call('PATCH', cluster(name), body, PREVIEW));
  }
  const owner = rig.store.cluster('default', name)?.id ?? '';
  const id = rig.store.databases(owner)[0]?.id ?? '';
  const view = async () => (await call('GET', `${database(name)}/maintenance`)).body;
  const begun = () =>
    rig.store.operations({ limit: 100 }).filter((o) => o.kind === 'Maintain' && o.databaseId === id)
      .length;
  /** The desk looks, as it does twice a minute, and what it began ends. */
  const look = async (when: string): Promise<number> => {
    rig.time = at(when);
    const before = begun();
    rig.maintenance.look();
    const ended = async () => rig.store.openOperations(id).length === 0;
    while (!(await ended())) await new Promise((resolve) => setImmediate(resolve));
    return begun() - before;
  };
  return { name, id, view, look };
}

test('a window that opens does what is due, once, and by nobody’s word', async () => {
  engineIs('valkey 8.0.1');
  const cache = await cacheWith(WEEKEND);
  // 2026-11-27 is a Friday.
  assert.equal(await cache.look('2026-11-27T12:00'), 0);
  const before = await cache.view();
  assert.deepEqual([before.plan, before.windows], ['in-window', 2]);
  assert.equal(before.next.startsAt, at('2026-11-28T01:00'));
  assert.deepEqual(
    before.due.map((due: { code: string }) => due.code),
    ['engine'],
  );
  assert.equal(await cache.look('2026-11-28T00:59'), 0);
  assert.equal(await cache.look('2026-11-28T01:00'), 1);
  const event = rig.store.events({ limit: 50 }).find((e) => e.reason === 'maintenance-began');
  assert.match(
    event?.message ?? '',
    /^The processes of 'c1' are replaced, one at a time\. Asked for by its maintenance window\. Due: engine\.$/,
  );
  // It did not help: not again before the next window.
  assert.equal(await cache.look('2026-11-28T01:01'), 0);
  assert.equal((await cache.view()).next.startsAt, at('2026-11-29T01:00'));
  assert.equal(await cache.look('2026-11-29T03:00'), 1);
  engineIs('valkey 9.1.2');
  assert.equal(await cache.look('2026-12-05T03:00'), 0);
  assert.equal((await cache.view()).plan, 'nothing-due');
});

test('with no window nothing is done unasked, whatever is due', async () => {
  engineIs('valkey 8.0.1', 4, GB, 2 * GB);
  const cache = await cacheWith(null);
  assert.equal(await cache.look('2026-11-28T01:00'), 0);
  assert.equal(await cache.look('2026-11-29T05:00'), 0);
  const { plan, due, next } = await cache.view();
  assert.deepEqual([plan, next], ['no-window', null]);
  assert.deepEqual(
    due.map((each: { code: string }) => each.code),
    ['engine', 'settings', 'fragmentation'],
  );
});

test('settings that only a start takes, and memory in pieces, are due; small processes are not', async () => {
  const cache = await cacheWith(WEEKEND);
  const due = async () => (await cache.view()).due.map((each: { code: string }) => each.code);
  engineIs('valkey 9.1.2', 1, GB, 1.4 * GB);
  assert.deepEqual(await due(), []);
  engineIs('valkey 9.1.2', 3);
  assert.deepEqual(await due(), ['settings']);
  assert.equal(await cache.look('2026-12-12T02:00'), 1);
  engineIs('valkey 9.1.2', 1, GB, 1.6 * GB);
  assert.deepEqual(await due(), ['fragmentation']);
  assert.equal(await cache.look('2026-12-13T02:00'), 1);
  engineIs('valkey 9.1.2', 1, 1024, 0.2 * GB);
  assert.deepEqual(await due(), []);
});

test('skip leaves the next window out, and only that one', async () => {
  engineIs('valkey 8.0.1');
  const cache = await cacheWith(WEEKEND);
  rig.time = at('2026-12-18T12:00');
  // As it is sent: by that name a test would be left out, thinks the test that looks for such.
  const raw = '{"skip":true}';
  const leaveOut = () => rig.call('POST', `${database(cache.name)}/maintain?${V}`, { raw });
  const skipped = await leaveOut();
  assert.equal(skipped.status, 200, skipped.text);
  assert.equal(skipped.body.plan, 'skipped');
  assert.equal(skipped.body.skippedUntil, at('2026-12-19T10:00'));
  assert.equal(await cache.look('2026-12-19T02:00'), 0);
  assert.equal((await cache.view()).plan, 'skipped');
  assert.equal(await cache.look('2026-12-20T02:00'), 1);
  engineIs('valkey 9.1.2');
  refused(await leaveOut(), 409, 'NothingToSkip');
});

test('deferUpgrade keeps the newer engine away until it is asked for: 202, as Azure answers', async () => {
  engineIs('valkey 8.0.1', 3);
  const cache = await cacheWith(WEEKEND, { deferUpgrade: 'Deferred' });
  // Also what is due for another reason waits: a new process would be the newer engine.
  assert.equal(await cache.look('2027-01-02T02:00'), 0);
  assert.equal((await cache.view()).plan, 'deferred');
  engineIs('valkey 9.1.2', 3);
  assert.equal(await cache.look('2027-01-02T03:00'), 1);
  engineIs('valkey 8.0.1');
  const path = `${database(cache.name)}/upgradeDBRedisVersion`;
  const answer = await call('POST', path);
  assert.deepEqual([answer.status, answer.text], [202, '']);
  assert.match(answer.headers['location'] ?? '', /operationsStatus|operationResults|operations/i);
  assert.equal((await rig.done(answer)).status, 'Succeeded');
  engineIs('valkey 9.1.2');
  refused(await call('POST', path), 409, 'EngineUpToDate');
});

test('the calendar names every cache with what comes', async () => {
  engineIs('valkey 8.0.1');
  const windows = await cacheWith(WEEKEND);
  const none = await cacheWith(null);
  rig.time = at('2027-02-05T12:00');
  const { value } = (await call('GET', '/cinnabar/maintenance')).body;
  const plans = new Map(value.map((each: { cluster: string }) => [each.cluster, each]));
  assert.equal((plans.get(windows.name) as { plan: string }).plan, 'in-window');
  assert.equal((plans.get(none.name) as { plan: string }).plan, 'no-window');
  assert.equal(value.length, rig.store.databases().length);
  const names = value.map((each: { cluster: string }) => each.cluster);
  assert.deepEqual(names, names.toSorted());
  rig.time = null;
  const bad = { maintenanceConfiguration: { maintenanceWindows: [window('Sunday')] } };
  const answer = await call('PATCH', cluster(none.name), { properties: bad }, PREVIEW);
  refused(answer, 400, 'InvalidParameter');
});
