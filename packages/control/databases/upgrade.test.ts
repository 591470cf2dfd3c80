/**
 * Valkey 8 to 9 and back, on real engines: every type of data intact, at no time a command that one of
 * the two copies does not know, and no way back where the older engine could not read what is there.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type EngineLink, labelOf, type ProvisionOptions } from '../../engine/index.ts';
import { eventually } from '../../engine/testing.ts';
import { HANDOVER_TRIES } from '../plan/limits.ts';
import { newWish } from './planned-failover.ts';
import { CopyCount } from './sync-alarm.ts';
import { beginMaintenance, ORDERLY, operationEnded, type World, world } from './testing.ts';

const HEAL_MS = 60_000;
const COMMAND_MS = 8_000;
const EIGHT: ProvisionOptions = { product: 'valkey', suite: 'trixie' };
const NINE: ProvisionOptions = { product: 'valkey', suite: 'unstable' };
/** Each with the question whose answer must stay. */
const DATA: readonly (readonly [make: readonly string[], ask: readonly string[]])[] = [
  [
    ['SET', '{t}string', 'value', 'EX', '90000'],
    ['GET', '{t}string'],
  ],
  [
    ['SETBIT', '{t}bits', '1000', '1'],
    ['BITCOUNT', '{t}bits'],
  ],
  [
    ['PFADD', '{t}hll', 'a', 'b', 'c'],
    ['PFCOUNT', '{t}hll'],
  ],
  [
    ['RPUSH', '{t}list', '1', '2', '3'],
    ['LRANGE', '{t}list', '0', '-1'],
  ],
  [
    ['SADD', '{t}set', 'one'],
    ['SMEMBERS', '{t}set'],
  ],
  [
    ['ZADD', '{t}zset', '1.5', 'a', '2', 'b'],
    ['ZRANGE', '{t}zset', '0', '-1', 'WITHSCORES'],
  ],
  [
    ['HSET', '{t}hash', 'f', 'v'],
    ['HGETALL', '{t}hash'],
  ],
  [
    ['GEOADD', '{t}geo', '13.4', '52.5', 'Berlin'],
    ['GEOPOS', '{t}geo', 'Berlin'],
  ],
  [
    ['XADD', '{t}stream', '1-1', 'f', 'v'],
    ['XRANGE', '{t}stream', '-', '+'],
  ],
  [
    ['XGROUP', 'CREATE', '{t}stream', 'g', '0'],
    ['XINFO', 'GROUPS', '{t}stream'],
  ],
  [
    [
      'FUNCTION',
      'LOAD',
      "#!lua name=l\nserver.register_function('f', function() return 'said' end)",
    ],
    ['FCALL', 'f', '0'],
  ],
];

async function answers(link: EngineLink): Promise<string[]> {
  const all: string[] = [];
  for (const [, ask] of DATA) all.push(JSON.stringify(await link.command(ask, COMMAND_MS)));
  return all;
}

async function allRun(w: World, id: string, version: RegExp): Promise<void> {
  for (const instance of w.store.instances(id)) {
    const link = await w.link(instance);
    assert.match((await link.facts(COMMAND_MS)).version, version);
    link.close();
  }
}

async function mayRun(link: EngineLink, ...command: string[]): Promise<boolean> {
  return String(await link.command(['ACL', 'DRYRUN', 'endpoint', ...command], COMMAND_MS)) === 'OK';
}

