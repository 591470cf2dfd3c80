/**
 * Shards up and down on real engines: keys, functions and expiry stay, whoever dies meanwhile. What
 * clients see through the endpoint is tested with the whole service (e2e/scaling.test.ts).
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { eventually } from '../../engine/testing.ts';
import { keySlot } from '../../resp/index.ts';
import { beginScaling } from '../plan/pace.ts';
import { countSlots, SLOTS, sameSlots } from '../plan/slot-ranges.ts';
import { shareOf } from '../plan/slots.ts';
import type { InstanceRecord } from '../store/index.ts';
import { type World, world } from './testing.ts';

const COMMAND_MS = 5_000;
const SCALE_MS = 60_000;
/** Enough for several batches. */
const KEYS = 12_000;
const LIBRARY = `#!lua name=scaled
server.register_function('hello', function(keys, args) return args[1] end)`;

/** Writes through the shard that owns each key, as a cluster client would. */
async function fill(w: World, id: string): Promise<void> {
  for (const shard of w.store.shards(id)) {
    const link = await w.link(w.primary(id, shard.index));
    const mine = Array.from({ length: KEYS }, (_, i) => `key:${i}`).filter((key) =>
      shard.slots.some(([first, last]) => first <= keySlot(key) && keySlot(key) <= last),
    );
    for (let from = 0; from < mine.length; from += 500) {
      const replies = await Promise.all(
        mine
          .slice(from, from + 500)
          .map((key) => link.command(['SET', key, `value of ${key}`, 'EX', '90000'], COMMAND_MS)),
      );
      assert.ok(replies.every((reply) => String(reply) === 'OK'));
    }
    await link.command(['FUNCTION', 'LOAD', 'REPLACE', LIBRARY], COMMAND_MS);
    await link.command(['WAIT', '1', '5000'], COMMAND_MS * 2);
    link.close();
  }
}

function rescale(w: World, id: string, shards: number): void {
  const database = w.store.databaseById(id);
  assert.ok(database);
  w.store.write(() =>
    w.store.putDatabase({
      ...database,
      generation: database.generation + 1,
      sizing: { ...database.sizing, shards },
      scaling:
        database.scaling === null
          ? beginScaling(database.sizing, Date.now())
          : { ...database.scaling, from: database.sizing, canceled: true },
    }),
  );
  w.databases.wake(id);
}

async function scaled(w: World, id: string): Promise<void> {
  await eventually('scaled', () => w.store.databaseById(id)?.scaling === null, SCALE_MS).catch(
    (error: Error) => {
      const why = [...w.databases.waits(id), ...w.logged().slice(-3)].join('; ');
      throw new Error(`${error.message}: ${why}`);
    },
  );
  await w.settled(id);
}

/** Every slot at one engine, the one on record; every key there; every function everywhere. */
async function whole(w: World, id: string, shards: number): Promise<void> {
  const records = w.store.shards(id);
  assert.equal(records.length, shards);
  let keys = 0;
  for (const shard of records) {
    assert.equal(countSlots(shard.slots), shareOf(shard.index, shards));
    const link = await w.link(w.primary(id, shard.index));
    const facts = await link.facts(COMMAND_MS);
    assert.ok(sameSlots(facts.cluster?.slots ?? [], shard.slots), `shard ${shard.index}`);
    assert.equal(await callFunction(link), 'there');
    keys += facts.keys;
    link.close();
  }
  assert.equal(keys, KEYS);
  assert.equal(
    records.reduce((sum, each) => sum + countSlots(each.slots), 0),
    SLOTS,
  );
}

async function callFunction(link: Awaited<ReturnType<World['link']>>): Promise<string> {
  return String(await link.command(['FCALL', 'hello', '0', 'there'], COMMAND_MS));
}

/** Resolves while a batch is on its way that has not arrived. */
async function midMove(
  w: World,
  id: string,
): Promise<{ source: InstanceRecord; target: InstanceRecord }> {
  await eventually(
    'a batch is on its way',
    () => (w.store.databaseById(id)?.scaling?.move ?? null) !== null,
    SCALE_MS,
  );
  const move = w.store.databaseById(id)?.scaling?.move;
  const [source, target] = [move?.sourceNode, move?.targetNode].map((node) =>
    w.store.instance(node ?? ''),
  );
  assert.ok(source && target);
  return { source, target };
}

