/** Orderly stops that come just when something broke: what a whole copy holds is kept. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { eventually } from '../../engine/testing.ts';
import type { DatabaseSettings, InstanceRecord } from '../store/index.ts';
import { type World, world } from './testing.ts';

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

async function reads(w: World, id: string): Promise<void> {
  const link = await w.link(w.primary(id));
  assert.equal(String(await link.command(['GET', 'k'], COMMAND_MS)), 'kept');
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
    const report = await made.w.databases.stop(true, () => undefined);
    assert.deepEqual(report, { saved: 1, notes: [] });
    assert.equal(made.w.shard(made.id).saved?.instance, made.replica.id);
    await keptOverTheNextStart(made);
  });
}

test('the primary cannot write its file: the replica does, and it is said', async (t) => {
  const made = await cache(t);
  rmSync(made.primary.dataDir, { recursive: true });
  const report = await made.w.databases.stop(true, () => undefined);
  assert.equal(report.saved, 1);
  assert.match(report.notes.join(), /saved by its replica/);
  await keptOverTheNextStart(made);
});

test('neither can write: it is said where the reason is', async (t) => {
  const { w, primary, replica } = await cache(t);
  for (const { dataDir } of [primary, replica]) rmSync(dataDir, { recursive: true });
  const report = await w.databases.stop(true, () => undefined);
  assert.equal(report.saved, 0);
  assert.match(report.notes.join(), /not saved.*engine\.log/);
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
  const report = await w.databases.stop(true, () => undefined);
  assert.match(report.notes.join(), /older copy/);
  await w.restart();
  await w.databases.serving(HEAL_MS, () => undefined);
  assert.ok(w.databases.waits(id).includes('only-older-copy'), 'it waits on');
  assert.deepEqual(await w.node.find(), [], 'and nothing of it runs');
  const again = await w.databases.stop(true, () => undefined);
  assert.equal(again.saved, 1, 'a second stop keeps the file');
  await w.restart();
  w.store.write(() => w.store.putShard({ ...w.shard(id), lossAccepted: { at: 1, by: 'alice' } }));
  w.databases.wake(id);
  await w.settled(id);
  await reads(w, id);
  const events = w.store.events({ limit: 100 }).map((event) => event.reason);
  assert.ok(events.includes('older-copy-promoted'), events.join());
});

test('a stop that was killed half-way: its pause of writes is ended by who comes next', async (t) => {
  const { w, id, primary } = await cache(t);
  await w.databases.detach();
  const link = await w.link(primary);
  await link.pauseWrites(120_000, COMMAND_MS);
  await w.restart();
  await w.settled(id);
  const next = await w.link(primary);
  assert.equal(String(await next.command(['SET', 'after', '1'], COMMAND_MS)), 'OK');
  link.close();
  next.close();
});
