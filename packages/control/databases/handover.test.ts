/**
 * The planned switch on real engines, with writers straight on them: nothing that was acknowledged is
 * lost, the only errors are the engine's own words for "elsewhere", and the old primary follows on by
 * the same stream. Then the moments in which it must not, or cannot, come about.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { eventually } from '../../engine/testing.ts';
import { RespError } from '../../resp/index.ts';
import type { DatabaseSettings, InstanceRecord } from '../store/index.ts';
import { newWish } from './planned-failover.ts';
import { type World, world } from './testing.ts';

const HEAL_MS = 30_000;
const COMMAND_MS = 8_000;
const WRITERS = 4;
const WARM = 50;
const ELSEWHERE = /^(MOVED|READONLY|CLUSTERDOWN|MASTERDOWN)/;

function wish(w: World, id: string, index = 0, to: string | null = null): void {
  const handover = newWish(to, null, Date.now());
  w.store.write(() => w.store.putShard({ ...w.shard(id, index), handover }));
  w.databases.wake(id);
}

async function switched(w: World, id: string, from: string, index = 0): Promise<InstanceRecord> {
  await eventually(
    'another primary',
    () => w.shard(id, index).phase === 'serving' && w.shard(id, index).primary !== from,
    HEAL_MS,
  );
  return w.primary(id, index);
}

function eventsOf(w: World, id: string): string[] {
  return w.store
    .events({ limit: 500 })
    .filter((e) => e.databaseId === id)
    .map((e) => e.reason);
}

/** Counts up a key of its own wherever the shard's primary is; stops when told to. */
class Writer {
  acknowledged = 0;
  readonly errors: string[] = [];
  readonly done: Promise<void>;
  #stop = false;

  constructor(w: World, id: string, key: string) {
    this.done = this.#run(w, id, key);
  }

  stop(): Promise<void> {
    this.#stop = true;
    return this.done;
  }

  async #run(w: World, id: string, key: string): Promise<void> {
    let at = w.primary(id);
    let link = await w.link(at);
    while (!this.#stop) {
      const reply = await link.command(['INCR', key], COMMAND_MS);
      if (!(reply instanceof RespError)) {
        assert.equal(Number(reply), this.acknowledged + 1, `${key}: an acknowledged write is gone`);
        this.acknowledged++;
        continue;
      }
      this.errors.push(reply.message);
      link.close();
      const other = w.store.instances(id).find((each) => each.id !== at.id);
      at = other ?? at;
      link = await w.link(at);
    }
    link.close();
  }
}

async function writing(writers: readonly Writer[]): Promise<void> {
  const from = writers.map((writer) => writer.acknowledged);
  await eventually(
    'every writer goes on',
    () => writers.every((writer, i) => writer.acknowledged >= (from[i] ?? 0) + WARM),
    HEAL_MS,
  );
}

/** How often anybody of the database gave a whole copy away. */
async function fullSyncs(w: World, id: string): Promise<number> {
  let sum = 0;
  for (const instance of w.store.instances(id)) {
    const link = await w.link(instance);
    const info = String(await link.command(['INFO', 'stats'], COMMAND_MS));
    link.close();
    sum += Number(/sync_full:(\d+)/.exec(info)?.[1]);
  }
  return sum;
}

