/**
 * The file of one shard at an orderly stop, and what is to become of its engines.
 *
 * Nothing ends here but copies that are not whole. A shard whose data could not be written, while a
 * process lives that may hold it, is `held`: whoever ended that process would lose it.
 */
import { FILES } from '../../engine/index.ts';
import { formatBytes } from '../catalog/miniature.ts';
import { needsWord, stoppedUnsaved } from '../plan/shard.ts';
import type { InstanceRecord, SavedFile, ShardRecord } from '../store/records.ts';
import { passing } from './failpoints.ts';
import {
  DECIDED_POLL_MS,
  EQUAL_DEADLINE_MS,
  FACTS_DEADLINE_MS,
  FENCE_DEADLINE_MS,
  VERB_DEADLINE_MS,
} from './limits.ts';
import type { DatabaseLoop } from './loop.ts';
import type { SaveTurns } from './save-turns.ts';

export type Outcome =
  /** `fresh`: by this stop; else it is the file of an earlier one, which was not used up. */
  | { readonly kind: 'saved'; readonly file: SavedFile; readonly fresh: boolean }
  /** There is nothing to keep. */
  | { readonly kind: 'nothing' }
  /** There was, and it is gone; a note says so. */
  | { readonly kind: 'lost' }
  /** It was not saved, and its engines live. */
  | { readonly kind: 'held'; readonly why: string };

export const NOTHING: Outcome = { kind: 'nothing' };

export async function saveShard(
  loop: DatabaseLoop,
  shard: ShardRecord,
  turns: SaveTurns,
  notes: string[],
): Promise<Outcome> {
  const { name } = loop.cluster();
  if (shard.phase === 'new' || shard.phase === 'leaving' || shard.primary === null) return NOTHING;
  if (shard.phase === 'down') return saveOlder(loop, shard, turns, notes);
  const unsaved = (reason: string): Outcome => heldOrLost(loop, shard, reason, notes);
  if (shard.phase === 'promoting' || shard.phase === 'switching') {
    return unsaved('it had no primary just then');
  }
  const primary = loop.instance(shard.primary);
  const copies = copiesOf(loop, shard, primary.id);
  try {
    const { link } = loop.watch(primary.id);
    await link.pauseWrites(turns.pauseMs, VERB_DEADLINE_MS);
    // A replica that is just syncing keeps a child of the primary busy, and the save waits for it.
    await endOthers(loop, shard, [primary, ...copies]);
    return fresh(await saveOn(loop, shard, primary, turns));
  } catch (error) {
    for (const copy of copies) {
      const file = await saveOnCopy(loop, shard, primary, copy, turns);
      if (file !== null) {
        notes.push(
          `Shard ${shard.index} of ${name} was saved by its replica: its primary could not (${text(error)}).`,
        );
        return fresh(file);
      }
    }
    return unsaved(whyNot(loop, primary, error));
  }
}

/** What lives on has the data, whether or not it answers; where nothing does they are gone. */
function heldOrLost(
  loop: DatabaseLoop,
  shard: ShardRecord,
  reason: string,
  notes: string[],
): Outcome {
  if (lives(loop, shard)) {
    return { kind: 'held', why: `shard ${shard.index} could not be saved: ${reason}` };
  }
  const { name } = loop.cluster();
  notes.push(
    `Shard ${shard.index} of ${name} was not saved: ${reason}. Nothing of it is left running, so its next start is empty.`,
  );
  return { kind: 'lost' };
}

/** Whole copies beside this one that answer. */
export function copiesOf(
  loop: DatabaseLoop,
  shard: ShardRecord,
  besides: string,
): InstanceRecord[] {
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

/** Whether a process is there that may hold the shard's data, whether or not it answers or is recorded as whole. */
function lives(loop: DatabaseLoop, shard: ShardRecord, besides: string | null = null): boolean {
  return loop
    .instances()
    .some(
      (each) =>
        each.shard === shard.index &&
        each.id !== besides &&
        each.process !== null &&
        loop.deps.node.inspect(each.process).state !== 'gone',
    );
}

/** The engine says only that it failed: a disk without room for the file is told by its figures. */
function whyNot(loop: DatabaseLoop, primary: InstanceRecord, error: unknown): string {
  const needed = loop.sighting(primary.id)?.facts?.usedMemoryBytes ?? 0;
  const free = loop.deps.freeDisk();
  return free < needed
    ? `its file may take ${formatBytes(needed)}, and the disk of ${loop.deps.dataRoot} has ${formatBytes(free)} free`
    : `${text(error)} (the engine's reason: ${primary.dataDir}/${FILES.log})`;
}

function fresh(file: SavedFile): Outcome {
  return { kind: 'saved', file, fresh: true };
}

async function saveOn(
  loop: DatabaseLoop,
  shard: ShardRecord,
  instance: InstanceRecord,
  turns: SaveTurns,
): Promise<SavedFile> {
  await turns.take(() =>
    passing('save-file', () => loop.watch(instance.id).link.save(turns.deadlineMs)),
  );
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
  turns: SaveTurns,
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
    return await saveOn(loop, shard, copy, turns);
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
  turns: SaveTurns,
  notes: string[],
): Promise<Outcome> {
  if (shard.saved !== null) return { kind: 'saved', file: shard.saved, fresh: false };
  if (shard.primary === null) return NOTHING;
  const [copy] = copiesOf(loop, shard, shard.primary).sort((a, b) => b.offset - a.offset);
  if (copy === undefined) {
    const why = `the copy that is left of shard ${shard.index} does not answer`;
    const wanted = needsWord(shard) || stoppedUnsaved(shard);
    return wanted && lives(loop, shard, shard.primary) ? { kind: 'held', why } : NOTHING;
  }
  const { name } = loop.cluster();
  try {
    const file = await saveOn(loop, shard, copy, turns);
    const message = `Shard ${shard.index} of ${name}: only an older copy was left; what the lost primary wrote last may be missing in it. It was saved, and serves after the next start when you say so: cinnabar failover ${name} --accept-data-loss`;
    notes.push(message);
    loop.tell('older-copy-saved', 'error', message, { shard: shard.index, instance: copy.id });
    return fresh(file);
  } catch (error) {
    return heldOrLost(loop, shard, whyNot(loop, copy, error), notes);
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

export function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
