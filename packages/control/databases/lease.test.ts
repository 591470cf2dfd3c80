/** Two control processes, and a copy that only the user may let serve; on real engines. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../../engine/testing.ts';
import { world } from './testing.ts';

const HEAL_MS = 30_000;
const COMMAND_MS = 2_000;
/** So many refused promotions prove that it is not one that merely came late. */
const REFUSALS = 3;

test('a control process that was overtaken promotes nobody; the later one does', async (t) => {
  const w = await world(t);
  const id = await w.create();
  const first = w.primary(id);
  const later = w.rival();
  process.kill(first.process?.pid ?? 0, 'SIGKILL');
  await eventually(
    'the first was refused several times',
    () => w.logged().filter((line) => line.includes('lease-lost')).length >= REFUSALS,
    HEAL_MS,
  );
  const shard = w.shard(id);
  assert.deepEqual([shard.phase, shard.primary, shard.successor], ['serving', first.id, null]);
  const replica = w.store.instances(id).find((each) => each.id !== first.id);
  assert.ok(replica !== undefined);
  const link = await w.link(replica);
  assert.equal((await link.facts(COMMAND_MS)).role, 'replica');
  link.close();

  await w.databases.detach();
  w.databases = later;
  await later.start();
  await w.settled(id);
  assert.equal(w.primary(id).id, replica.id);
});

test('an older copy waits for the user, serves on his word, and what may be lost is said', async (t) => {
  const w = await world(t);
  const id = await w.create({ policy: 'NoCluster' });
  const primary = w.primary(id);
  const replica = w.store.instances(id).find((each) => each.id !== primary.id);
  assert.ok(replica !== undefined);
  const link = await w.link(primary);
  await link.command(['SET', 'kept', '1'], COMMAND_MS);
  await link.command(['WAIT', '1', '2000'], COMMAND_MS * 2);
  link.close();
  // As if the last primary had begun another history that this replica never heard of.
  await w.databases.detach();
  process.kill(primary.process?.pid ?? 0, 'SIGKILL');
  w.store.write(() =>
    w.store.putShard({ ...w.shard(id), replicationId: 'f'.repeat(40), offset: 1e9 }),
  );
  await w.restart();
  await eventually(
    'the shard waits',
    () => w.databases.waits(id).includes('only-older-copy'),
    HEAL_MS,
  );
  assert.equal(w.shard(id).phase, 'down');

  const operation = w.acceptLoss(id);
  w.databases.wake(id);
  await w.settled(id);
  assert.equal(w.primary(id).id, replica.id);
  const again = await w.link(w.primary(id));
  assert.equal(String(await again.command(['GET', 'kept'], COMMAND_MS)), '1');
  again.close();
  await eventually(
    'its operation ended',
    () => w.store.operation(operation.id)?.status === 'Succeeded',
    HEAL_MS,
  );
  const told = w.store.events({ limit: 100 }).find((e) => e.reason === 'older-copy-promoted');
  assert.match(told?.message ?? '', /on request of alice/);
  assert.equal(w.shard(id).lossAccepted, null);
});
