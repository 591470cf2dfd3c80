/**
 * The version of a database by the API: up, back, finished, and closed by time, under a clock of the
 * test's own; and what is begun beside it unasked. What is seen of the engines is given; that real ones do so is in e2e.
 */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { ControlError } from '../errors.ts';
import type { InstanceStatus, ShardStatus } from '../service.ts';
import type { InstanceRecord } from '../store/index.ts';
import { openCalls, refused } from './testing-calls.ts';
import { roomOf } from './testing-rig.ts';

const { rig, call, cluster, database, makeCache } = await openCalls();
after(() => rig.close());

const OLD = 'valkey 8.1.1';
const NEW = 'valkey 9.1.2';
const HOUR_MS = 3_600_000;

function enginesAre(...engines: string[]): void {
  const instances = engines.map(
    (engine) => ({ instance: { engine, threads: 1 } }) as InstanceStatus,
  );
  rig.running.shards = () => [{ instances } as unknown as ShardStatus];
}

async function cache() {
  const name = await makeCache();
  const id = () => {
    const owner = rig.store.cluster('default', name)?.id ?? '';
    return rig.store.databases(owner)[0];
  };
  const ask = (body: object) => call('POST', `${database(name)}/upgrade`, body);
  /** Asked for; meanwhile the engines become these; then it ends. */
  const play = async (body: object, ...engines: string[]) => {
    rig.executor.held = true;
    const answer = await ask(body);
    assert.equal(answer.status, 202, answer.text);
    enginesAre(...engines);
    rig.executor.goOn();
    assert.equal((await rig.done(answer)).status, 'Succeeded');
  };
  const upgrade = async () => (await call('GET', `${database(name)}/maintenance`)).body.upgrade;
  return { name, record: id, ask, play, upgrade };
}

test('up, and closed by its time; asked for in the meantime it says until when', async () => {
  rig.time = 1_000_000_000;
  enginesAre(OLD);
  const { name, ask, play, upgrade, record } = await cache();
  assert.equal(await upgrade(), null);
  refused(await ask({ back: true }), 409, 'NoWayBack');
  refused(await ask({ finish: true }), 409, 'NoWayBack');
  enginesAre(NEW);
  refused(await ask({}), 409, 'EngineUpToDate');
  enginesAre(OLD);
  await play({ wayBackHours: 2 }, NEW, NEW);
  const until = rig.time + 2 * HOUR_MS;
  assert.deepEqual(await upgrade(), {
    phase: 'open',
    from: OLD,
    to: NEW,
    keepMs: 2 * HOUR_MS,
    until,
  });
  const shown = (await call('GET', database(name))).body.properties.cinnabar.upgrade;
  assert.equal(shown.phase, 'open');
  rig.running.engine = 'valkey 9.2.0';
  const said = await ask({});
  refused(said, 409, 'WayBackOpen');
  assert.match(said.text, new RegExp(new Date(until).toISOString()));
  // Nothing is due: another engine in use is not what it is to run.
  assert.equal((await call('GET', `${database(name)}/maintenance`)).body.plan, 'nothing-due');
  rig.running.engine = NEW;
  const larger = await call('PATCH', cluster(name), { sku: { name: 'Balanced_B5' } });
  refused(larger, 409, 'WayBackOpen');
  rig.time = until - 1;
  rig.maintenance.look();
  assert.equal((await upgrade()).phase, 'open');
  rig.time = until;
  const { generation = 0 } = record() ?? {};
  rig.store.write = () => {
    throw new ControlError('DiskFull', 507, 'The data folder has no space left.');
  };
  rig.maintenance.look();
  Reflect.deleteProperty(rig.store, 'write');
  assert.equal(
    (await upgrade()).phase,
    'open',
    'a disk without room: it is tried at the next look',
  );
  rig.maintenance.look();
  assert.equal(await upgrade(), null);
  assert.equal(record()?.generation, generation + 1, 'the engines get their rules again');
  const [event] = rig.store.events({ limit: 5 }).filter((e) => e.reason === 'way-back-closed');
  assert.match(
    event?.message ?? '',
    /^The way back to valkey 8\.1\.1 was closed \(its time is over\): what only valkey/,
  );
  refused(await ask({ back: true }), 409, 'NoWayBack');
});

test('back needs the older program; then it stays there until asked, and windows leave it', async () => {
  rig.time = null;
  enginesAre(OLD);
  const { name, ask, play, upgrade } = await cache();
  await play({}, NEW);
  refused(await ask({ back: true }), 409, 'EngineMissing');
  rig.running.startable = [OLD];
  await play({ back: true }, OLD);
  assert.equal((await upgrade()).phase, 'returned');
  assert.equal((await call('GET', `${database(name)}/maintenance`)).body.plan, 'nothing-due');
  refused(await ask({ finish: true }), 409, 'NoWayBack');
  refused(await ask({ back: true }), 409, 'NoWayBack');
  await play({ wayBackHours: 0 }, NEW);
  assert.equal(await upgrade(), null);
});

