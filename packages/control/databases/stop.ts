/**
 * The orderly stop of one database. The endpoint is closed already, so nothing new comes through
 * it; direct clients of an OSSCluster are held by pausing writes before the file is written, so no
 * write is acknowledged that the file does not have. The file counts once: which one is recorded
 * before any process ends, and the next start loads that one and no other (engine rule 11).
 *
 * A stop often comes just when something broke. So a failover that is under way, or due, is let end
 * first: a primary that is dead or hung has nothing to say to a stop, and the copy beside it has
 * everything. And a primary that answers but cannot write its file (its folder is gone, its disk is
 * full) does not take the shard's data with it while a whole copy of it can write one.
 */
import { FILES } from '../../engine/index.ts';
import { needsWord } from '../plan/shard.ts';
import type { InstanceRecord, SavedFile, ShardRecord } from '../store/records.ts';
import { passing } from './failpoints.ts';
import {
  DECIDED_DEADLINE_MS,
  DECIDED_POLL_MS,
  EQUAL_DEADLINE_MS,
  FACTS_DEADLINE_MS,
  FENCE_DEADLINE_MS,
  PING_DEADLINE_MS,
  SAVE_DEADLINE_MS,
  VERB_DEADLINE_MS,
} from './limits.ts';
import { type DatabaseLoop, wantedOf } from './loop.ts';

export interface StopReport {
  readonly saved: number;
  readonly notes: readonly string[];
}

/** `wish` false: the user has no patience; processes end and their data with them. */
export async function stopDatabase(loop: DatabaseLoop, wish: boolean): Promise<StopReport> {
  const notes: string[] = [];
  let saved = 0;
  const database = loop.deps.store.databaseById(loop.id);
  // Deleted, and its loop has not turned since.
  if (database === null) return { saved, notes };
  // What is being deleted is not kept, and parts of it are gone.
  const save = wish && wantedOf(database) !== 'nothing';
  if (save) await decided(loop);
  if (save) await slotsInPlace(loop, notes);
  loop.freeze();
  // A step that is still running writes records of its own: they must not come after ours.
  if (wish) await loop.idle();
  await Promise.all(
    loop.shards().map(async (shard) => {
      const file = save ? await saveShard(loop, shard, notes) : null;
      if (file !== null) saved++;
      await passing('record-stop', () => recordStop(loop, shard, file));
    }),
  );
  await loop.stop();
  await passing('end-engines', () =>
    Promise.all(loop.instances().map((instance) => end(loop, instance, notes))),
  );
  return { saved, notes };
}

/** Resolves when each shard has a primary that answers, or gets none by waiting. */
async function decided(loop: DatabaseLoop): Promise<void> {
  const { clock } = loop.deps;
  const deadline = clock.ticks() + DECIDED_DEADLINE_MS;
  for (;;) {
    const open = await Promise.all(loop.shards().map((shard) => undecided(loop, shard)));
    if (!open.includes(true) || clock.ticks() > deadline) return;
    loop.wake();
    await clock.sleep(DECIDED_POLL_MS);
  }
}

/**
 * A file belongs to the slots that its shard owned when it was written. So a batch of slots that is on
 * its way arrives, or is taken back, before any file is; no other one is begun.
 */
async function slotsInPlace(loop: DatabaseLoop, notes: string[]): Promise<void> {
  const { clock } = loop.deps;
  loop.lastMove();
  const move = loop.database().scaling?.move;
  if (move == null) return;
  try {
    await loop.watch(move.sourceNode).link.cancelSlotMoves(VERB_DEADLINE_MS);
  } catch {
    // It ends by itself, or with its engine.
  }
  const deadline = clock.ticks() + DECIDED_DEADLINE_MS;
  while (loop.database().scaling?.move != null) {
    if (clock.ticks() > deadline) {
      notes.push(
        `Slots of ${loop.cluster().name} were on their way between shards ${move.source} and ${move.target} when it stopped; keys of these slots may be missing at the next start.`,
      );
      return;
    }
    loop.wake();
    await clock.sleep(DECIDED_POLL_MS);
  }
}

async function undecided(loop: DatabaseLoop, shard: ShardRecord): Promise<boolean> {
  if (shard.phase === 'promoting' || shard.phase === 'switching') return true;
  if (shard.phase !== 'serving' || shard.primary === null) return false;
  if (copiesOf(loop, shard, shard.primary).length === 0) return false;
  try {
    // Asked now: the last answer may be older than what stopped it.
    await loop.watch(shard.primary).link.ping(PING_DEADLINE_MS);
    return false;
  } catch {
    return true; // silent or gone: who serves instead is being decided
  }
}

/** Whole copies beside this one that answer. */
function copiesOf(loop: DatabaseLoop, shard: ShardRecord, besides: string): InstanceRecord[] {
  return loop
    .instances()
    .filter(
      (each) =>
        each.shard === shard.index &&
        each.id !== besides &&
        each.phase === 'running' &&
        each.synced &&
        loop.sighting(each.id)?.condition === 'answering',
    );
}

