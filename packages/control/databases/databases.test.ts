import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { describe, test } from 'node:test';
import { eventually } from '../../engine/testing.ts';
import type { DatabaseSettings, InstanceRecord, ShardRecord } from '../store/index.ts';
import { ORDERLY, SMALL, type World, world } from './testing.ts';

const HEAL_MS = 30_000;
const COMMAND_MS = 2_000;

interface Case {
  readonly policy: DatabaseSettings['policy'];
  readonly shards: number;
}

const CASES: readonly Case[] = [
  { policy: 'EnterpriseCluster', shards: 1 },
  { policy: 'OSSCluster', shards: 3 },
  { policy: 'NoCluster', shards: 1 },
];

/** A key of the shard with this index: tags are tried until one falls there. */
function slotOwnedBy(shard: ShardRecord): string {
  return `{${shard.slots[0]?.[0] ?? 0}}`;
}

async function put(w: World, instance: InstanceRecord, shard: ShardRecord): Promise<string> {
  const link = await w.link(instance);
  for (let i = 0; ; i++) {
    const key = `${slotOwnedBy(shard)}${i}k`;
    const reply = await link.command(['SET', `k${shard.index}:${i}`, key], COMMAND_MS);
    if (String(reply) !== 'OK') continue; // MOVED: the key belongs to another shard
    await link.command(['WAIT', String(replicas(w, shard)), '2000'], COMMAND_MS * 2);
    link.close();
    return `k${shard.index}:${i}`;
  }
}

function replicas(w: World, shard: ShardRecord): number {
  return w.store.databaseById(shard.databaseId)?.sizing.replicas ?? 0;
}

async function has(w: World, instance: InstanceRecord, key: string): Promise<boolean> {
  const link = await w.link(instance);
  const reply = await link.command(['EXISTS', key], COMMAND_MS);
  link.close();
  return Number(reply) === 1;
}

function kill(instance: InstanceRecord): void {
  process.kill(instance.process?.pid ?? 0, 'SIGKILL');
}

function eventsOf(w: World, id: string): string[] {
  return w.store
    .events({ limit: 500 })
    .filter((e) => e.databaseId === id)
    .map((e) => e.reason);
}

