/**
 * Never a wrong primary, on real engines: what each case would promote, wipe or believe if the order
 * of things were another one (engine rules 1-4, 7, 9, 17, 28).
 */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { describe, test } from 'node:test';
import type { EngineLink, SlotRange } from '../../engine/index.ts';
import { eventually } from '../../engine/testing.ts';
import type { InstanceRecord } from '../store/index.ts';
import { type World, world } from './testing.ts';

/** More than a user can ask for yet. */
const TWO = 2 as number as 1;
const HEAL_MS = 30_000;
const COMMAND_MS = 2_000;
const WAITING_WRITE_MS = 20_000;

const kill = (instance: InstanceRecord, signal: NodeJS.Signals = 'SIGKILL'): void => {
  process.kill(instance.process?.pid ?? 0, signal);
};

function events(w: World, id: string): string[] {
  return w.store
    .events({ limit: 500 })
    .filter((event) => event.databaseId === id)
    .map((event) => event.reason);
}

/** A value that each copy holds. */
async function written(w: World, id: string): Promise<void> {
  const link = await w.link(w.primary(id));
  assert.equal(String(await link.command(['SET', 'kept', 'yes'], COMMAND_MS)), 'OK');
  assert.ok(Number(await link.command(['WAIT', '1', '2000'], COMMAND_MS * 2)) >= 1);
  link.close();
}

async function assertKept(w: World, id: string): Promise<void> {
  const link = await w.link(w.primary(id));
  assert.equal(String(await link.command(['GET', 'kept'], COMMAND_MS)), 'yes');
  link.close();
}

const another = (w: World, id: string, than: InstanceRecord): Promise<unknown> =>
  eventually(
    'another primary serves',
    () => w.shard(id).phase === 'serving' && w.shard(id).primary !== than.id,
    HEAL_MS,
  );

