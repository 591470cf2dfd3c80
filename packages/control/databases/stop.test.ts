/** Orderly stops that come just when something broke: what a whole copy holds is kept. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { FILES } from '../../engine/index.ts';
import { eventually } from '../../engine/testing.ts';
import type { DatabaseSettings, InstanceRecord } from '../store/index.ts';
import { arm, disarm } from './failpoints.ts';
import { ORDERLY, type World, world } from './testing.ts';

const HEAL_MS = 30_000;
const COMMAND_MS = 5_000;

interface Cache {
  readonly w: World;
  readonly id: string;
  readonly primary: InstanceRecord;
  readonly replica: InstanceRecord;
}

/** One shard with a key that its primary and its replica have. */
async function cache(
  t: TestContext,
  policy: DatabaseSettings['policy'] = 'EnterpriseCluster',
): Promise<Cache> {
  const w = await world(t);
  const id = await w.create({ policy });
  const primary = w.primary(id);
  const replica = w.store.instances(id).find((each) => each.id !== primary.id);
  assert.ok(replica !== undefined);
  const link = await w.link(primary);
  assert.equal(String(await link.command(['SET', 'k', 'kept'], COMMAND_MS)), 'OK');
  assert.equal(Number(await link.command(['WAIT', '1', '2000'], COMMAND_MS)), 1);
  link.close();
  return { w, id, primary, replica };
}

async function keptOverTheNextStart({ w, id }: Cache): Promise<void> {
  assert.deepEqual(await w.node.find(), [], 'nothing is left running');
  await w.restart();
  await w.settled(id);
  await reads(w, id);
}

async function reads(w: World, id: string, value = 'kept'): Promise<void> {
  const link = await w.link(w.primary(id));
  assert.equal(String(await link.command(['GET', 'k'], COMMAND_MS)), value);
  link.close();
}

function signal(instance: InstanceRecord, name: NodeJS.Signals): void {
  process.kill(instance.process?.pid ?? 0, name);
}

for (const [policy, name, sent] of [
  ['EnterpriseCluster', 'died', 'SIGKILL'],
  ['NoCluster', 'hangs', 'SIGSTOP'],
] as const) {
  test(`${policy}: the primary ${name} at the moment of the stop`, async (t) => {
    const made = await cache(t, policy);
    signal(made.primary, sent);
    const report = await made.w.databases.stop(ORDERLY);
    assert.deepEqual(report, { saved: 1, notes: [], held: [] });
    assert.equal(made.w.shard(made.id).saved?.instance, made.replica.id);
    await keptOverTheNextStart(made);
  });
}

test('the primary cannot write its file: the replica does, and it is said', async (t) => {
  const made = await cache(t);
  rmSync(made.primary.dataDir, { recursive: true });
  const report = await made.w.databases.stop(ORDERLY);
  assert.equal(report.saved, 1);
  assert.match(report.notes.join(), /saved by its replica/);
  await keptOverTheNextStart(made);
});

/** Of these no engine can write its file, as on a full disk, until it is undone. */
function blocked(instances: readonly InstanceRecord[]): () => void {
  const places = instances.map(({ dataDir }) => join(dataDir, FILES.data));
  for (const place of places) {
    mkdirSync(place);
    writeFileSync(join(place, 'in-the-way'), '');
  }
  return () => {
    for (const place of places) rmSync(place, { recursive: true });
  };
}

test('nobody can write the file of one shard: its engines are not ended, nor any when it may be refused', async (t) => {
  const w = await world(t);
  const id = await w.create({ policy: 'OSSCluster' }, { shards: 2 });
  const keys = ['k', 'foo']; // of shard 0 and 1
  const each = async (...command: string[]): Promise<string[]> => {
    const links = await Promise.all(keys.map((_, shard) => w.link(w.primary(id, shard))));
    const [name = '', ...rest] = command;
    const replies = await Promise.all(
      links.map((link, i) => link.command([name, keys[i] ?? '', ...rest], COMMAND_MS)),
    );
    for (const link of links) link.close();
    return replies.map(String);
  };
  assert.deepEqual(await each('SET', 'kept'), ['OK', 'OK']);
  const running = async () => (await w.node.find()).length;
  const unblock = blocked(w.store.instances(id).filter(({ shard }) => shard === 0));
  w.freeDisk = 1_000;

  const refused = await w.databases.stop({ save: true, mayRefuse: true });
  assert.equal(refused.saved, 0);
  assert.match(
    refused.held.join(),
    /was not stopped: shard 0 could not be saved: its file may take .* has 1 kB free/,
  );
  assert.equal(await running(), 4, 'all go on');
  const other = w.primary(id, 1).dataDir;
  assert.ok(!existsSync(join(other, FILES.data)), 'what was written takes no room');
  const reasons = w.store.events({ limit: 100 }).map((event) => event.reason);
  assert.ok(reasons.includes('stop-not-saved'), reasons.join());
  assert.deepEqual(await each('APPEND', '!'), ['5', '5'], 'writes do not wait any more');

  await w.restart();
  await w.settled(id);
  const left = await w.databases.stop(ORDERLY);
  assert.deepEqual([left.saved, left.held.length], [1, 1]);
  assert.equal(await running(), 2, 'those of shard 0 go on');

  await w.restart();
  await w.settled(id);
  assert.deepEqual(await each('GET'), ['kept!', 'kept!']);
  unblock();
  assert.equal((await w.databases.stop(ORDERLY)).saved, 2);
  const lost = w.store.events({ limit: 500 }).some((event) => event.reason === 'data-lost');
  assert.equal(lost, false);
});