describe('databases on real engines', { concurrency: false }, () => {
  for (const { policy, shards } of CASES) {
    test(`${policy}: created, each kind of engine killed, data kept, deleted without a trace`, async (t) => {
      const w = await world(t);
      const began = Date.now();
      const id = await w.create({ policy }, { shards });
      t.diagnostic(`created and in sync after ${Date.now() - began} ms`);
      assert.equal(w.operation(id, 'CreateDatabase').status, 'Succeeded');
      const keys = await Promise.all(
        w.store.shards(id).map((s) => put(w, w.primary(id, s.index), s)),
      );
      // What is shown is of one moment, also between the looks: all copies are in sync and have the key.
      await w.databases.lookAt(id);
      for (const { instances } of w.databases.shards(id)) {
        assert.deepEqual(
          instances.map(({ keys: count, lagBytes }) => [count, lagBytes ?? 0]),
          instances.map(() => [1, 0]),
        );
      }

      const target = w.shard(id, shards - 1);
      const first = w.primary(id, target.index);
      kill(first);
      const killed = Date.now();
      await eventually(
        'another primary',
        () => w.primary(id, target.index).id !== first.id,
        HEAL_MS,
      );
      t.diagnostic(`another primary after ${Date.now() - killed} ms`);
      await w.settled(id);
      assert.ok(await has(w, w.primary(id, target.index), keys[target.index] ?? ''));

      const replica = w.store.instances(id).find((i) => i.id === first.id);
      assert.ok(replica?.synced, 'the killed one is a replica again');
      kill(replica);
      await eventually(
        'the replica died',
        () => eventsOf(w, id).filter((r) => r === 'engine-died').length === 2,
        HEAL_MS,
      );
      await w.settled(id);
      assert.equal(w.store.instances(id).length, 2 * shards);
      assert.ok(!eventsOf(w, id).includes('data-lost'));

      const folders = w.store.instances(id).map((i) => i.dataDir);
      w.delete(id);
      await eventually('deleted', () => w.store.databaseById(id) === null, HEAL_MS);
      assert.deepEqual(await w.node.find(), []);
      assert.deepEqual(
        folders.filter((folder) => existsSync(folder)),
        [],
      );
      assert.deepEqual(w.store.ports(), []);
    });
  }

  test('without replicas: its death is healed by an empty restart, and that is said', async (t) => {
    const w = await world(t);
    const id = await w.create({}, { replicas: 0 });
    assert.equal(w.store.instances(id).length, 1, 'the helper of its birth is gone');
    const key = await put(w, w.primary(id), w.shard(id));
    kill(w.primary(id));
    await eventually(
      'healed',
      () => eventsOf(w, id).includes('data-lost') && w.shard(id).phase === 'serving',
      HEAL_MS,
    );
    await w.settled(id);
    assert.ok(!(await has(w, w.primary(id), key)));
    assert.deepEqual(
      w.databases.problems(id).map((each) => each.code),
      ['data-lost'],
      'said as long as nothing else was decided',
    );
  });

  test('a hung primary is fenced and replaced; a busy one is left alone', async (t) => {
    const w = await world(t);
    const id = await w.create();
    const busy = w.primary(id);
    const link = await w.link(busy);
    const slow = link.command(
      ['EVAL', 'local t=redis.call("TIME")[1] while redis.call("TIME")[1]-t < 3 do end', '0'],
      10_000,
    );
    await slow;
    assert.equal(w.primary(id).id, busy.id, 'a legal slow command is no reason for a failover');

    process.kill(busy.process?.pid ?? 0, 'SIGSTOP');
    const stopped = Date.now();
    await eventually('another primary', () => w.primary(id).id !== busy.id, HEAL_MS);
    t.diagnostic(`fenced and replaced ${Date.now() - stopped} ms after SIGSTOP`);
    assert.ok(eventsOf(w, id).includes('engine-fenced-hung'));
    await w.settled(id);
    // Times begin with the sign that led to the failover, not with the silence of the script before.
    const told = w.store.events({ limit: 500 }).find((e) => e.reason === 'failover-complete');
    const published = Number(/serves again (\d+) ms/.exec(told?.message ?? '')?.[1]);
    assert.ok(published <= Date.now() - stopped, `${told?.message}`);
  });

  test('both copies killed at once: it comes back empty, and says what was lost', async (t) => {
    const w = await world(t);
    const id = await w.create();
    for (const instance of w.store.instances(id)) kill(instance);
    await eventually('said', () => eventsOf(w, id).includes('data-lost'), HEAL_MS);
    await w.settled(id);

    // It is said on, whoever is primary, until somebody takes note of it.
    const codes = () => w.databases.problems(id).map((each) => each.code);
    const before = w.primary(id).id;
    kill(w.primary(id));
    await eventually('another primary', () => w.primary(id).id !== before, HEAL_MS);
    await w.settled(id);
    assert.deepEqual(codes(), ['data-lost']);
    const operation = w.acceptLoss(id);
    assert.deepEqual(codes(), []);
    w.databases.wake(id);
    await eventually(
      'its operation ended',
      () => w.store.operation(operation.id)?.status === 'Succeeded',
      HEAL_MS,
    );
  });

  test('a cluster whose update failed runs again when its database has got there', async (t) => {
    const w = await world(t);
    const id = await w.create();
    const database = w.store.databaseById(id);
    const cluster = w.store.clusterById(database?.clusterId ?? '');
    assert.ok(database !== null && cluster !== null);
    const reason = { code: 'OperationFailed', message: 'It took too long.' };
    w.store.write(() =>
      w.store.putCluster({
        ...cluster,
        provisioningState: 'Failed',
        resourceState: 'UpdateFailed',
        reason,
      }),
    );
    w.update(id, { maxMemoryBytes: 32 * 1024 * 1024 });
    await w.settled(id);
    const state = () => w.store.clusterById(cluster.id)?.resourceState;
    await eventually('it runs', () => state() === 'Running', HEAL_MS);
  });

  test('a control process that died: engines go on, the next one adopts them and heals what broke', async (t) => {
    const w = await world(t);
    const id = await w.create();
    const key = await put(w, w.primary(id), w.shard(id));
    const before = w.store
      .instances(id)
      .map((i) => i.process?.pid)
      .sort();
    await w.restart();
    await w.settled(id);
    assert.deepEqual(
      w.store
        .instances(id)
        .map((i) => i.process?.pid)
        .sort(),
      before,
      'nothing was started again',
    );

    await w.databases.detach();
    const dead = w.primary(id);
    kill(dead);
    await w.restart();
    await eventually('another primary', () => w.primary(id).id !== dead.id, HEAL_MS);
    await w.settled(id);
    assert.ok(await has(w, w.primary(id), key));

    // And one that hangs: it takes connections and never answers.
    await w.databases.detach();
    const hung = w.primary(id);
    process.kill(hung.process?.pid ?? 0, 'SIGSTOP');
    await w.restart();
    await eventually('the other one again', () => w.primary(id).id !== hung.id, HEAL_MS);
    await w.settled(id);
    assert.ok(await has(w, w.primary(id), key));
  });

  test('a replica that was started and not recorded holds the last copy: it is taken over', async (t) => {
    const w = await world(t);
    const id = await w.create();
    const key = await put(w, w.primary(id), w.shard(id));
    const primary = w.primary(id);
    const replica = w.store.instances(id).find((i) => i.id !== primary.id);
    assert.ok(replica !== undefined);
    await w.databases.detach();
    // As after a crash between the start of the process and its record; then its primary dies.
    w.store.write(() =>
      w.store.putInstance({ ...replica, process: null, phase: 'dead', synced: false }),
    );
    kill(primary);
    await w.restart();
    await w.settled(id);
    assert.equal(w.primary(id).id, replica.id);
    assert.deepEqual(w.primary(id).process, replica.process);
    assert.ok(await has(w, w.primary(id), key));
  });

  test('an engine that no record has a place for is ended at the next start', async (t) => {
    const w = await world(t);
    const id = await w.create({}, { replicas: 0 });
    const instance = w.primary(id);
    await w.databases.detach();
    const elsewhere = `${instance.dataDir}-2`;
    w.store.write(() =>
      w.store.putInstance({ ...instance, dataDir: elsewhere, process: null, phase: 'dead' }),
    );
    await w.restart();
    await eventually('the stray is gone', async () => {
      const all = await w.node.find();
      return all.every(({ process }) => process.pid !== instance.process?.pid);
    });
    await w.settled(id);
  });

  test('an orderly stop keeps the data, once', async (t) => {
    const w = await world(t);
    const id = await w.create({ policy: 'OSSCluster' }, { shards: 2 });
    const keys = await Promise.all(
      w.store.shards(id).map((s) => put(w, w.primary(id, s.index), s)),
    );
    const report = await w.databases.stop(ORDERLY);
    assert.deepEqual(report, { saved: 2, notes: [], held: [] });
    assert.deepEqual(await w.node.find(), []);
    await w.restart();
    await w.settled(id);
    for (const [index, key] of keys.entries()) assert.ok(await has(w, w.primary(id, index), key));

    // The file counted once: a crash of everything now must not bring the old data back.
    for (const instance of w.store.instances(id)) kill(instance);
    await eventually('said', () => eventsOf(w, id).includes('data-lost'), HEAL_MS);
    await w.settled(id);
    for (const [index, key] of keys.entries())
      assert.ok(!(await has(w, w.primary(id, index), key)));
  });

  test('replicas off and on again, and memory changed, while it serves', async (t) => {
    const w = await world(t);
    const id = await w.create({ policy: 'OSSCluster' }, { shards: 2 });
    const keys = await Promise.all(
      w.store.shards(id).map((s) => put(w, w.primary(id, s.index), s)),
    );
    w.update(id, { replicas: 0, maxMemoryBytes: 32 * 1024 * 1024 });
    await w.settled(id);
    assert.equal(w.store.instances(id).length, 2);
    w.update(id, { replicas: 1 });
    await w.settled(id);
    assert.equal(w.store.instances(id).length, 4);
    for (const instance of w.store.instances(id)) {
      const link = await w.link(instance);
      const { maxmemory } = await link.readSettings(['maxmemory'], COMMAND_MS);
      assert.equal(Number(maxmemory), 32 * 1024 * 1024);
    }
    for (const [index, key] of keys.entries()) assert.ok(await has(w, w.primary(id, index), key));
    assert.notEqual(SMALL.maxMemoryBytes, 32 * 1024 * 1024);
  });

  test('clients get in only when the shard serves, and are told the shards by a name', async (t) => {
    const w = await world(t);
    const id = await w.create({ policy: 'OSSCluster' }, { shards: 2 });
    const [view] = w.views();
    assert.equal(view?.shards.length, 2);
    assert.deepEqual(
      view?.shards.map((s) => s.primary?.announce?.host),
      ['localhost', 'localhost'],
    );
    const link = await w.link(w.primary(id));
    const slots = await link.command(['CLUSTER', 'SLOTS'], COMMAND_MS);
    const text = JSON.stringify(slots, (_k, v) =>
      v?.type === 'Buffer' ? Buffer.from(v.data).toString() : v,
    );
    for (const { index } of w.store.shards(id)) {
      assert.ok(text.includes(`"localhost",${w.primary(id, index).port}`), text);
    }
    assert.ok(text.includes('localhost'));
  });
});
