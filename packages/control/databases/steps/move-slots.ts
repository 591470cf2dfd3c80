/**
 * Batches of slots. Each is committed before its source hears of it and ends by what the engines say
 * afterwards, so a control process that comes after this one finds what was asked and looks what
 * became of it. Asking twice is harmless: an engine refuses a slot that is on its way already.
 */
import type { SlotRange } from '../../../engine/contract.ts';
import { counted } from '../../counted.ts';
import { backOff, nextPace } from '../../plan/pace.ts';
import { countSlots, normal, subtract, union } from '../../plan/slot-ranges.ts';
import type { Scaling, SlotMove } from '../../store/records.ts';
import { FACTS_DEADLINE_MS, VERB_DEADLINE_MS } from '../limits.ts';
import type { DatabaseLoop } from '../loop.ts';

export async function beginMove(
  loop: DatabaseLoop,
  asked: Pick<SlotMove, 'source' | 'target' | 'ranges' | 'keys'>,
): Promise<void> {
  const { store, clock } = loop.deps;
  const move = store.write((): SlotMove | null => {
    loop.lease();
    const { sourceNode, targetNode } = nodesOf(loop, asked);
    const scaling = loop.database().scaling;
    if (scaling === null || scaling.move !== null) return null;
    const begun = {
      source: asked.source,
      target: asked.target,
      ranges: asked.ranges,
      keys: asked.keys,
      sourceNode,
      targetNode,
      askedAt: clock.now(),
      askedTicks: clock.ticks(),
    };
    put(loop, { ...scaling, move: begun });
    return begun;
  });
  if (move === null) return;
  const { link } = loop.watch(move.sourceNode);
  await link.moveSlots(move.ranges, move.targetNode, VERB_DEADLINE_MS);
}

function nodesOf(
  loop: DatabaseLoop,
  { source, target }: Pick<SlotMove, 'source' | 'target'>,
): { sourceNode: string; targetNode: string } {
  const [from, to] = [loop.shard(source), loop.shard(target)];
  const serving = from.phase === 'serving' && to.phase === 'serving';
  if (!serving || from.primary === null || to.primary === null || to.membership !== 'member') {
    throw new Error(`slots cannot move from shard ${source} to shard ${target} now`);
  }
  return { sourceNode: from.primary, targetNode: to.primary };
}

/** Commits where the batch is. The endpoint follows the owner as soon as it is known. */
export async function endMove(loop: DatabaseLoop, moved: boolean, reason: string): Promise<void> {
  const { store, clock } = loop.deps;
  const sighting = loop.moveSighting();
  const epoch = moved ? await epochOfTarget(loop) : 0;
  if (moved && reason === 'primary-changed') await dropLeftovers(loop);
  store.write(() => {
    loop.lease();
    const scaling = loop.database().scaling;
    const move = scaling?.move;
    if (scaling === null || move == null) return;
    const { pauseMs = 0, handOverMs = 0 } = sighting ?? {};
    const slots = countSlots(move.ranges);
    if (!moved) {
      const failures = scaling.trouble === null ? 1 : scaling.failures + 1;
      const code = `slot-move-${reason}`;
      const message = `A batch of ${slots} slots did not move (${reason}${sighting?.message ? `: ${sighting.message}` : ''}); it is tried again.`;
      put(loop, {
        ...scaling,
        move: null,
        failures,
        trouble: { code, message },
        notBefore: clock.ticks() + backOff(failures),
      });
      loop.event(code, 'warning', message, { shard: move.source });
      return;
    }
    giveSlots(loop, move, epoch);
    put(loop, {
      ...scaling,
      move: null,
      failures: 0,
      trouble: null,
      notBefore: 0,
      batches: scaling.batches + 1,
      ...nextPace(scaling, move.keys, handOverMs),
      movedSlots: scaling.movedSlots + slots,
      movedKeys: scaling.movedKeys + move.keys,
      longestPauseMs: Math.max(scaling.longestPauseMs, pauseMs),
    });
  });
  if (moved) loop.deps.publish(loop.id);
}

/**
 * A source that hears of the new owner deletes what was in the slots. Its successor has heard before it took
 * over, as a replica, and deleted nothing: keys that nobody reaches would come back with their slots, and a
 * shard that has keys is not removed. Before the record of the move goes, so a crash here repeats it.
 */
async function dropLeftovers(loop: DatabaseLoop): Promise<void> {
  const move = loop.database().scaling?.move;
  if (move == null) return;
  const { phase, primary } = loop.shard(move.source);
  if (phase !== 'serving' || primary === null || primary === move.sourceNode) return;
  const { link } = loop.watch(primary);
  const { cluster } = await link.facts(FACTS_DEADLINE_MS);
  await link.flushSlots(subtract(move.ranges, cluster?.slots ?? []), FACTS_DEADLINE_MS);
}

