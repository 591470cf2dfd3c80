/** Taking things away, each step so that it can be repeated: record, process, peers, files, record. */
import { join } from 'node:path';
import { FENCE_DEADLINE_MS, VERB_DEADLINE_MS } from '../limits.ts';
import { type DatabaseLoop, wantedOf } from '../loop.ts';
import { CANCELED, endOperations } from '../progress.ts';

export async function dismiss(loop: DatabaseLoop, id: string): Promise<void> {
  const { store } = loop.deps;
  store.decide(() => {
    const instance = loop.instance(id);
    const { phase, primary, successor } = loop.shard(instance.shard);
    // A switch may just have made it the one that everybody is sent to. Not where all of it goes.
    const stays = phase !== 'leaving' && wantedOf(loop.database()) !== 'nothing';
    const needed = stays && (primary === id || successor === id);
    if (!needed) store.putInstance({ ...instance, phase: 'leaving' });
  });
  loop.deps.publish(loop.id);
}

/** The primary died while this one was on its way out: it counts again. */
export async function keep(loop: DatabaseLoop, id: string): Promise<void> {
  const { store } = loop.deps;
  store.write(() => {
    const instance = loop.instance(id);
    if (instance.phase !== 'leaving' || instance.process === null) return;
    store.putInstance({ ...instance, phase: 'running' });
    loop.event(
      'dismissal-undone',
      'warning',
      'A replica that was to leave stays: its primary died.',
      {
        shard: instance.shard,
        instance: id,
      },
    );
  });
}

export async function removeInstance(loop: DatabaseLoop, id: string): Promise<void> {
  const { store, node } = loop.deps;
  const instance = loop.instance(id);
  await primaryAnswers(loop, instance.shard);
  if (instance.process !== null) await node.kill(instance.process, FENCE_DEADLINE_MS);
  for (const stray of await node.find(instance.dataDir)) {
    await node.kill(stray.process, FENCE_DEADLINE_MS);
  }
  for (const peer of loop.instances()) {
    if (peer.id === id || peer.phase !== 'running') continue;
    const sight = loop.watch(peer.id).sighting();
    if (sight.facts?.cluster?.nodes.some((n) => n.id === id)) {
      await loop.watch(peer.id).link.forget(id, VERB_DEADLINE_MS);
    }
  }
  await node.removeData(instance.dataDir, instance.socket);
  store.decide(() => {
    store.removeInstance(id);
    store.freePorts(`${loop.id}/${id}`);
  });
}

export async function removeDatabase(loop: DatabaseLoop): Promise<void> {
  const { store, node, dataRoot } = loop.deps;
  await node.removeData(join(dataRoot, loop.id), '');
  store.write(() => {
    const database = loop.database();
    if (database.provisioningState !== 'Deleting') {
      if (database.resourceState !== 'CreateFailed') return; // asked for again meanwhile
      // Rolled back: the record stays, so that the user sees why and can try again or delete it.
      for (const shard of loop.shards()) store.removeShard(loop.id, shard.index);
      loop.event('create-rolled-back', 'info', 'What a failed create had started was removed.');
      return;
    }
    endOperations(loop, (operation) => operation.kind === 'DeleteDatabase', null);
    endOperations(loop, () => true, CANCELED);
    const { name } = loop.cluster();
    loop.event('database-deleted', 'info', `The database of ${name} was deleted.`);
    store.removeDatabase(loop.id);
  });
}

/** What leaves may be the last copy if the primary has just died: ask it once more. */
async function primaryAnswers(loop: DatabaseLoop, index: number): Promise<void> {
  if (wantedOf(loop.database()) === 'nothing') return;
  const { phase, primary } = loop.shard(index);
  // An empty shard has no copy to lose.
  if (phase === 'leaving') return;
  if (primary !== null) await loop.watch(primary).link.ping(VERB_DEADLINE_MS);
}