test('finished by the user: users are applied before it answers', async () => {
  enginesAre(OLD);
  const { ask, upgrade } = await cache();
  rig.executor.held = true;
  const up = await ask({ wayBackHours: 24 });
  refused(await ask({ finish: true }), 409, 'Conflict');
  refused(await ask({ back: true }), 409, 'Conflict');
  assert.equal((await ask({})).body.operation, up.body.operation);
  enginesAre(NEW);
  rig.executor.goOn();
  await rig.done(up);
  const before = rig.executor.applied.length;
  // An engine that does not answer gets it later: that is no refusal.
  rig.executor.apply = async () => {
    throw new Error('engines do not answer');
  };
  const answer = await ask({ finish: true });
  assert.deepEqual([answer.status, answer.body.upgrade], [200, null]);
  rig.executor.apply = async () => {};
  assert.equal(rig.executor.applied.length, before + 1);
  assert.equal(await upgrade(), null);
});

test('the process that executes no script is replaced alone: who asks for all of them is not told that this is it', async () => {
  enginesAre(NEW);
  const { name, record, ask } = await cache();
  const databaseId = record()?.id ?? '';
  rig.store.write(() =>
    rig.store.putInstance({ id: 'one', databaseId, shard: 0, phase: 'running' } as InstanceRecord),
  );
  rig.executor.held = true;
  const told = { database: databaseId, instance: 'one', detail: 'no script' };
  rig.maintenance.scriptsRefused(told);
  const open = () => rig.store.openOperations(databaseId).map(({ input }) => input['kind']);
  assert.deepEqual(open(), ['scripts']);
  rig.maintenance.scriptsRefused(told);
  assert.deepEqual(open(), ['scripts'], 'it is under way');
  refused(await call('POST', `${database(name)}/maintain`, {}), 409, 'Conflict');
  refused(await ask({}), 409, 'Conflict');
  rig.executor.goOn();
  const all = await call('POST', `${database(name)}/maintain`, {});
  assert.equal((await rig.done(all)).status, 'Succeeded');
});

test('what keeps such a process from being replaced is told once, and not what is only under way', async () => {
  enginesAre(NEW);
  const { name, record } = await cache();
  const databaseId = record()?.id ?? '';
  const single = { properties: { highAvailability: 'Disabled' } };
  await rig.done(await call('PATCH', cluster(name), single));
  rig.store.write(() =>
    rig.store.putInstance({ id: 'two', databaseId, shard: 0, phase: 'running' } as InstanceRecord),
  );
  const told = (): string[] => {
    rig.maintenance.scriptsRefused({ database: databaseId, instance: 'two', detail: 'no script' });
    const events = rig.store.events({ clusterId: record()?.clusterId ?? '', limit: 100 });
    const ours = events.filter(({ reason }) => reason === 'scripts-refused');
    return ours.map(({ message }) => message);
  };
  const { room } = rig;
  rig.room = roomOf(2 ** 29);
  const [why = '', ...before] = told();
  assert.match(why, /^Its process cannot be replaced yet: Balanced_B1 .*GB/);
  assert.deepEqual(before, [
    'No script. Its process is replaced as soon as nothing else is under way.',
  ]);
  assert.equal(told().length, 2);
  rig.room = room;
  rig.executor.held = true;
  const busy = await call('POST', `${database(name)}/maintain`, {});
  assert.equal(told().length, 2);
  rig.executor.goOn();
  await rig.done(busy);
  rig.executor.held = true;
  assert.equal(told().length, 2);
  assert.equal(rig.store.openOperations(databaseId)[0]?.input['kind'], 'scripts');
  rig.executor.goOn();
});

test('half-way: both ways are open, closing is not', async () => {
  enginesAre(OLD);
  const { ask, play, upgrade } = await cache();
  await play({}, OLD, NEW);
  assert.equal((await upgrade()).phase, 'upgrading');
  refused(await ask({ finish: true }), 409, 'UpgradeNotComplete');
  rig.running.startable = [OLD];
  await play({ back: true }, OLD, OLD);
  assert.equal((await upgrade()).phase, 'returned');
});

test('what cannot be meant is refused', async () => {
  enginesAre(OLD);
  const { ask } = await cache();
  for (const body of [
    { back: true, finish: true },
    { back: true, wayBackHours: 1 },
  ])
    refused(await ask(body), 400, 'OneThingAtATime');
  for (const wayBackHours of [-1, 721, 1e9])
    refused(await ask({ wayBackHours }), 400, 'InvalidWayBack');
  assert.equal((await ask({ wayBackHours: 'long' })).status, 400);
});
