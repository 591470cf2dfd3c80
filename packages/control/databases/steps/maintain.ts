/** Making processes anew, one at a time: what plan/maintenance.ts asks for. */
import { ControlError } from '../../errors.ts';
import { SWITCH_PUBLISH_MS, VERB_DEADLINE_MS } from '../limits.ts';
import type { DatabaseLoop } from '../loop.ts';
import { newWish } from '../planned-failover.ts';
import { endOperations } from '../progress.ts';
import { fence } from './start.ts';

/**
 * Its process ends; the plan starts it again as the follower that it was. First clients that read from
 * it are sent elsewhere, so that none of them sees it go. Asked of the records once more: whoever became
 * primary since it was planned must not be ended.
 */
export async function renew(loop: DatabaseLoop, id: string): Promise<void> {
  const { store } = loop.deps;
  await refuseUnreadable(loop, loop.instance(id).shard);
  const due = store.write(() => {
    const instance = loop.instance(id);
    const { phase, primary } = loop.shard(instance.shard);
    const pending = loop.database().maintenance?.pending.includes(id) === true;
    if (!pending || phase !== 'serving' || primary === id) return false;
    store.putInstance({ ...instance, synced: false });
    return true;
  });
  if (!due) return;
  await loop.deps.publishNow(SWITCH_PUBLISH_MS);
  await fence(loop, id, 'maintenance');
}

/**
 * An older engine cannot read fields with a time to live: it would ask for a whole copy again and again
 * (engine rule 10). So the way back to it is closed while there are any.
 */
async function refuseUnreadable(loop: DatabaseLoop, index: number): Promise<void> {
  const { engine } = loop.deps.node;
  const primary = loop.instance(loop.shard(index).primary ?? '');
  if (!isOlder(`${engine.name} ${engine.version}`, primary.engine)) return;
  const { link } = loop.watch(primary.id);
  const keyspace = String(await link.command(['INFO', 'keyspace'], VERB_DEADLINE_MS));
  if (!/keys_with_volatile_items=[1-9]/.test(keyspace)) return;
  throw new ControlError(
    'EngineDowngradeUnsafe',
    409,
    `Shard ${index} holds hash fields with a time to live, which ${engine.name} ${engine.version} cannot read: nothing of it was touched. Remove them (HPERSIST), or stay on ${primary.engine}.`,
  );
}

/** 'valkey 8.1.1' is older than 'valkey 9.1.2'; of another product nothing is said. */
function isOlder(a: string, b: string): boolean {
  const [[product, version = ''], [other, since = '']] = [a.split(' '), b.split(' ')];
  if (product !== other) return false;
  return version.localeCompare(since, 'en', { numeric: true }) < 0;
}

/** The operation waits for the switch, and fails with its reason when it is given up. */
export async function wishHandover(loop: DatabaseLoop, index: number, to: string): Promise<void> {
  const { store, clock } = loop.deps;
  store.write(() => {
    const shard = loop.shard(index);
    const operation = loop.database().maintenance?.operation;
    if (operation === undefined || shard.phase !== 'serving' || shard.handover !== null) return;
    store.putShard({ ...shard, handover: newWish(to, operation, clock.ticks()) });
  });
}

export async function endMaintenance(loop: DatabaseLoop): Promise<void> {
  const { store } = loop.deps;
  store.write(() => {
    const database = loop.database();
    const { maintenance } = database;
    if (maintenance === null) return;
    store.putDatabase({ ...database, maintenance: null });
    endOperations(loop, (operation) => operation.id === maintenance.operation, null);
    const engines = [...new Set(loop.instances().map((each) => each.engine))].join(', ');
    loop.event('maintained', 'info', `Every process of the database was made anew (${engines}).`);
  });
  // Commands that one of them did not know were refused by all.
  loop.reconfigure();
}
