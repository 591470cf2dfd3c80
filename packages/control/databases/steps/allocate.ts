/** Recording new instances. Nothing runs yet; a crash leaves records that the plan goes on from. */

import { liesInOrder } from '../../plan/arrange.ts';
import type { PlannedInstance } from '../layout.ts';
import { newShards, planInstance } from '../layout.ts';
import { FACTS_DEADLINE_MS } from '../limits.ts';
import type { DatabaseLoop } from '../loop.ts';
import { endArrange } from './arrange.ts';
import { refuseEngine } from './maintain.ts';

/** Free memory that a spare wants, by what its primary uses: its buffers and the snapshot come on top. */
const SPARE_ROOM = 1.5;

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
  if (loop.database().maintenance !== null) {
    await refuseEngine(loop, shard);
    if (await lacksRoom(loop, shard)) return goOnWithoutSpare(loop, shard);
  }
  const { scaling } = loop.database();
  if (scaling?.arranging?.shard === shard && (await lacksRoom(loop, shard))) {
    const { facts } = loop.watch(loop.shard(shard).primary ?? '').sighting();
    const leads = facts !== null && liesInOrder(loop.shard(shard), facts);
    return endArrange(loop, leads ? 'in-order' : 'no-room');
  }
  const taken = new Set(store.ports().map((claim) => claim.port));
  const planned = await planInstance(loop.deps, loop.database(), shard, 'follow', taken);
  store.write(() => record(loop, [planned]));
}

/**
 * A spare that the machine has no room for could have a process of somebody else killed: a moment with
 * one copy is the smaller evil. Where the data is to travel by it, there is no other way.
 */
async function lacksRoom(loop: DatabaseLoop, shard: number): Promise<boolean> {
  const { replicas } = loop.database().sizing;
  const members = loop.instances().filter((each) => each.shard === shard).length;
  if (replicas === 0 || members < 1 + replicas) return false;
  const primary = loop.watch(loop.shard(shard).primary ?? '');
  const { usedMemoryBytes } = await primary.link.facts(FACTS_DEADLINE_MS);
  return loop.deps.freeMemory() < usedMemoryBytes * SPARE_ROOM;
}

function goOnWithoutSpare(loop: DatabaseLoop, shard: number): void {
  loop.deps.store.write(() => {
    const database = loop.database();
    const { maintenance } = database;
    if (maintenance === null) return;
    loop.deps.store.putDatabase({ ...database, maintenance: { ...maintenance, noSpare: true } });
    const message = `The machine has no room for one copy more of shard ${shard}: while a process is replaced its shard has one copy less.`;
    loop.event('maintained-without-spare', 'warning', message, { shard });
  });
}

export function record(loop: DatabaseLoop, planned: readonly PlannedInstance[]): void {
  const { store } = loop.deps;
  for (const { record, claims } of planned) {
    for (const claim of claims) store.claimPort(claim);
    store.putInstance(record);
  }
}
