/**
 * Who is primary. Each change is committed before an engine hears of it, so that a control process
 * that comes after this one asks the same engine again and never a second one (engine rule 3).
 */
import type { ClusterFacts, EngineFacts, SlotRange } from '../../../engine/contract.ts';
import { NODES_POLL_MS } from '../../plan/limits.ts';
import { NEVER_SERVED, stoppedUnsaved } from '../../plan/shard.ts';
import { slotsOfOthers } from '../../plan/slot-owners.ts';
import type { Ranges } from '../../plan/slot-ranges.ts';
import type { ShardRecord, StateReason } from '../../store/records.ts';
import { passing } from '../failpoints.ts';
import { isClustered } from '../launch.ts';
import {
  FACTS_DEADLINE_MS,
  PING_DEADLINE_MS,
  TOLD_WITHIN_MS,
  VERB_DEADLINE_MS,
} from '../limits.ts';
import type { DatabaseLoop } from '../loop.ts';
import { STARTING_EMPTY } from '../problems.ts';
import { applySettings, endPause, meet } from './converge.ts';
import { letGoOn } from './succession.ts';

/** The reason of a promotion whose primary was ended because it did not answer. */
const AFTER_DEADLINE = 'promoting-after-deadline';

export async function promote(loop: DatabaseLoop, index: number, id: string): Promise<void> {
  const { store, clock } = loop.deps;
  const clustered = isClustered(loop.database());
  const before = loop.shard(index);
  const repeated = before.phase === 'promoting' && before.successor === id;
  if (!repeated) {
    loop.times.mark(index, 'drained');
    store.decide(() => {
      loop.lease();
      const shard = loop.shard(index);
      if (shard.phase === 'down' && !stoppedUnsaved(shard)) noteLoss(loop, shard, id);
      else noteLag(loop, shard, id);
      store.putShard({
        ...shard,
        phase: 'promoting',
        successor: id,
        epoch: shard.epoch + 1,
        reason: promotionReason(shard),
        lossAccepted: null,
        decidedAt: clock.ticks(),
      });
    });
  }
  loop.times.mark(index, 'decided');
  const { link } = loop.watch(id);
  // After a lost reply it may have happened already; a candidate was a replica a moment ago.
  const told = repeated && (await link.facts(FACTS_DEADLINE_MS)).role === 'primary';
  const without = told || !clustered ? [] : await notItsOwn(loop, index, id);
  // The order, and right behind it on the same connection the question what came of it.
  const order = told
    ? null
    : clustered
      ? link.takeover(VERB_DEADLINE_MS, without)
      : link.becomePrimary(VERB_DEADLINE_MS);
  await Promise.all([order, loop.watch(id).refresh()]);
  loop.times.mark(index, 'promoted');
  // What the plan would say next, without the way there.
  if (before.primary !== null && servesNow(loop, id, clustered)) {
    await passing('crown', () => crown(loop, index, id));
  }
}

/**
 * Looked up in what it said last; only when that is doubtful, it and the other end are asked anew. Of slots
 * that are settled it lets go, and needs nobody for that. Slots that have just arrived elsewhere may have
 * keys here, and a slot that is nobody's and has keys is taken by whoever becomes primary (seen: 9.1.2): so
 * their new owner introduces itself, until the replica has it from there.
 */