describe('another version of the engine', { concurrency: false }, () => {
  test('NoCluster: up, and back over a stop that came in the middle: every type intact', async (t) => {
    const w = await world(t, EIGHT);
    const id = await w.create({ policy: 'NoCluster' });
    const first = await w.link(w.primary(id));
    for (const [make] of DATA) await first.command(make, COMMAND_MS);
    const before = await answers(first);
    first.close();
    const from = w.primary(id).engine;
    await w.restart(NINE);
    await w.settled(id);
    const to = labelOf(w.node.engine);
    const upgrade = () => w.store.databaseById(id)?.upgrade ?? null;
    const way = { from, to, keepMs: 3_600_000, until: null };
    const up = beginMaintenance(w, id, { ...way, phase: 'upgrading' });
    await eventually('a 9 is primary', () => w.primary(id).engine === to, HEAL_MS);
    const upper = await w.link(w.primary(id));
    const newer = ['HSETEX', 'k', 'EX', '9', 'FIELDS', '1', 'f', 'v'];
    assert.equal(await mayRun(upper, ...newer), false);
    assert.equal((await operationEnded(w, up, HEAL_MS)).status, 'Succeeded');
    await w.settled(id);
    await allRun(w, id, /^valkey 9/);
    assert.deepEqual(await answers(upper), before);
    const open = upgrade();
    assert.equal(open?.phase, 'open');
    assert.ok(Math.abs((open.until ?? 0) - Date.now() - way.keepMs) < HEAL_MS);
    // All are 9, and one of them may still have to be followed by an 8.
    assert.equal(await mayRun(upper, ...newer), false);
    upper.close();

    const back = beginMaintenance(w, id, { ...open, phase: 'returning' });
    await eventually(
      'an 8 follows the 9',
      () => w.store.instances(id).some((each) => each.engine === from && each.synced),
      HEAL_MS,
    );
    await w.databases.stop(ORDERLY);
    assert.equal(upgrade()?.phase, 'returning');
    await w.restart();
    assert.equal((await operationEnded(w, back, HEAL_MS)).status, 'Succeeded');
    await w.settled(id);
    await allRun(w, id, /^valkey 8/);
    assert.equal(upgrade()?.phase, 'returned');
    const lower = await w.link(w.primary(id));
    assert.deepEqual(await answers(lower), before);
    // It stays so: a process that has to be made anew is not of the engine in use.
    const replica = w.store.instances(id).find((each) => each.id !== w.primary(id).id);
    process.kill(replica?.process?.pid ?? 0, 'SIGKILL');
    const again = () => w.store.instance(replica?.id ?? '');
    await eventually('it is made anew', () => again()?.process?.pid !== replica?.process?.pid);
    await w.settled(id);
    await allRun(w, id, /^valkey 8/);
    lower.close();
  });

  test('a copy that lacks what an older engine could not execute does not take over', async (t) => {
    const w = await world(t, NINE);
    const id = await w.create();
    const primary = w.primary(id);
    await w.restart(EIGHT);
    await w.settled(id);
    const replica = () => w.store.instances(id).find((each) => each.id !== primary.id);
    process.kill(replica()?.process?.pid ?? 0, 'SIGKILL');
    await eventually(
      'its replica is an 8',
      () => replica()?.engine.startsWith('valkey 8') === true,
    );
    await w.settled(id);
    const link = await w.link(primary);
    // Both fences are passed: by whoever administers the engine itself.
    await link.command(['HSETEX', 'h', 'EX', '9000', 'FIELDS', '1', 'f', 'v'], COMMAND_MS);
    const handover = { ...newWish(null, null, Date.now()), tries: HANDOVER_TRIES - 1 };
    w.store.write(() => w.store.putShard({ ...w.shard(id), handover }));
    w.databases.wake(id);
    await eventually('given up', () => w.shard(id).handover === null, HEAL_MS);
    assert.equal(w.primary(id).id, primary.id);
    const [event] = w.store.events({ limit: 50 }).filter((e) => e.reason === 'switch-given-up');
    assert.match(event?.message ?? '', /replica-differs.*could not execute 1 of the commands/);
    assert.equal(String(await link.command(['EXISTS', 'h'], COMMAND_MS)), '1');
    link.close();
  });

  test('no way back to an engine that cannot read what is there', async (t) => {
    const w = await world(t, NINE);
    const id = await w.create();
    const link = await w.link(w.primary(id));
    await link.command(['HSETEX', 'h', 'EX', '9000', 'FIELDS', '1', 'f', 'v'], COMMAND_MS);
    link.close();
    const pids = () => w.store.instances(id).map((each) => each.process?.pid);
    const before = pids();
    await w.restart(EIGHT);
    await w.settled(id);
    const { status, error } = await operationEnded(w, beginMaintenance(w, id), HEAL_MS);
    assert.equal(status, 'Failed');
    assert.equal(error?.code, 'EngineDowngradeUnsafe');
    assert.deepEqual(pids(), before);
    assert.equal(w.store.databaseById(id)?.maintenance, null);
    // And when one of its processes dies all the same: it cannot read it, asks again, and that is said.
    const replica = w.store.instances(id).find((each) => each.id !== w.primary(id).id);
    process.kill(replica?.process?.pid ?? 0, 'SIGKILL');
    const said = await eventually(
      'the copies are counted',
      () =>
        w.store.events({ limit: 50 }).find((each) => each.reason === 'full-syncs-repeat') ?? null,
      HEAL_MS,
    );
    assert.match(said.message, /^Shard 0 runs valkey [89].* asked for a whole copy \d+ times/);
    assert.equal(w.primary(id).engine.startsWith('valkey 9'), true);
  });

  test('one copy for each new process is no alarm, the second is, also after a while', () => {
    const count = new CopyCount();
    const at = (copies: number, replicas: number[], now: number, primary = 1) =>
      count.beyond(primary, replicas, copies, now);
    assert.equal(at(5, [2], 1_000_000), 0);
    assert.equal(at(6, [2], 1_001_000), 0, 'it was being made');
    assert.equal(at(7, [2], 1_002_000), 1);
    assert.equal(at(9, [2], 1_003_000), 3);
    assert.equal(at(9, [3], 1_004_000), 0, 'another process');
    assert.equal(at(10, [3], 1_005_000), 0);
    assert.equal(at(11, [3], 1_006_000), 1);
    assert.equal(at(0, [1], 1_007_000, 3), 0, 'another primary');
    assert.equal(at(2, [1], 2_000_000, 3), 0, 'long ago');
  });
});