test('a stop that cannot be recorded, and may not be refused, leaves the engines and the files', async (t) => {
  const { w, id, primary } = await cache(t);
  t.after(disarm);
  arm({ point: 'record-stop:before', effect: 'fail' }, HEAL_MS);
  const report = await w.databases.stop(ORDERLY);
  assert.deepEqual([report.saved, report.held.length], [1, 1]);
  assert.equal((await w.node.find()).length, 2, 'nobody was ended');
  assert.ok(
    existsSync(join(primary.dataDir, FILES.data)),
    'should somebody kill them, it is there',
  );
  await w.restart();
  await w.settled(id);
  await reads(w, id);
});

test('a stop without saving, before the file of the last one was read, keeps that file', async (t) => {
  const made = await cache(t);
  const { w, id, primary } = made;
  await w.databases.stop(ORDERLY);
  // A folder where its settings belong.
  const config = join(primary.dataDir, FILES.config);
  rmSync(config, { force: true });
  mkdirSync(config);
  await w.restart();
  await eventually(
    'it cannot start',
    () => w.logged().some((line) => /a step failed.*"start"/.test(line)),
    HEAL_MS,
  );
  await w.databases.stop({ save: false, mayRefuse: false });
  assert.equal(w.shard(id).saved?.instance, primary.id);
  rmSync(config, { recursive: true });
  await keptOverTheNextStart(made);
});

test('an older copy that waits for the word of the user is not ended with the stop', async (t) => {
  const made = await cache(t);
  const { w, id, replica } = made;
  signal(replica, 'SIGSTOP');
  w.store.write(() =>
    w.store.putShard({
      ...w.shard(id),
      phase: 'down',
      reason: { code: 'only-older-copy', message: '' },
    }),
  );
  signal(made.primary, 'SIGKILL');
  signal(replica, 'SIGCONT');
  await eventually(
    'its death is recorded',
    () => w.store.instance(made.primary.id)?.phase === 'dead',
    HEAL_MS,
  );
  const report = await w.databases.stop(ORDERLY);
  assert.match(report.notes.join(), /older copy/);
  await w.restart();
  await w.databases.serving(HEAL_MS, () => undefined);
  assert.ok(w.databases.waits(id).includes('only-older-copy'), 'it waits on');
  assert.deepEqual(await w.node.find(), [], 'and nothing of it runs');
  const again = await w.databases.stop(ORDERLY);
  assert.equal(again.saved, 1, 'a second stop keeps the file');
  await w.restart();
  w.store.write(() => w.store.putShard({ ...w.shard(id), lossAccepted: { at: 1, by: 'alice' } }));
  w.databases.wake(id);
  await w.settled(id);
  await reads(w, id);
  const events = w.store.events({ limit: 100 }).map((event) => event.reason);
  assert.ok(events.includes('older-copy-promoted'), events.join());
});

test('an older store was put back: the file of a later stop waits for the word of the user', async (t) => {
  const { w, id } = await cache(t);
  await w.databases.stop(ORDERLY);
  const older = w.shard(id);
  await w.restart();
  await w.settled(id);
  const link = await w.link(w.primary(id));
  assert.equal(String(await link.command(['SET', 'k', 'later'], COMMAND_MS)), 'OK');
  link.close();
  await w.databases.stop(ORDERLY);
  w.store.write(() => w.store.putShard(older));
  await w.restart();
  await eventually('it waits', () => w.databases.waits(id).includes('only-older-copy'), HEAL_MS);
  assert.match(w.shard(id).reason.message, /does not know.*dump\.rdb.*--accept-data-loss/);
  w.acceptLoss(id);
  w.databases.wake(id);
  await w.settled(id);
  await reads(w, id, 'later');
  const events = w.store.events({ limit: 100 }).map((event) => event.reason);
  assert.ok(!events.includes('data-lost'), events.join());
});

test('a stop that was killed half-way: its pause of writes is ended by who comes next, its file dropped', async (t) => {
  const { w, id, primary } = await cache(t);
  await w.databases.detach();
  const link = await w.link(primary);
  await link.pauseWrites(120_000, COMMAND_MS);
  await link.save(COMMAND_MS);
  const file = join(primary.dataDir, FILES.data);
  assert.ok(existsSync(file));
  await w.restart();
  assert.ok(!existsSync(file), 'the engine that wrote it has what is in it, and more soon');
  await w.settled(id);
  const next = await w.link(primary);
  assert.equal(String(await next.command(['SET', 'after', '1'], COMMAND_MS)), 'OK');
  link.close();
  next.close();
});

test('a stop that comes into a planned switch lets it end, and saves', async (t) => {
  const made = await cache(t);
  const { w, id } = made;
  const handover = { to: null, operation: null, at: performance.now(), tries: 0, notBefore: 0 };
  w.store.write(() =>
    w.store.putShard({ ...w.shard(id), handover: { ...handover, problem: null } }),
  );
  w.databases.wake(id);
  await new Promise(setImmediate);
  assert.deepEqual(await w.databases.stop(ORDERLY), { saved: 1, notes: [], held: [] });
  await keptOverTheNextStart(made);
});