/** Its epoch grew with the slots: whoever starts later has to be told a newer one. */
async function epochOfTarget(loop: DatabaseLoop): Promise<number> {
  const target = loop.database().scaling?.move?.target;
  const primary = target === undefined ? null : loop.shard(target).primary;
  if (primary === null) return 0;
  const facts = loop.watch(primary).sighting().facts;
  return facts?.cluster?.epoch ?? 0;
}

function giveSlots(loop: DatabaseLoop, move: SlotMove, epoch: number): void {
  const { store } = loop.deps;
  const [source, target] = [loop.shard(move.source), loop.shard(move.target)];
  store.putShard({
    ...source,
    slots: subtract(source.slots, move.ranges),
    keysByBatches: Math.max(0, (source.keysByBatches ?? 0) - move.keys),
  });
  store.putShard({
    ...target,
    slots: union(target.slots, move.ranges),
    keysByBatches: (target.keysByBatches ?? 0) + move.keys,
    configEpoch: Math.max(target.configEpoch, epoch),
  });
}

/** It has waited for the engine's one child process for too long. */
export async function cancelMove(loop: DatabaseLoop): Promise<void> {
  const move = loop.database().scaling?.move;
  if (move == null) return;
  await loop.watch(move.sourceNode).link.cancelSlotMoves(VERB_DEADLINE_MS);
  loop.tell(
    'slot-move-canceled',
    'warning',
    'A batch of slots waited too long for a snapshot or a replica of its shard; it is tried again.',
    { shard: move.source },
  );
}

/** What all primaries say is so, where a move ended after we had given it up. */
export async function noteSlots(
  loop: DatabaseLoop,
  slots: readonly { readonly shard: number; readonly ranges: readonly SlotRange[] }[],
): Promise<void> {
  const { store } = loop.deps;
  store.write(() => {
    if (loop.database().scaling?.move != null) return;
    for (const { shard, ranges } of slots) {
      store.putShard({ ...loop.shard(shard), slots: normal(ranges) });
    }
    loop.event(
      'slots-noted',
      'warning',
      'The engines own other slots than the records said: the records are put right.',
    );
  });
  loop.deps.publish(loop.id);
}

/**
 * Nobody has them: their owner died in the moment of the hand-over, and its successor had not heard of them
 * yet; or, while nothing moves, their recorded owner has lost them. Asked of the engines once more: an answer
 * from before a change of roles may be a moment old, and slots that somebody has are never taken.
 */
export async function claimSlots(
  loop: DatabaseLoop,
  index: number,
  ranges: readonly SlotRange[],
): Promise<void> {
  const { primary } = loop.shard(index);
  const serving = loop.shards().filter((shard) => shard.phase === 'serving');
  const facts = await Promise.all(
    serving.map((shard) => loop.watch(shard.primary ?? '').link.facts(FACTS_DEADLINE_MS)),
  );
  const owned = facts.flatMap(({ role, cluster }) =>
    role === 'primary' ? (cluster?.slots ?? []) : [],
  );
  const nobodys = subtract(ranges, normal(owned));
  if (nobodys.length > 0) {
    await loop.watch(primary ?? '').link.claimSlots(nobodys, FACTS_DEADLINE_MS);
    const count = countSlots(nobodys);
    const message =
      loop.database().scaling === null
        ? `Shard ${index} had lost ${count} slots that are recorded as its own, and nobody else had them: it has them again. Keys of these slots may be lost.`
        : `Shard ${index} took ${count} slots whose owner died as they were handed to it; keys of these slots may be lost.`;
    loop.tell('slots-claimed', 'error', message, { shard: index, data: { ranges: nobodys } });
  }
  await Promise.all(serving.map((shard) => loop.watch(shard.primary ?? '').refresh()));
}

/** Every slot is in its place: memory is shared out anew, and what waited for it may end. */
export async function endScaling(loop: DatabaseLoop): Promise<void> {
  const { store } = loop.deps;
  store.write(() => {
    const database = loop.database();
    if (database.scaling === null || database.scaling.move !== null) return;
    const { batches, movedSlots, movedKeys, longestPauseMs, startedAt } = database.scaling;
    store.putDatabase({ ...database, scaling: null });
    const tookMs = loop.deps.clock.now() - startedAt;
    loop.event(
      'scaled',
      'info',
      `${counted(database.sizing.shards, 'shard')}: ${counted(movedSlots, 'slot')} with about ${counted(movedKeys, 'key')} moved in ${counted(batches, 'batch', 'batches')}; a shard took no writes for at most ${longestPauseMs.toFixed(1)} ms at a time.`,
      { data: { batches, movedSlots, movedKeys, longestPauseMs, tookMs } },
    );
  });
  loop.reconfigure();
}

function put(loop: DatabaseLoop, scaling: Scaling): void {
  loop.deps.store.putDatabase({ ...loop.database(), scaling });
}
