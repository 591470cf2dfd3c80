/**
 * The orderly stop of one database. The endpoint is closed already, so nothing new comes through
 * it; direct clients of an OSSCluster are held by pausing writes before the file is written, so no
 * write is acknowledged that the file does not have. The file counts once: which one is recorded
 * before any process ends, and the next start loads that one and no other (engine rule 11).
 */
import type { InstanceRecord, SavedFile, ShardRecord } from '../store/records.ts';
import { FENCE_DEADLINE_MS, SAVE_DEADLINE_MS, VERB_DEADLINE_MS } from './limits.ts';
import type { DatabaseLoop } from './loop.ts';

export interface StopReport {
  readonly saved: number;
  readonly notes: readonly string[];
}

/** `save` false: the user has no patience; processes end and their data with them. */
export async function stopDatabase(loop: DatabaseLoop, save: boolean): Promise<StopReport> {
  const notes: string[] = [];
  let saved = 0;
  loop.freeze();
  await Promise.all(
    loop.shards().map(async (shard) => {
      const file = save ? await saveShard(loop, shard, notes) : null;
      if (file !== null) saved++;
      recordStop(loop, shard, file);
    }),
  );
  await loop.stop();
  await Promise.all(loop.instances().map((instance) => end(loop, instance, notes)));
  return { saved, notes };
}

async function saveShard(
  loop: DatabaseLoop,
  shard: ShardRecord,
  notes: string[],
): Promise<SavedFile | null> {
  if (shard.phase !== 'serving' || shard.primary === null) return shard.saved;
  const instance = loop.instance(shard.primary);
  try {
    const { link } = loop.watch(instance.id);
    await link.pauseWrites(SAVE_DEADLINE_MS, VERB_DEADLINE_MS);
    // A replica that is just syncing keeps a child of the primary busy, and the save waits for it.
    await endReplicas(loop, shard, instance);
    await link.save(SAVE_DEADLINE_MS);
    const file = await loop.deps.node.dataFile(instance.dataDir);
    if (file === null) throw new Error('the engine wrote no file');
    return {
      instance: instance.id,
      epoch: shard.epoch,
      sha256: file.sha256,
      bytes: file.bytes,
      at: loop.deps.clock.now(),
    };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    notes.push(`Shard ${shard.index} of ${loop.cluster().name} was not saved: ${why}`);
    return null;
  }
}

async function endReplicas(
  loop: DatabaseLoop,
  shard: ShardRecord,
  primary: InstanceRecord,
): Promise<void> {
  const replicas = loop
    .instances()
    .filter((each) => each.shard === shard.index && each.id !== primary.id);
  for (const { process } of replicas) {
    if (process !== null) await loop.deps.node.kill(process, FENCE_DEADLINE_MS);
  }
}

function recordStop(loop: DatabaseLoop, shard: ShardRecord, saved: SavedFile | null): void {
  const { store, clock } = loop.deps;
  if (shard.phase === 'new') return;
  store.write(() => {
    const now = loop.shard(shard.index);
    store.putShard({
      ...now,
      phase: 'down',
      primary: now.successor ?? now.primary,
      successor: null,
      saved,
      reason: {
        code: 'stopped',
        message: 'It was stopped in order; the next start brings it back.',
      },
      decidedAt: clock.now(),
    });
  });
}

async function end(loop: DatabaseLoop, instance: InstanceRecord, notes: string[]): Promise<void> {
  const { store, node } = loop.deps;
  try {
    if (instance.process !== null) await node.kill(instance.process, FENCE_DEADLINE_MS);
    store.write(() => {
      const now = loop.instance(instance.id);
      const phase = now.phase === 'running' ? 'dead' : now.phase;
      store.putInstance({
        ...now,
        phase,
        process: null,
        synced: false,
        endedAt: loop.deps.clock.now(),
      });
    });
  } catch (error) {
    notes.push(error instanceof Error ? error.message : String(error));
  }
}
