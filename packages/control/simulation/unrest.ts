/** Whether everything has come to rest. */
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
  if (primary?.accepts(world.clock.now()) !== true) return 'its primary takes no writes';
  for (const member of members) {
    const engine = world.running().find((e) => e.id === member.id);
    if (engine === undefined) return `${member.id.slice(0, 6)} does not run`;
    if (!member.synced) return `${member.id.slice(0, 6)} is not in sync`;
    if (engine !== primary && engine.role !== 'replica')
      return `${member.id.slice(0, 6)} is a second primary`;
  }
  return null;
}
