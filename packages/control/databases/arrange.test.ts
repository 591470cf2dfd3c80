/**
 * A shard that is to give many keys away has its memory in the order of slots first (plan/arrange.ts), on
 * real engines: by a copy that takes over, whoever dies meanwhile, and no key is missing.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, type TestContext, test } from 'node:test';
import { eventually } from '../../engine/testing.ts';
import { keySlot } from '../../resp/index.ts';
import { HANDOVER_TRIES } from '../plan/limits.ts';
import { beginScaling } from '../plan/pace.ts';
import { newOperation } from '../simulation/records.ts';
import type { Sizing } from '../store/index.ts';
import { type World, world } from './testing.ts';

const COMMAND_MS = 10_000;
const SCALE_MS = 120_000;
const KEYS = 20_000;
const MANY = KEYS / 5;
const AT_ONCE = 2_500;

async function filled(
  t: TestContext,
  sizing: Partial<Sizing> = {},
): Promise<{ readonly w: World; readonly id: string }> {
  const w = await world(t);
  w.arrangeFromKeys = MANY;
  const id = await w.create({}, sizing);
  await fill(w, id);
  return { w, id };
}

async function fill(w: World, id: string): Promise<void> {
  const keys = Array.from({ length: KEYS }, (_, i) => `k${i}`);
  for (const { index, slots } of w.store.shards(id)) {
    const link = await w.link(w.primary(id, index));
    const mine = keys.filter((key) =>
      slots.some(([first, last]) => first <= keySlot(key) && keySlot(key) <= last),
    );
    for (let from = 0; from < mine.length; from += AT_ONCE) {
      const some = mine.slice(from, from + AT_ONCE);
      const replies = some.map((key) => link.command(['SET', key, 'v'], COMMAND_MS));
      assert.ok((await Promise.all(replies)).every((reply) => String(reply) === 'OK'));
    }
    const copies = w.store.databaseById(id)?.sizing.replicas ?? 0;
    assert.equal(await link.command(['WAIT', String(copies), '5000'], COMMAND_MS), copies);
    link.close();
  }
}

/** Answers the operation. While one is under way: the way back. */
function rescale(w: World, id: string, shards: number): string {
  const database = w.store.databaseById(id);
  assert.ok(database !== null);
  const { scaling, sizing } = database;
  const next = {
    ...database,
    generation: database.generation + 1,
    sizing: { ...sizing, shards },
    scaling:
      scaling === null
        ? beginScaling(sizing, Date.now())
        : { ...scaling, from: sizing, canceled: true },
  };
  const operation = newOperation(randomUUID(), 'UpdateDatabase', next, Date.now());
  w.store.write(() => {
    w.store.putDatabase(next);
    w.store.putOperation({ ...operation, input: { shards } });
  });
  w.databases.wake(id);
  return operation.id;
}

async function scaled(w: World, id: string): Promise<void> {
  const over = () => w.store.databaseById(id)?.scaling === null;
  await eventually('scaled', over, SCALE_MS).catch((error: Error) => {
    throw new Error(`${error.message}: ${w.databases.waits(id).join('; ')}`);
  });
  await w.settled(id);
}

/** Of each shard's primary: keys that it has, and that it began with. */
async function held(w: World, id: string): Promise<{ keys: number; loadedKeys: number }[]> {
  return Promise.all(
    w.store.shards(id).map(async ({ index }) => {
      const link = await w.link(w.primary(id, index));
      const { keys, loadedKeys } = await link.facts(COMMAND_MS);
      link.close();
      return { keys, loadedKeys };
    }),
  );
}

/** What was said of shards that are put in order, first things first. */
function said(w: World): string[] {
  return w.store
    .events({ limit: 500 })
    .filter(({ reason }) => reason.endsWith('arranging') || reason.endsWith('arranged'))
    .map(({ reason, shard, data }) =>
      [reason, shard, ...('reason' in data ? [data['reason']] : [])].join(' '),
    )
    .reverse();
}

function times(w: World, reason: string): number {
  return w.store.events({ limit: 500 }).filter((event) => event.reason === reason).length;
}

async function begun(w: World): Promise<void> {
  await eventually('it is being arranged', () => said(w).length > 0, SCALE_MS);
}

function sum(shards: readonly { readonly keys: number }[]): number {
  return shards.reduce((total, { keys }) => total + keys, 0);
}