describe('the planned switch on real engines', { concurrency: false }, () => {
  const policies: readonly DatabaseSettings['policy'][] = ['EnterpriseCluster', 'NoCluster'];
  for (const policy of policies) {
    test(`${policy}: there and back under load, nothing lost`, async (t) => {
      const w = await world(t);
      const id = await w.create({ policy });
      const writers = Array.from({ length: WRITERS }, (_, i) => new Writer(w, id, `{a}${i}`));
      t.after(() => Promise.all(writers.map((writer) => writer.stop())));
      for (let round = 0; round < 2; round++) {
        await writing(writers);
        await w.settled(id);
        const from = w.primary(id);
        const syncs = await fullSyncs(w, id);
        wish(w, id);
        await switched(w, id, from.id);
        await writing(writers);
        await w.settled(id);
        assert.equal(w.shard(id).handover, null);
        assert.equal(await fullSyncs(w, id), syncs, 'the old primary goes on with the same stream');
        assert.equal(w.store.instance(from.id)?.process?.pid, from.process?.pid);
        const to = w.primary(id).id;
        assert.deepEqual(w.words().slice(-4), ['prepare', 'hold', `expect ${to}`, `release ${to}`]);
      }
      await Promise.all(writers.map((writer) => writer.stop()));
      const errors = writers.flatMap((writer) => writer.errors);
      for (const error of errors) assert.match(error, ELSEWHERE);
      const told = w.store.events({ limit: 100 }).filter((e) => e.reason === 'shard-switched');
      assert.equal(told.length, 2);
      const acknowledged = writers.reduce((sum, writer) => sum + writer.acknowledged, 0);
      t.diagnostic(
        `${acknowledged} writes, ${errors.length} told elsewhere, switches took ${told.map((e) => e.data['tookMs'])} ms`,
      );
    });
  }

  test('who waits for replicas on the old primary is told, and not left waiting', async (t) => {
    const w = await world(t);
    const id = await w.create();
    const from = w.primary(id);
    const link = await w.link(from);
    await link.command(['SET', 'k', 'v'], COMMAND_MS);
    // Two replicas that there are not: it would wait for ever.
    const waiting = link.command(['WAIT', '2', '0'], HEAL_MS);
    wish(w, id);
    await switched(w, id, from.id);
    const reply = await waiting;
    assert.ok(reply instanceof RespError, String(reply));
    assert.match(reply.message, /^UNBLOCKED/);
    link.close();
  });

  test('without a replica in sync it is given up with the reason, and nothing changes', async (t) => {
    const w = await world(t);
    const id = await w.create({}, { replicas: 0 });
    const from = w.primary(id);
    const handover = { ...newWish(null, null, Date.now()), tries: 99 };
    w.store.write(() => w.store.putShard({ ...w.shard(id), handover }));
    w.databases.wake(id);
    await eventually('given up', () => w.shard(id).handover === null, HEAL_MS);
    assert.ok(eventsOf(w, id).includes('switch-given-up'));
    assert.equal(w.primary(id).id, from.id);
  });

  test('a replica that hangs in the middle is ended, and the primary goes on', async (t) => {
    const w = await world(t);
    const id = await w.create();
    const from = w.primary(id);
    const replica = w.store.instances(id).find((each) => each.id !== from.id);
    assert.ok(replica?.process != null);
    // As if the control process had died after its decision, and the replica hung since.
    await w.databases.detach();
    process.kill(replica.process.pid, 'SIGSTOP');
    w.store.write(() =>
      w.store.putShard({
        ...w.shard(id),
        phase: 'switching',
        successor: replica.id,
        epoch: w.shard(id).epoch + 1,
        decidedAt: Date.now(),
      }),
    );
    await w.restart();
    await eventually(
      'undone',
      () => w.shard(id).phase === 'serving' && w.shard(id).primary === from.id,
      HEAL_MS,
    );
    assert.ok(eventsOf(w, id).includes('engine-fenced-switch'));
    assert.ok(eventsOf(w, id).includes('switch-undone'));
    await w.settled(id);
    assert.equal(w.primary(id).id, from.id);
  });

  test('a decision that nobody was told of is carried out by the next control process', async (t) => {
    const w = await world(t);
    const id = await w.create({ policy: 'NoCluster' });
    const from = w.primary(id);
    const replica = w.store.instances(id).find((each) => each.id !== from.id);
    assert.ok(replica !== undefined);
    await w.databases.detach();
    w.store.write(() =>
      w.store.putShard({
        ...w.shard(id),
        phase: 'switching',
        successor: replica.id,
        handover: newWish(null, null, Date.now()),
        epoch: w.shard(id).epoch + 1,
        decidedAt: Date.now(),
      }),
    );
    await w.restart();
    assert.equal((await switched(w, id, from.id)).id, replica.id);
    await w.settled(id);
  });
});
