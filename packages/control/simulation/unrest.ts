/** Whether everything has come to rest. */
import type { SlotRange } from '../../engine/contract.ts';
import { countSlots, intersect, SLOTS, sameSlots, union } from '../plan/slot-ranges.ts';
import type { DatabaseRecord, InstanceRecord, OperationRecord, Store } from '../store/index.ts';
import type { World } from './world.ts';

/** What is not as it should be when the trouble is over, or null. */
export function unrest(store: Store, world: World): string | null {
  const open: OperationRecord[] = store.openOperations();
  if (open.length > 0) return `${open[0]?.kind} of ${open[0]?.databaseId} has not ended`;
  const known = new Set<string>();
  for (const database of store.databases()) {
    const instances = store.instances(database.id);
    for (const instance of instances) known.add(instance.id);
    if (database.resourceState === 'CreateFailed') continue;
    const misplaced = slotProblem(store, world, database);
    if (misplaced !== null) return `${database.id}: ${misplaced}`;
    for (const shard of store.shards(database.id)) {
      const problem = shardProblem(store, world, database, shard.index, instances);
      if (problem !== null) return `${database.id}/${shard.index}: ${problem}`;
    }
  }
  const left = world.running().find((engine) => !known.has(engine.id));
  if (left !== undefined) return `a process is left of ${left.id}`;
  const folder = [...world.files.keys()].find(
    (dir) => !store.databases().some((d) => dir.startsWith(`/data/${d.id}/`)),
  );
  return folder === undefined ? null : `a folder is left: ${folder}`;
}

/** Every slot has one owner, the one on record, and each shard its share. */
function slotProblem(store: Store, world: World, database: DatabaseRecord): string | null {
  const shards = store.shards(database.id);
  const wanted = database.sizing.shards;
  if (shards.length !== wanted) return `${shards.length} shards instead of ${wanted}`;
  if (database.scaling !== null) return 'its slots are still moving';
  if (database.settings.policy === 'NoCluster') return null;
  let owned: readonly SlotRange[] = [];
  for (const shard of shards) {
    const engine = world.running().find((e) => e.id === shard.primary);
    const slots = engine?.slots ?? [];
    if (!sameSlots(slots, shard.slots))
      return `shard ${shard.index} owns other slots than recorded`;
    if (Math.abs(countSlots(slots) - SLOTS / wanted) > 1)
      return `shard ${shard.index} has no fair share`;
    if (intersect(owned, slots).length > 0) return `a slot of shard ${shard.index} has two owners`;
    owned = union(owned, slots);
  }
  return countSlots(owned) === SLOTS ? null : 'a slot has no owner';
}

function shardProblem(
  store: Store,
  world: World,
  database: DatabaseRecord,
  index: number,
  all: readonly InstanceRecord[],
): string | null {
  const shard = store.shard(database.id, index);
  const members = all.filter((i) => i.shard === index);
  if (shard?.phase !== 'serving') return `phase ${shard?.phase} (${shard?.reason.code})`;
  if (members.length !== 1 + database.sizing.replicas) return `${members.length} instances`;
  const primary = world.running().find((e) => e.id === shard.primary);
  if (primary?.accepts(world.clock.ticks()) !== true) return 'its primary takes no writes';
  for (const member of members) {
    const engine = world.running().find((e) => e.id === member.id);
    if (engine === undefined) return `${member.id.slice(0, 6)} does not run`;
    if (!member.synced) return `${member.id.slice(0, 6)} is not in sync`;
    if (engine.light) return `${member.id.slice(0, 6)} still gives way`;
    if (engine !== primary && engine.role !== 'replica')
      return `${member.id.slice(0, 6)} is a second primary`;
  }
  return null;
}
