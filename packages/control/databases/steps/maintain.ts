/** Making processes anew, one at a time: what plan/maintenance.ts asks for. */
import { labelOf } from '../../../engine/index.ts';
import { ControlError } from '../../errors.ts';
import { afterMaintenance, isOlder, wantedEngine } from '../../plan/upgrade.ts';
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
  await refuseEngine(loop, loop.instance(id).shard);
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

/** A process of another engine would not start, or never hold what its primary holds. */
export async function refuseEngine(loop: DatabaseLoop, shard: number): Promise<void> {
  refuseMissing(loop);
  await refuseUnreadable(loop, shard);
}

/** The engine that it is to become may have been removed since this was asked for. */
function refuseMissing(loop: DatabaseLoop): void {
  const { node } = loop.deps;
  const inUse = labelOf(node.engine);
  const next = wantedEngine(loop.database().upgrade, inUse);
  if (next === inUse || node.known(next) !== null) return;
  throw new ControlError(
    'EngineMissing',
    409,
    `${next} is not on this machine any more: nothing more was touched. Install it again, or go on with ${inUse}: cinnabar upgrade.`,
  );
}

/**
 * An older engine cannot read fields with a time to live: it would ask for a whole copy again and again
 * (engine rule 10). So the way back to it is closed while there are any.
 */
async function refuseUnreadable(loop: DatabaseLoop, index: number): Promise<void> {
  const primary = loop.instance(loop.shard(index).primary ?? '');
  const next = wantedEngine(loop.database().upgrade, labelOf(loop.deps.node.engine));
  if (!isOlder(next, primary.engine)) return;
  const { link } = loop.watch(primary.id);
  const keyspace = String(await link.command(['INFO', 'keyspace'], VERB_DEADLINE_MS));
  if (!/keys_with_volatile_items=[1-9]/.test(keyspace)) return;
  throw new ControlError(
    'EngineDowngradeUnsafe',
    409,
    `Shard ${index} holds hash fields with a time to live, which ${next} cannot read: nothing of it was touched. Remove them (HPERSIST), or stay on ${primary.engine}.`,
  );
}

/** Maintenance waits for the switch, and fails with its reason when it is given up. */
export async function wishHandover(loop: DatabaseLoop, index: number, to: string): Promise<void> {
  const { store, clock } = loop.deps;
  store.write(() => {
    const shard = loop.shard(index);
    const { maintenance, scaling } = loop.database();
    const wished = maintenance !== null || scaling?.arranging?.shard === index;
    if (!wished || shard.phase !== 'serving' || shard.handover !== null) return;
    // Slots travel, only more slowly, also when this switch is given up.
    const operation = maintenance?.operation ?? null;
    store.putShard({ ...shard, handover: newWish(to, operation, clock.ticks()) });
  });
}

export async function endMaintenance(loop: DatabaseLoop): Promise<void> {
  const { store, clock } = loop.deps;
  store.write(() => {
    const database = loop.database();
    const { maintenance } = database;
    if (maintenance === null) return;
    const engines = [...new Set(loop.instances().map((each) => each.engine))];
    const upgrade = afterMaintenance(database.upgrade, engines, clock.now());
    store.putDatabase({ ...database, maintenance: null, upgrade });
    endOperations(loop, (operation) => operation.id === maintenance.operation, null);
    const made = `What was to be replaced has been; all processes run ${engines.join(' or ')}.`;
    loop.event('maintained', 'info', made);
    if (upgrade?.phase === 'open' && upgrade.until !== null) {
      const until = new Date(upgrade.until).toISOString();
      const message = `The way back to ${upgrade.from} is open until ${until}; what only ${upgrade.to} knows is refused until then.`;
      loop.event('way-back-open', 'info', message);
    }
  });
  // Commands that one of them did not know were refused by all.
  loop.reconfigure();
}