async function saveShard(
  loop: DatabaseLoop,
  shard: ShardRecord,
  notes: string[],
): Promise<SavedFile | null> {
  const { name } = loop.cluster();
  if (shard.phase === 'new' || shard.phase === 'leaving' || shard.primary === null) return null;
  if (shard.phase === 'down') return saveOlder(loop, shard, notes);
  if (shard.phase === 'promoting' || shard.phase === 'switching') {
    notes.push(`Shard ${shard.index} of ${name} was not saved: it had no primary just then.`);
    return null;
  }
  const primary = loop.instance(shard.primary);
  const copies = copiesOf(loop, shard, primary.id);
  try {
    const { link } = loop.watch(primary.id);
    await link.pauseWrites(SAVE_DEADLINE_MS, VERB_DEADLINE_MS);
    // A replica that is just syncing keeps a child of the primary busy, and the save waits for it.
    await endOthers(loop, shard, [primary, ...copies]);
    return await saveOn(loop, shard, primary);
  } catch (error) {
    for (const copy of copies) {
      const file = await saveOnCopy(loop, shard, primary, copy);
      if (file !== null) {
        notes.push(
          `Shard ${shard.index} of ${name} was saved by its replica: its primary could not (${text(error)}).`,
        );
        return file;
      }
    }
    notes.push(
      `Shard ${shard.index} of ${name} was not saved: ${text(error)}. Its next start is empty. The engine's reason: ${primary.dataDir}/${FILES.log}`,
    );
    return null;
  }
}

async function saveOn(
  loop: DatabaseLoop,
  shard: ShardRecord,
  instance: InstanceRecord,
): Promise<SavedFile> {
  await passing('save-file', () => loop.watch(instance.id).link.save(SAVE_DEADLINE_MS));
  const file = await loop.deps.node.dataFile(instance.dataDir);
  if (file === null) throw new Error('the engine wrote no file');
  return {
    instance: instance.id,
    epoch: shard.epoch,
    sha256: file.sha256,
    bytes: file.bytes,
    at: loop.deps.clock.now(),
  };
}

/** Null: it has not, or not provably, all that its paused primary holds. */
async function saveOnCopy(
  loop: DatabaseLoop,
  shard: ShardRecord,
  primary: InstanceRecord,
  copy: InstanceRecord,
): Promise<SavedFile | null> {
  const { clock } = loop.deps;
  try {
    const { link } = loop.watch(copy.id);
    const all = await loop.watch(primary.id).link.facts(FACTS_DEADLINE_MS);
    const deadline = clock.ticks() + EQUAL_DEADLINE_MS;
    for (;;) {
      const has = await link.facts(FACTS_DEADLINE_MS);
      if (has.role !== 'replica' || has.replicationId !== all.replicationId) return null;
      if (!has.syncing && has.offset >= all.offset) break;
      if (clock.ticks() > deadline) return null;
      await clock.sleep(DECIDED_POLL_MS);
    }
    return await saveOn(loop, shard, copy);
  } catch (error) {
    loop.deps.log('warn', 'a replica could not write the file of the stop', {
      instance: copy.id,
      error: text(error),
    });
    return null;
  }
}

/**
 * Nobody serves. The file of an earlier stop stays what it is; but where an older copy waits for the
 * user's word, this stop would end the only copy there is. So it is saved, and goes on to wait.
 */
async function saveOlder(
  loop: DatabaseLoop,
  shard: ShardRecord,
  notes: string[],
): Promise<SavedFile | null> {
  if (shard.saved !== null || shard.primary === null) return shard.saved;
  const [copy] = copiesOf(loop, shard, shard.primary).sort((a, b) => b.offset - a.offset);
  if (copy === undefined) return null;
  const { name } = loop.cluster();
  try {
    const file = await saveOn(loop, shard, copy);
    const message = `Shard ${shard.index} of ${name}: only an older copy was left; what the lost primary wrote last may be missing in it. It was saved, and serves after the next start when you say so: cinnabar failover ${name} --accept-data-loss`;
    notes.push(message);
    loop.deps.store.write(() =>
      loop.event('older-copy-saved', 'error', message, { shard: shard.index, instance: copy.id }),
    );
    return file;
  } catch (error) {
    notes.push(`The older copy of shard ${shard.index} of ${name} was not saved: ${text(error)}`);
    return null;
  }
}

async function endOthers(
  loop: DatabaseLoop,
  shard: ShardRecord,
  kept: readonly InstanceRecord[],
): Promise<void> {
  for (const each of loop.instances()) {
    if (each.shard !== shard.index || kept.some(({ id }) => id === each.id)) continue;
    if (each.process !== null) await loop.deps.node.kill(each.process, FENCE_DEADLINE_MS);
  }
}

function recordStop(loop: DatabaseLoop, shard: ShardRecord, saved: SavedFile | null): void {
  const { store, clock } = loop.deps;
  if (shard.phase === 'new' || shard.phase === 'leaving') return;
  store.write(() => {
    const now = store.shard(loop.id, shard.index);
    if (now === null) return;
    store.putShard({
      ...now,
      phase: 'down',
      // Whoever has the file starts first.
      primary: saved?.instance ?? now.successor ?? now.primary,
      successor: null,
      saved,
      // An older copy is no better for having been in a file: the user's word is asked for then, too.
      reason:
        saved !== null && needsWord(now)
          ? now.reason
          : {
              code: 'stopped',
              message: 'It was stopped in order; the next start brings it back.',
            },
      decidedAt: clock.ticks(),
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
    notes.push(text(error));
  }
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
