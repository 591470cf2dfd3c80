/**
 * Who is primary. Each change is committed before an engine hears of it, so that a control process
 * that comes after this one asks the same engine again and never a second one (engine rule 3).
 */
import type { EngineFacts } from '../../../engine/contract.ts';
import { NEVER_SERVED, stoppedUnsaved } from '../../plan/shard.ts';
import type { ShardRecord, StateReason } from '../../store/records.ts';
import { passing } from '../failpoints.ts';
import { isClustered } from '../launch.ts';
import { FACTS_DEADLINE_MS, VERB_DEADLINE_MS } from '../limits.ts';
import type { DatabaseLoop } from '../loop.ts';
import { STARTING_EMPTY } from '../problems.ts';
import { noteLag, noteLoss, notItsOwn, requireRoom } from './before-takeover.ts';
import { applySettings, endPause } from './converge.ts';
import { recallFunctions } from './functions.ts';
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
      requireRoom(loop, id);
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

function servesNow(loop: DatabaseLoop, id: string, clustered: boolean): boolean {
  const { condition, facts } = loop.watch(id).sighting();
  if (condition !== 'answering' || facts?.role !== 'primary') return false;
  return !clustered || facts.cluster?.state === 'ok';
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
    const applied = await applySettings(loop, id);
    if (before.reason.code === STARTING_EMPTY) await recallFunctions(loop, index, id);
    if (before.phase === 'down') await endPause(loop, id);
    loop.watch(id).configuredAt(applied);
  }
  // In a failover the answer for which it is crowned is a moment old; elsewhere things were done since.
  const seen = failover ? loop.watch(id).sighting().facts : null;
  const facts = seen ?? (await loop.watch(id).link.facts(FACTS_DEADLINE_MS));
  if (facts.role !== 'primary') throw new Error(`instance ${id} is not primary any more`);
  // Not flushed in a failover: clients wait. The event that says it is complete is. Nor for a shard that
  // holds nothing yet.
  const unflushed = failover || before.phase === 'new';
  const commit = (work: () => void) => (unflushed ? store.decide(work) : store.write(work));
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
