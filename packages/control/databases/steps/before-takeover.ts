/**
 * What is asked and said before a replica takes over from a primary that died: which slots it would take
 * that are another shard's, and what it lacks.
 */
import type { ClusterFacts, EngineFacts, SlotRange } from '../../../engine/contract.ts';
import { ControlError } from '../../errors.ts';
import { NODES_POLL_MS } from '../../plan/limits.ts';
import { slotsOfOthers } from '../../plan/slot-owners.ts';
import type { Ranges } from '../../plan/slot-ranges.ts';
import type { ShardRecord } from '../../store/records.ts';
import { FACTS_DEADLINE_MS, PING_DEADLINE_MS, TOLD_WITHIN_MS } from '../limits.ts';
import type { DatabaseLoop } from '../loop.ts';
import { meet } from './converge.ts';

/**
 * Looked up in what it said last; only when that is doubtful, it and the other end are asked anew. Of slots
 * that are settled it lets go, and needs nobody for that. Slots that have just arrived elsewhere may have
 * keys here, and a slot that is nobody's and has keys is taken by whoever becomes primary (seen: 9.1.2): so
 * their new owner introduces itself, until the replica has it from there.
 */
export async function notItsOwn(
  loop: DatabaseLoop,
  index: number,
  id: string,
): Promise<SlotRange[]> {
  const { clock } = loop.deps;
  const watch = loop.watch(id);
  const move = loop.database().scaling?.move ?? null;
  const leaving = move !== null && move.source === index ? move : null;
  const believed = (cluster: ClusterFacts, targetOwns: Ranges) =>
    slotsOfOthers(cluster, index, loop.shards(), move, targetOwns);
  const last = watch.sighting().facts?.cluster ?? null;
  if (leaving === null && (last === null || believed(last, []).settled.length === 0)) return [];
  const deadline = clock.ticks() + TOLD_WITHIN_MS;
  for (;;) {
    const [{ cluster }, target] = await Promise.all([
      watch.link.facts(FACTS_DEADLINE_MS),
      leaving === null ? null : factsOf(loop, leaving.targetNode),
    ]);
    if (cluster === null) return [];
    const { settled, arriving } = believed(cluster, target?.cluster?.slots ?? []);
    if (settled.length + arriving.length > 0) {
      const data = { shard: index, instance: id, settled, arriving };
      loop.deps.log('warn', 'a replica had not heard that slots had moved', data);
    }
    if (leaving === null || arriving.length === 0) return settled;
    if (clock.ticks() > deadline) {
      throw new Error(`instance ${id} has not heard within ${TOLD_WITHIN_MS} ms where slots went`);
    }
    await meet(loop, id, leaving.targetNode).catch(() => undefined);
    await clock.sleep(NODES_POLL_MS);
  }
}

/**
 * In the transaction of the decision. There are engines that end themselves when they cannot write down that they
 * are primary now, with what may be the last copy. Thrown as a full disk: then the reserve is used first.
 */
export function requireRoom(loop: DatabaseLoop, id: string): void {
  if (loop.deps.node.canWriteRole(loop.instance(id).dataDir)) return;
  throw new ControlError(
    'DiskFull',
    507,
    `The engine ${id} would end itself if it were to take over now: its folder has no space left.`,
  );
}

/** Null: it does not answer; then it owns nothing that anybody could be sent to. */
function factsOf(loop: DatabaseLoop, id: string): Promise<EngineFacts | null> {
  return Promise.resolve()
    .then(() => loop.watch(id).link.facts(PING_DEADLINE_MS))
    .catch(() => null);
}

/** Bytes of the primary's stream, as last sampled, that a copy lacks; null: it is of another history. */
function lackOf(shard: ShardRecord, facts: EngineFacts | null): number | null {
  if (facts === null || facts.replicationId !== shard.replicationId) return null;
  return Math.max(0, shard.offset - facts.offset);
}

/** A copy that is not provably the last serves on the user's word only, and what it may lack is said. */
export function noteLoss(loop: DatabaseLoop, shard: ShardRecord, id: string): void {
  const { lossAccepted } = shard;
  if (lossAccepted === null) {
    throw new Error(`shard ${shard.index} is down: nobody let ${id} serve`);
  }
  const facts = loop.watch(id).sighting().facts;
  const missing = lackOf(shard, facts);
  const lost =
    missing === null
      ? 'It is of another history: how much it lacks is not known.'
      : `At least ${missing} bytes of the last primary's stream (as last sampled) are lost, and what came after that sample.`;
  loop.event(
    'older-copy-promoted',
    'error',
    `Shard ${shard.index}: an older copy serves on request of ${lossAccepted.by}. ${lost}`,
    {
      shard: shard.index,
      instance: id,
      data: {
        acceptedAt: lossAccepted.at,
        offset: facts?.offset ?? null,
        lastOffset: shard.offset,
        missingBytes: missing,
      },
    },
  );
}

/**
 * A candidate proves that it read to the end of its stream, not that the stream reached its primary's
 * end: one whose link broke a while before the death, or was slow, lacks what was written since. Nobody
 * has more, and the primary's memory is gone, so it serves; but never in silence.
 */
export function noteLag(loop: DatabaseLoop, shard: ShardRecord, id: string): void {
  const { facts } = loop.watch(id).sighting();
  const missingBytes = lackOf(shard, facts);
  if (facts === null || missingBytes === null || missingBytes === 0) return;
  loop.event(
    'replica-was-behind',
    'error',
    `Shard ${shard.index}: the replica that takes over lacks at least ${missingBytes} bytes of what its primary had written when it was last asked: its link was down before the primary died, or could not keep up with the writes. What no replica held is lost. WAIT 1 tells a client that a replica holds its write.`,
    {
      shard: shard.index,
      instance: id,
      data: { offset: facts.offset, lastOffset: shard.offset, missingBytes },
    },
  );
}