async function notItsOwn(loop: DatabaseLoop, index: number, id: string): Promise<SlotRange[]> {
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

/** Null: it does not answer; then it owns nothing that anybody could be sent to. */
function factsOf(loop: DatabaseLoop, id: string): Promise<EngineFacts | null> {
  return Promise.resolve()
    .then(() => loop.watch(id).link.facts(PING_DEADLINE_MS))
    .catch(() => null);
}

function servesNow(loop: DatabaseLoop, id: string, clustered: boolean): boolean {
  const { condition, facts } = loop.watch(id).sighting();
  if (condition !== 'answering' || facts?.role !== 'primary') return false;
  return !clustered || facts.cluster?.state === 'ok';
}

/** Bytes of the primary's stream, as last sampled, that a copy lacks; null: it is of another history. */
function lackOf(shard: ShardRecord, facts: EngineFacts | null): number | null {
  if (facts === null || facts.replicationId !== shard.replicationId) return null;
  return Math.max(0, shard.offset - facts.offset);
}

/** A copy that is not provably the last serves on the user's word only, and what it may lack is said. */
function noteLoss(loop: DatabaseLoop, shard: ShardRecord, id: string): void {
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
 * end: one whose link broke a while before the death lacks what was written since. Nobody has more, and
 * the primary's memory is gone, so it serves; but never in silence.
 */
function noteLag(loop: DatabaseLoop, shard: ShardRecord, id: string): void {
  const { facts } = loop.watch(id).sighting();
  const missingBytes = lackOf(shard, facts);
  if (facts === null || missingBytes === null || missingBytes === 0) return;
  loop.event(
    'replica-was-behind',
    'error',
    `Shard ${shard.index}: the replica that takes over had lost its link before the primary died. At least ${missingBytes} bytes of writes that no replica held are lost, and what came after the last sample. WAIT 1 tells a client that a replica holds its write.`,
    {
      shard: shard.index,
      instance: id,
      data: { offset: facts.offset, lastOffset: shard.offset, missingBytes },
    },
  );
}

function promotionReason(shard: ShardRecord): StateReason {
  if (shard.phase === 'new') return { code: 'electing', message: 'Its first primary takes over.' };
  if (stoppedUnsaved(shard)) {
    return { code: 'promoting', message: 'A stop was broken off; a whole copy was still alive.' };
  }
  if (shard.phase === 'down') {
    return { code: 'promoting-older-copy', message: 'The user let an older copy serve.' };
  }
  return shard.reason.code === 'fenced-by-deadline'
    ? { code: AFTER_DEADLINE, message: shard.reason.message }
    : { code: 'promoting', message: 'Its primary died; the replica takes over.' };
}

/** The successor says it is primary: settle it, let clients in, and record that it serves. */
export async function crown(loop: DatabaseLoop, index: number, id: string): Promise<void> {
  const { store, clock, node } = loop.deps;
  const before = loop.shard(index);
  const failover = before.phase === 'promoting' && before.primary !== null;
  // In a failover the new primary has its settings and users since it followed.
  if (!failover) {
    if (before.saved !== null) {
      const { dataDir } = loop.instance(id);
      await passing('consume-file', () => node.consumeDataFile(dataDir));
    }
    await applySettings(loop, id);
    if (before.phase === 'down') await endPause(loop, id);
  }
  // In a failover the answer for which it is crowned is a moment old; elsewhere things were done since.
  const seen = failover ? loop.watch(id).sighting().facts : null;
  const facts = seen ?? (await loop.watch(id).link.facts(FACTS_DEADLINE_MS));
  if (facts.role !== 'primary') throw new Error(`instance ${id} is not primary any more`);
  // Not flushed in a failover: clients wait. The event that says it is complete is.
  const commit = (work: () => void) => (failover ? store.decide(work) : store.write(work));
  commit(() => {
    const shard = loop.shard(index);
    store.putShard({
      ...serving(shard, id, facts),
      epoch: shard.phase === 'down' ? shard.epoch + 1 : shard.epoch,
      reason: crownedReason(shard.reason),
      dataLost:
        shard.reason.code === STARTING_EMPTY
          ? { at: clock.now(), message: shard.reason.message }
          : shard.dataLost,
      decidedAt: clock.ticks(),
      ...(shard.reason.code === AFTER_DEADLINE ? { deadlineAt: clock.ticks() } : {}),
    });
    noteStream(loop, id, facts);
    if (shard.phase === 'down' && shard.lossAccepted !== null) {
      const message = `Shard ${index}: the older copy that the last stop had saved serves on request of ${shard.lossAccepted.by}.`;
      loop.event('older-copy-promoted', 'error', message, { shard: index, instance: id });
    }
    if (failover) {
      const tookMs = Math.round(clock.ticks() - shard.decidedAt);
      loop.event('shard-promoted', 'warning', `The replica of shard ${index} is primary now.`, {
        shard: index,
        instance: id,
        data: { epoch: shard.epoch, tookMs },
      });
    }
  });
  loop.times.mark(index, 'served');
  if (failover) await letGoOn(loop, index, { node: id, reason: 'promoting' });
  loop.times.mark(index, 'published');
  loop.deps.publish(loop.id);
}

/** What a shard that serves goes on to say of how it came to. */
function crownedReason(before: StateReason): StateReason {
  const { code, message } = before;
  return code === AFTER_DEADLINE
    ? { code: 'failed-over-by-deadline', message }
    : { code: 'running', message: '' };
}

/** The engines elected one while no control process was there. */
export async function adopt(loop: DatabaseLoop, index: number, id: string): Promise<void> {
  const { store, clock } = loop.deps;
  const facts = await loop.watch(id).link.facts(FACTS_DEADLINE_MS);
  store.write(() => {
    loop.lease();
    const shard = loop.shard(index);
    if (facts.cluster === null || facts.cluster.epoch <= shard.configEpoch) return;
    store.putShard({
      ...serving(shard, id, facts),
      epoch: shard.epoch + 1,
      reason: { code: 'running', message: '' },
      decidedAt: clock.ticks(),
    });
    noteStream(loop, id, facts);
    loop.event(
      'vote-adopted',
      'warning',
      `The engines elected a primary for shard ${index} by themselves.`,
      {
        shard: index,
        instance: id,
        data: { configEpoch: facts.cluster.epoch },
      },
    );
  });
  loop.deps.publish(loop.id);
}

function serving(shard: ShardRecord, id: string, facts: EngineFacts): ShardRecord {
  return {
    ...shard,
    phase: 'serving',
    primary: id,
    successor: null,
    replicationId: facts.replicationId,
    offset: facts.offset,
    configEpoch: facts.cluster?.epoch ?? 0,
    saved: null,
    lossAccepted: null,
  };
}

function noteStream(loop: DatabaseLoop, id: string, facts: EngineFacts): void {
  loop.deps.store.putInstance({
    ...loop.instance(id),
    synced: true,
    replicationId: facts.replicationId,
    offset: facts.offset,
  });
}

export async function giveUp(
  loop: DatabaseLoop,
  index: number,
  code: string,
  message: string,
): Promise<void> {
  const { store, clock } = loop.deps;
  store.write(() => {
    const shard = loop.shard(index);
    const anew = code === NEVER_SERVED;
    store.putShard({
      ...shard,
      phase: anew ? 'new' : 'down',
      // A successor that was committed may have served: its files are the newer ones.
      primary: anew ? null : (shard.successor ?? shard.primary),
      successor: null,
      reason: { code, message },
      lossAccepted: null,
      decidedAt: clock.ticks(),
    });
    loop.event(code, 'error', `Shard ${index}: ${message}`, { shard: index });
  });
  loop.deps.publish(loop.id);
}
