/** Recording new instances. Nothing runs yet; a crash leaves records that the plan goes on from. */
import type { PlannedInstance } from '../layout.ts';
import { newShards, planInstance } from '../layout.ts';
import type { DatabaseLoop } from '../loop.ts';

/** All shards of a new database, each with a pair: the plan needs the second one to be born fast. */
export async function layOut(loop: DatabaseLoop): Promise<void> {
  const { store, clock } = loop.deps;
  const database = loop.database();
  const shards = newShards(database, clock.ticks());
  const taken = new Set(store.ports().map((claim) => claim.port));
  const planned: PlannedInstance[] = [];
  const pair = database.settings.policy !== 'NoCluster' || database.sizing.replicas > 0;
  for (const shard of shards) {
    planned.push(await planInstance(loop.deps, database, shard.index, 'first-primary', taken));
    if (pair) {
      planned.push(await planInstance(loop.deps, database, shard.index, 'first-replica', taken));
    }
  }
  store.write(() => {
    if (store.databaseById(loop.id) === null) return;
    for (const shard of shards) store.putShard(shard);
    record(loop, planned);
  });
}

export async function addReplica(loop: DatabaseLoop, shard: number): Promise<void> {
  const { store } = loop.deps;
  const taken = new Set(store.ports().map((claim) => claim.port));
  const planned = await planInstance(loop.deps, loop.database(), shard, 'follow', taken);
  store.write(() => record(loop, [planned]));
}

export function record(loop: DatabaseLoop, planned: readonly PlannedInstance[]): void {
  const { store } = loop.deps;
  for (const { record, claims } of planned) {
    for (const claim of claims) store.claimPort(claim);
    store.putInstance(record);
  }
}