describe('never a wrong primary', { concurrency: false }, () => {
  test('a stopped primary that goes on later has acknowledged nothing since', async (t) => {
    const w = await world(t);
    const id = await w.create();
    await written(w, id);
    const old = w.primary(id);
    const client = await w.link(old);
    kill(old, 'SIGSTOP');
    const late = client.command(['SET', 'kept', 'no'], WAITING_WRITE_MS).then(
      () => 'acknowledged',
      () => 'refused',
    );
    await another(w, id, old);
    // The fence ended it while it was stopped: there is nobody left who could wake up.
    assert.throws(() => kill(old, 'SIGCONT'), { code: 'ESRCH' });
    assert.equal(await late, 'refused');
    await w.settled(id);
    await assertKept(w, id);
  });

  test('a node whose disk was emptied comes back as a follower of the one that has the data', async (t) => {
    for (const policy of ['EnterpriseCluster', 'NoCluster'] as const) {
      const w = await world(t);
      const id = await w.create({ policy });
      await written(w, id);
      const old = w.primary(id);
      rmSync(old.dataDir, { recursive: true });
      kill(old);
      await another(w, id, old);
      await w.settled(id);
      assert.ok(w.store.instance(old.id)?.synced, 'the returned node is a whole copy');
      await assertKept(w, id);
    }
  });

  test('an order to take over whose reply was lost is repeated on the same engine only', async (t) => {
    const w = await world(t);
    const id = await w.create({}, { replicas: TWO });
    await written(w, id);
    const told: string[] = [];
    await losingReplies(w, told);
    const old = w.primary(id);
    kill(old);
    await another(w, id, old);
    await w.settled(id);
    assert.ok(told.length >= 1, 'nobody was told');
    assert.deepEqual([...new Set(told)], [w.primary(id).socket], 'one engine, and it is primary');
    await assertKept(w, id);
    // The other copy follows the same history: nothing was decided twice.
    const roles = await Promise.all(w.store.instances(id).map((each) => factsOf(w, each)));
    assert.equal(roles.filter(({ role }) => role === 'primary').length, 1);
    assert.equal(new Set(roles.map(({ replicationId }) => replicationId)).size, 1);
  });

  test('a replica that never synced is not promoted, and the loss is said', async (t) => {
    const w = await world(t);
    const id = await w.create();
    await written(w, id);
    const old = w.primary(id);
    const link = await w.link(old);
    // No new replica gets its data: its sync waits for others that never come.
    await link.configure({ 'repl-diskless-sync-delay': '3600' }, COMMAND_MS);
    const replica = w.store.instances(id).find((each) => each.id !== old.id) ?? assert.fail();
    kill(replica);
    await eventually(
      'a new one waits for its data',
      () => {
        const now = w.store.instance(replica.id);
        return now?.phase === 'running' && now.process?.pid !== replica.process?.pid && !now.synced;
      },
      HEAL_MS,
    );
    kill(old);
    await eventually('said', () => events(w, id).includes('no-copy-left'), HEAL_MS);
    await w.settled(id);
    assert.equal(w.primary(id).id, old.id, 'the empty replica was not promoted');
    assert.ok(events(w, id).includes('data-lost'));
  });

  test('a replica that had lost its link takes over, and what it lacks is said', async (t) => {
    const w = await world(t);
    const id = await w.create();
    await written(w, id);
    const old = w.primary(id);
    const replica = w.store.instances(id).find((each) => each.id !== old.id) ?? assert.fail();
    const [primary, copy] = [await w.link(old), await w.link(replica)];
    await copy.configure({ masterauth: 'another' }, COMMAND_MS);
    await primary.command(['CLIENT', 'KILL', 'TYPE', 'replica'], COMMAND_MS);
    await eventually('cut off', async () => (await factsOf(w, replica)).link === 'down', HEAL_MS);
    await primary.command(['SET', 'nobody-else-has-it', 'x'.repeat(1_000)], COMMAND_MS);
    const { offset } = await factsOf(w, old);
    await eventually('sampled', () => w.shard(id).offset >= offset, HEAL_MS);
    kill(old);
    await another(w, id, old);
    const said = w.store.events({ limit: 100 }).find((e) => e.reason === 'replica-was-behind');
    assert.equal(said?.severity, 'error');
    assert.ok(Number(said?.data['missingBytes']) >= 1_000, JSON.stringify(said?.data));
    await w.settled(id);
    await assertKept(w, id);
    assert.ok(!events(w, id).includes('no-copy-left'));
  });

  test('control connections that are closed, or refused for good, are no death', async (t) => {
    const w = await world(t);
    const id = await w.create();
    await written(w, id);
    const primary = w.primary(id);
    const link = await w.link(primary);
    await link.command(['CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes'], COMMAND_MS);
    await w.settled(id);
    // Now no new connection gets in, and those that there are end one after the other.
    await link.configure({ maxclients: '1' }, COMMAND_MS);
    await link.command(['CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes'], COMMAND_MS);
    await staysFor(SILENT_MS, () => w.primary(id).id === primary.id);
    assert.equal(w.store.instance(primary.id)?.process?.pid, primary.process?.pid);
    await link.configure({ maxclients: '1000' }, COMMAND_MS);
    link.close();
    await w.settled(id);
    await assertKept(w, id);
    assert.ok(events(w, id).every((reason) => !/^engine-|^shard-promoted/.test(reason)));
  });
});

/** Longer than a silent engine is given (a few seconds of tries, then one for a hung one). */
const SILENT_MS = 6_000;

/** Holds for all of this time: the one thing that can only be seen by waiting. */
async function staysFor(ms: number, holds: () => boolean): Promise<void> {
  const until = performance.now() + ms;
  await eventually(
    'it stays so',
    () => {
      assert.ok(holds());
      return performance.now() > until;
    },
    ms * 2,
  );
}

async function factsOf(w: World, instance: InstanceRecord) {
  const link = await w.link(instance);
  try {
    return await link.facts(COMMAND_MS);
  } finally {
    link.close();
  }
}

/** From now on the first order to take over is executed, and its reply lost. */
async function losingReplies(w: World, told: string[]): Promise<void> {
  const open = w.node.link.bind(w.node);
  w.node.link = async (socket, login, deadlineMs) => {
    const link = await open(socket, login, deadlineMs);
    const takeover = link.takeover.bind(link);
    return Object.assign(link, {
      takeover: async (ms: number, without?: readonly SlotRange[]) => {
        told.push(socket);
        await takeover(ms, without);
        if (told.length === 1) throw new Error('the reply was lost');
      },
    } satisfies Partial<EngineLink>);
  };
  // The connections of now are without it: a new control process makes new ones.
  await w.restart();
  await eventually(
    'it looks after everything',
    () => w.store.databases().every((each) => w.databases.waits(each.id).length === 0),
    HEAL_MS,
  );
}