describe('a shard of many keys, before it gives them away', { concurrency: false }, () => {
  test('is led by a copy that was built from a snapshot; what came by batches stays as it is', async (t) => {
    const { w, id } = await filled(t);
    const before = w.primary(id).id;
    assert.equal((await held(w, id))[0]?.loadedKeys, 0);
    const operation = rescale(w, id, 2);
    const details = () => w.store.operation(operation)?.steps.map(({ detail }) => detail) ?? [];
    const shown = () =>
      details().some((d) => d.startsWith('a copy of shard 0 in the order of slots'));
    await eventually('the operation says so', shown, SCALE_MS);
    await scaled(w, id);
    const two = await held(w, id);
    assert.equal(sum(two), KEYS);
    assert.notEqual(w.primary(id, 0).id, before);
    assert.equal(two[0]?.loadedKeys, KEYS, 'the copy was made before the first key left');
    assert.deepEqual(said(w), ['shard-arranging 0', 'shard-arranged 0']);
    assert.equal(times(w, 'shard-switched'), 1);
    const members = w.store.instances(id);
    assert.equal(members.length, 4, 'the copies too many have gone');
    const copy = members.find((each) => each.shard === 0 && each.id !== w.primary(id, 0).id);
    assert.ok(copy !== undefined);
    const link = await w.link(copy);
    const { loadedKeys } = await link.facts(COMMAND_MS);
    link.close();
    assert.equal(loadedKeys, KEYS, 'so was the copy that stays beside it');
    rescale(w, id, 1);
    await scaled(w, id);
    assert.equal(sum(await held(w, id)), KEYS);
    assert.equal(said(w).length, 2);
  });

  test('whose primary dies meanwhile, and then the control process: none is missing', async (t) => {
    const { w, id } = await filled(t);
    rescale(w, id, 2);
    await begun(w);
    const { id: victim, process: running } = w.primary(id);
    process.kill(running?.pid ?? 0, 'SIGKILL');
    await eventually('another leads', () => w.primary(id).id !== victim, SCALE_MS);
    await w.restart();
    await scaled(w, id);
    assert.equal(sum(await held(w, id)), KEYS);
    assert.equal(times(w, 'data-lost'), 0);
    assert.deepEqual(said(w), ['shard-arranging 0', 'shard-arranged 0']);
  });

  test('of two that give at once one is arranged after the other', async (t) => {
    const { w, id } = await filled(t, { shards: 2 });
    rescale(w, id, 4);
    await scaled(w, id);
    assert.equal(sum(await held(w, id)), KEYS);
    const words = said(w);
    const order = words.map((each) => Number(each.at(-1)));
    assert.deepEqual(
      words.map((each) => each.split(' ')[0]),
      ['shard-arranging', 'shard-arranged', 'shard-arranging', 'shard-arranged'],
    );
    assert.ok(order[0] === order[1] && order[2] === order[3] && order[0] !== order[2]);
    assert.equal(w.store.instances(id).length, 8);
  });

  test('goes back when that is asked for, and the copy goes', async (t) => {
    const { w, id } = await filled(t);
    rescale(w, id, 2);
    await begun(w);
    rescale(w, id, 1);
    await scaled(w, id);
    assert.deepEqual(said(w), ['shard-arranging 0', 'shard-not-arranged 0 canceled']);
    assert.deepEqual([sum(await held(w, id)), w.store.instances(id).length], [KEYS, 2]);
    assert.equal(times(w, 'shard-switched'), 0);
  });

  test('gives them without a copy where the machine has no room for one', async (t) => {
    const { w, id } = await filled(t);
    w.freeMemory = 0;
    const before = w.primary(id).id;
    rescale(w, id, 2);
    await scaled(w, id);
    assert.deepEqual(said(w), ['shard-arranging 0', 'shard-not-arranged 0 no-room']);
    assert.equal(w.primary(id, 0).id, before);
    assert.equal(sum(await held(w, id)), KEYS);
  });

  test('gives them as they lie when the switch is given up', async (t) => {
    const { w, id } = await filled(t);
    rescale(w, id, 2);
    await begun(w);
    const handover = {
      to: w.store.instances(id).find((each) => each.id !== w.primary(id).id)?.id ?? '',
      operation: null,
      at: 0,
      tries: HANDOVER_TRIES,
      problem: { code: 'tried', message: 'It was tried in vain.' },
      notBefore: 0,
    };
    w.store.write(() => w.store.putShard({ ...w.shard(id), handover }));
    w.databases.wake(id);
    await scaled(w, id);
    assert.deepEqual(said(w), ['shard-arranging 0', 'shard-not-arranged 0 switch-given-up']);
    assert.equal(sum(await held(w, id)), KEYS);
  });

  test('gives them as ever without replicas, or where a copy of few keys is not worth it', async (t) => {
    const { w, id } = await filled(t, { replicas: 0 });
    rescale(w, id, 2);
    await scaled(w, id);
    assert.deepEqual([said(w), sum(await held(w, id))], [[], KEYS]);
    const few = await w.create();
    await fill(w, few);
    w.arrangeFromKeys = KEYS;
    rescale(w, few, 2);
    await scaled(w, few);
    assert.deepEqual([said(w), sum(await held(w, few))], [[], KEYS]);
  });
});