/** Somebody who administers the engine itself takes slots from a primary: nothing is to move, and they come back. */
async function takenByHand(w: World, id: string): Promise<void> {
  const [first = 0] = w.shard(id, 1).slots[0] ?? [];
  const link = await w.link(w.primary(id, 1));
  await link.command(['CLUSTER', 'DELSLOTSRANGE', `${first}`, `${first + 99}`], COMMAND_MS);
  link.close();
  await eventually('it has them again', () => reasons(w).includes('slots-claimed'), SCALE_MS);
}

/** The only copy of a shard is gone: it serves again empty, with the functions of its database. */
async function lostWithItsData(w: World, id: string): Promise<void> {
  const { pid } = w.primary(id, 1).process ?? {};
  kill(w.primary(id, 1));
  const another = () => w.primary(id, 1).process?.pid !== pid && w.shard(id, 1).phase === 'serving';
  await eventually('it serves again', another, SCALE_MS);
  assert.ok(reasons(w).includes('data-lost'));
  const link = await w.link(w.primary(id, 1));
  assert.equal(await callFunction(link), 'there');
  link.close();
}

function kill(instance: InstanceRecord): void {
  process.kill(instance.process?.pid ?? 0, 'SIGKILL');
}

function reasons(w: World): string[] {
  return w.store.events({ limit: 500 }).map((event) => event.reason);
}

describe('the number of shards, on real engines', { concurrency: false }, () => {
  test('up and down again: keys, functions, expiry and settings are where they belong', async (t) => {
    const w = await world(t);
    const id = await w.create({ policy: 'OSSCluster' });
    await fill(w, id);
    const began = Date.now();
    rescale(w, id, 3);
    await scaled(w, id);
    t.diagnostic(`1 to 3 shards after ${Date.now() - began} ms`);
    await whole(w, id, 3);
    for (const { index } of w.store.shards(id)) {
      const link = await w.link(w.primary(id, index));
      const got = await link.readSettings(['cluster-node-timeout'], COMMAND_MS);
      assert.equal(got['cluster-node-timeout'], '15000', 'three primaries can vote');
      link.close();
    }
    const source = await w.link(w.primary(id, 0));
    const hold = 'cluster-manual-failover-timeout';
    const held = (await source.readSettings([hold], COMMAND_MS))[hold];
    assert.equal(held, '60000', 'no write is let go before the new owner is heard of');
    source.close();
    const ports = w.store.ports().length;
    rescale(w, id, 1);
    await scaled(w, id);
    await whole(w, id, 1);
    assert.equal((await w.node.find()).length, 2, 'the engines of the removed shards are gone');
    assert.equal(w.store.ports().length, ports / 3);
    const link = await w.link(w.primary(id));
    const ttl = Number(await link.command(['TTL', 'key:7'], COMMAND_MS));
    assert.ok(ttl > 80_000 && ttl <= 90_000, `TTL ${ttl}`);
    link.close();
  });

  test('the source and the target die in the middle of a batch: nothing is missing', async (t) => {
    const w = await world(t);
    const id = await w.create();
    await fill(w, id);
    rescale(w, id, 2);
    const { source } = await midMove(w, id);
    kill(source);
    await eventually('another source', () => w.primary(id).id !== source.id, SCALE_MS);
    const { target } = await midMove(w, id);
    kill(target);
    await scaled(w, id);
    await whole(w, id, 2);
    assert.ok(!reasons(w).includes('data-lost'));
  });

  test('the control process dies in the middle of a batch, and the next one goes on', async (t) => {
    const w = await world(t);
    const id = await w.create();
    await fill(w, id);
    rescale(w, id, 2);
    await midMove(w, id);
    await w.restart();
    await scaled(w, id);
    await whole(w, id, 2);
  });

  test('the way back in the middle of it', async (t) => {
    const w = await world(t);
    const id = await w.create();
    await fill(w, id);
    rescale(w, id, 3);
    await midMove(w, id);
    rescale(w, id, 1);
    await scaled(w, id);
    await whole(w, id, 1);
  });

  test('without replicas; slots lost by hand, an empty start, and a flush in the middle', async (t) => {
    const w = await world(t);
    const id = await w.create({}, { replicas: 0 });
    await fill(w, id);
    rescale(w, id, 2);
    await scaled(w, id);
    await whole(w, id, 2);
    assert.equal(w.store.instances(id).length, 2);
    await takenByHand(w, id);
    await whole(w, id, 2);
    await lostWithItsData(w, id);
    rescale(w, id, 1);
    const { source } = await midMove(w, id);
    const link = await w.link(source);
    await link.flush(COMMAND_MS);
    link.close();
    await scaled(w, id);
    assert.equal(w.store.shards(id).length, 1);
  });
});
