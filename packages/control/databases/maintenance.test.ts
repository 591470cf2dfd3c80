/**
 * Every process made anew on real engines, with writers straight on them: nothing that was acknowledged
 * is lost, there are two copies at any time, and a database without replicas keeps its data.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { eventually } from '../../engine/testing.ts';
import { beginMaintenance, operationEnded, type World, world } from './testing.ts';

const HEAL_MS = 60_000;
const COMMAND_MS = 8_000;
const KEYS = 500;

async function ended(w: World, operation: string): Promise<void> {
  const { status, error } = await operationEnded(w, operation, HEAL_MS);
  assert.equal(status, 'Succeeded', JSON.stringify(error));
}

function pids(w: World, id: string): number[] {
  return w.store.instances(id).map((each) => each.process?.pid ?? 0);
}

async function fill(w: World, id: string): Promise<void> {
  const link = await w.link(w.primary(id));
  for (let i = 0; i < KEYS; i++) await link.command(['SET', `{k}${i}`, `${i}`], COMMAND_MS);
  link.close();
}

async function kept(w: World, id: string): Promise<void> {
  const link = await w.link(w.primary(id));
  for (let i = 0; i < KEYS; i++) {
    assert.equal(String(await link.command(['GET', `{k}${i}`], COMMAND_MS)), String(i));
  }
  link.close();
}

describe('maintenance on real engines', { concurrency: false }, () => {
  // NoCluster: upgrade.test.ts.
  test('every process is another one, and at no time is there one copy alone', async (t) => {
    const w = await world(t);
    const id = await w.create({ policy: 'OSSCluster' });
    await fill(w, id);
    const before = pids(w, id);
    let fewest = 2;
    const watch = setInterval(() => {
      const whole = w.store.instances(id).filter((each) => each.synced).length;
      fewest = Math.min(fewest, whole);
    }, 1);
    await ended(w, beginMaintenance(w, id)).finally(() => clearInterval(watch));
    await w.settled(id);
    assert.equal(fewest, 2);
    assert.equal(w.store.instances(id).length, 2, 'the spare has gone');
    assert.ok(pids(w, id).every((pid) => !before.includes(pid)));
    await kept(w, id);
    const reasons = w.store.events({ limit: 100 }).map((event) => event.reason);
    assert.equal(reasons.filter((reason) => reason === 'engine-fenced-maintenance').length, 2);
    assert.equal(reasons.filter((reason) => reason === 'shard-switched').length, 1);
  });

  test('without replicas one carries the data through, shard by shard', async (t) => {
    const w = await world(t);
    const id = await w.create({}, { replicas: 0, shards: 2 });
    const before = pids(w, id);
    const index = w.store.shards(id).findIndex(({ slots }) =>
      // The slot of {k}.
      slots.some(([first, last]) => first <= 7_629 && 7_629 <= last),
    );
    const link = await w.link(w.primary(id, index));
    assert.equal(String(await link.command(['SET', '{k}', 'kept'], COMMAND_MS)), 'OK');
    link.close();
    let most = 0;
    const watch = setInterval(() => {
      most = Math.max(most, w.store.instances(id).length);
    }, 1);
    const operation = beginMaintenance(w, id);
    await ended(w, operation).finally(() => clearInterval(watch));
    assert.equal(w.store.operation(operation)?.steps[0]?.detail, '2 of 2');
    await w.settled(id);
    // Each switch is to a replica that is some tenths of a second old: its primary has to know it for one.
    for (let again = 0; again < 2; again++) {
      await ended(w, beginMaintenance(w, id));
      await w.settled(id);
    }
    const reasons = w.store.events({ limit: 200 }).map((event) => event.reason);
    assert.equal(reasons.filter((reason) => reason === 'shard-switched').length, 6);
    assert.ok(!reasons.includes('engine-fenced-switch'), 'no primary took it for another shard’s');
    assert.equal(most, 3, 'one replica more, at one time');
    assert.equal(w.store.instances(id).length, 2);
    assert.ok(pids(w, id).every((pid) => !before.includes(pid)));
    const after = await w.link(w.primary(id, index));
    assert.equal(String(await after.command(['GET', '{k}'], COMMAND_MS)), 'kept');
    after.close();
  });

  test('no room for a spare, and the control process dies in the middle', async (t) => {
    const w = await world(t);
    w.freeMemory = 0;
    const id = await w.create();
    await fill(w, id);
    const before = pids(w, id);
    const operation = beginMaintenance(w, id);
    await eventually(
      'one had its turn',
      () => (w.store.databaseById(id)?.maintenance?.pending.length ?? 0) === 1,
      HEAL_MS,
    );
    await w.restart();
    await w.settled(id).catch(() => undefined);
    await ended(w, operation);
    await w.settled(id);
    assert.ok(pids(w, id).every((pid) => !before.includes(pid)));
    await kept(w, id);
    const said = w.store
      .events({ limit: 100 })
      .filter((e) => e.reason === 'maintained-without-spare');
    assert.equal(said.length, 1);
  });

  test('replicas come and go by their number', async (t) => {
    const w = await world(t);
    const id = await w.create();
    await fill(w, id);
    for (const replicas of [3, 1, 0, 2]) {
      w.update(id, { replicas });
      await w.settled(id);
      assert.equal(w.store.instances(id).length, 1 + replicas);
    }
    await kept(w, id);
  });
});
