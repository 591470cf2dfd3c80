/**
 * One shard, by its phase. The order of the questions is the safety of the thing: first what is
 * dead, then who may be primary, and only when a primary answers does anything else happen.
 */
import type { InstanceRecord, ShardRecord } from '../store/records.ts';
import { isInOrder } from './arrange.ts';
import { type Candidates, candidates, fitness } from './candidate.ts';
import { fenceIfHung, type ShardContext, startWhenDue } from './context.ts';
import { planHandover, planSwitching } from './handover.ts';
import { BOOT_GRACE_MS, DRAIN_POLL_MS, STRAY_GRACE_MS, WAIT_POLL_MS } from './limits.ts';
import { replicasWanted } from './maintenance.ts';
import { type Action, type Sighting, UNSEEN, type View, type Wait } from './model.ts';
import { planReplica } from './replica.ts';
import { covers, subtract } from './slot-ranges.ts';
import { inMove } from './slots.ts';

/** A shard that gives up for this reason held no data yet: it is new again. */
export const NEVER_SERVED = 'never-served';
/** What is left alive may lack acknowledged writes: only the user may let it serve. */
export const ONLY_OLDER_COPY = 'only-older-copy';

/** Nothing goes on with it before the user's word, however long it is waited for. */
export function needsWord(shard: ShardRecord): boolean {
  return shard.phase === 'down' && shard.reason.code === ONLY_OLDER_COPY;
}

export interface ShardPlan {
  readonly actions: Action[];
  readonly waits: Wait[];
}

export function planShard(view: View, shard: ShardRecord): ShardPlan {
  const actions: Action[] = [];
  const waits: Wait[] = [];
  const context: ShardContext = {
    view,
    shard,
    members: view.instances.filter((i) => i.shard === shard.index),
    clustered: view.database.settings.policy !== 'NoCluster',
    seen: (id) => view.seen.get(id) ?? UNSEEN,
    act: (action) => actions.push(action),
    wait: (reason, recheckMs = WAIT_POLL_MS, refresh = [], draining = false) =>
      waits.push({ reason, shard: shard.index, recheckMs, refresh, draining }),
  };
  fenceTheDead(context);
  if (actions.length === 0) {
    if (shard.phase === 'new') planNew(context);
    else if (shard.phase === 'promoting') planPromoting(context);
    else if (shard.phase === 'switching') planSwitching(context, replaceDead);
    else if (shard.phase === 'serving') planServing(context);
    else if (shard.phase === 'leaving') planLeaving(context);
    else planDown(context);
  }
  return { actions, waits };
}

/** A process that ended is recorded dead before anything else is asked: also by its fence. */
function fenceTheDead({ members, seen, act }: ShardContext): void {
  for (const instance of members) {
    if (instance.phase === 'running' && seen(instance.id).process === 'gone') {
      act({ kind: 'fence', instance: instance.id, reason: 'died' });
    }
  }
}

/**
 * A new shard never held data, which allows what is forbidden later: TAKEOVER on an empty replica.
 * A primary that boots refuses commands for 2 s, a replica does not (engine rule 14).
 */
function planNew(context: ShardContext): void {
  const { shard, members, clustered, seen, act, wait } = context;
  for (const instance of members) startWhenDue(context, instance, instance.start);
  const first = members.find((i) => i.start === (clustered ? 'first-replica' : 'first-primary'));
  // All of them: one that is still being started as first must not find the shard decided.
  if (first === undefined || members.some((i) => i.phase !== 'running')) return wait('starting');
  const sight = seen(first.id);
  if (sight.condition !== 'answering' || sight.facts === null) return wait('starting');
  act({ kind: 'promote', shard: shard.index, instance: first.id });
}

function planPromoting(context: ShardContext): void {
  const { shard, members, clustered, seen, act, wait } = context;
  const successor = members.find((i) => i.id === shard.successor);
  if (successor === undefined || successor.phase !== 'running') return replaceDead(context);
  const sight = seen(successor.id);
  if (sight.condition === 'mute' || sight.condition === 'script') {
    // It may be the last copy there is: then it is waited for, however long.
    if (!wholeCopyBeside(context, successor)) return wait('mute-without-copy');
    return fenceIfHung(context, successor, sight);
  }
  if (sight.condition !== 'answering' || sight.facts === null) return wait('successor-not-asked');
  const facts = sight.facts;
  if (facts.role !== 'primary') {
    return act({ kind: 'promote', shard: shard.index, instance: successor.id });
  }
  if (clustered && facts.cluster?.state !== 'ok' && facts.cluster?.slots.length === 0) {
    return wait('successor-without-slots', DRAIN_POLL_MS, [successor.id]);
  }
  act({ kind: 'crown', shard: shard.index, instance: successor.id });
}

function planServing(context: ShardContext): void {
  const { shard, members, seen, act, wait, clustered } = context;
  const primary = members.find((i) => i.id === shard.primary);
  const voted = clustered ? votedPrimary(context) : undefined;
  if (primary === undefined || primary.phase !== 'running') {
    if (voted !== undefined) {
      return act({ kind: 'adopt', shard: shard.index, instance: voted.id });
    }
    return replaceDead(context);
  }
  const sight = seen(primary.id);
  if (sight.condition === 'mute' || sight.condition === 'script') {
    if (!wholeCopyBeside(context, primary, true)) return wait('mute-without-copy');
    return fenceIfHung(context, primary, sight, sinceDeadlineFailover(context));
  }
  if (sight.condition === 'unknown' || sight.facts === null) return wait('primary-not-asked');
  if (sight.condition === 'loading') return wait('primary-loading');
  if (sight.facts.role !== 'primary') {
    if (voted !== undefined) {
      return act({ kind: 'adopt', shard: shard.index, instance: voted.id });
    }
    // Standalone has no epoch: the store is the judge, and it says this one is primary.
    if (!clustered) return act({ kind: 'promote', shard: shard.index, instance: primary.id });
    if (mayLeadAgain(context, primary, sight)) {
      return act({ kind: 'promote', shard: shard.index, instance: primary.id });
    }
    return wait(
      'primary-demoted',
      WAIT_POLL_MS,
      members.map((i) => i.id),
    );
  }
  const wanted = replicasWanted(context.view, shard);
  const surplus = beyond(context, wanted, members, primary);
  for (const instance of members) {
    if (surplus.has(instance.id)) act({ kind: 'dismiss', instance: instance.id });
    else if (instance.id !== primary.id) planReplica(context, primary, sight.facts, instance);
  }
  const staying = members.filter((i) => i.phase !== 'leaving').length;
  if (staying < 1 + wanted) return act({ kind: 'add-replica', shard: shard.index });
  planHandover(context, primary, sight.facts);
}

/**
 * Replicas that are not wanted: those first that hold no whole copy, or are just making another one, then those
 * whose keys lie in no order (`arrange.ts`).
 */
function beyond(
  { seen }: ShardContext,
  wanted: number,
  members: readonly InstanceRecord[],
  primary: InstanceRecord,
): ReadonlySet<string> {
  const replicas = members.filter((i) => i.id !== primary.id && i.phase !== 'leaving');
  const worth = (i: InstanceRecord) =>
    (i.synced ? 8 : 0) +
    (i.phase === 'running' ? 4 : 0) +
    (seen(i.id).facts?.link === 'up' ? 2 : 0) +
    (isInOrder(seen(i.id).facts) ? 1 : 0);
  const best = [...replicas].sort((a, b) => worth(b) - worth(a));
  return new Set(best.slice(wanted).map((i) => i.id));
}

/**
 * A successor that died told the cluster of itself before: the primary obeys somebody who is gone.
 * Nobody else can be primary, and it still is of the shard's own history: it leads again.
 */
function mayLeadAgain(
  { shard, members, seen }: ShardContext,
  primary: InstanceRecord,
  sight: Sighting,
): boolean {
  const others = members.filter((each) => each.id !== primary.id);
  const harmless = others.every((each) => {
    const facts = seen(each.id).facts;
    if (each.phase === 'dead' || each.phase === 'planned') return true;
    return seen(each.id).condition === 'answering' && facts?.role === 'replica';
  });
  const diedAt = Math.max(0, ...others.map((each) => seen(each.id).endedAt));
  return harmless && fitness(shard, primary, sight, diedAt).fit;
}

/** Empty and not wanted: the endpoint lets go of it, then its engines and their files go. */
function planLeaving({ view, shard, members, act, wait }: ShardContext): void {
  if (!view.published) return wait('endpoint-not-told', null);
  for (const instance of members) {
    if (instance.phase === 'leaving') act({ kind: 'remove', instance: instance.id });
    else act({ kind: 'dismiss', instance: instance.id });
  }
  if (members.length === 0) act({ kind: 'remove-shard', shard: shard.index });
}

/** One that the engines elected while nobody looked: it has a newer epoch and the shard's slots. */
function votedPrimary({ view, shard, members, seen }: ShardContext): InstanceRecord | undefined {
  if (shard.slots.length === 0) return undefined;
  // A batch on its way out may have arrived.
  const move = view.database.scaling?.move;
  const slots = subtract(shard.slots, move?.source === shard.index ? move.ranges : []);
  return members.find((instance) => {
    const sight = seen(instance.id);
    if (instance.id === shard.primary || sight.condition !== 'answering') return false;
    const facts = sight.facts;
    if (facts === null || facts.role !== 'primary' || facts.cluster === null) return false;
    return facts.cluster.epoch > shard.configEpoch && covers(facts.cluster.slots, slots);
  });
}

/** Of those beside the dead primary (or successor): who may be next. */
function survivors({ shard, members, seen }: ShardContext): Candidates {
  // In a planned switch the successor is a replica like another until it says that it is primary.
  const dead = (i: InstanceRecord) =>
    i.id === shard.primary || (i.id === shard.successor && shard.phase !== 'switching');
  const others = members.filter((i) => !dead(i) && i.phase !== 'leaving');
  const diedAt = Math.max(0, ...members.filter(dead).map((i) => seen(i.id).endedAt));
  return candidates(shard, others, seen, diedAt);
}

/** The primary (or a successor) is known to be dead. */
function replaceDead(context: ShardContext): void {
  const { shard, members, seen, act, wait } = context;
  const choice = survivors(context);
  if (choice.best !== null) {
    return act({ kind: 'promote', shard: shard.index, instance: choice.best.id });
  }
  if (choice.soon.length > 0) {
    const draining =
      choice.reasons.includes('stream-not-read-to-end') ||
      choice.reasons.includes('not-asked-since');
    return wait(
      choice.reasons[0] ?? 'no-candidate',
      draining ? DRAIN_POLL_MS : WAIT_POLL_MS,
      choice.soon.map((i) => i.id),
      draining,
    );
  }
  // One that was on its way out may hold the last copy: then it stays.
  const leaving = members.filter(
    (i) => i.phase === 'leaving' && i.process !== null && seen(i.id).process !== 'gone',
  );
  if (leaving.length > 0 && shard.primary !== null) {
    for (const each of leaving) act({ kind: 'keep', instance: each.id });
    return;
  }
  if (shard.primary === null) {
    return act({
      kind: 'give-up',
      shard: shard.index,
      code: NEVER_SERVED,
      message: 'Its first primary died before it served. It is made again.',
    });
  }
  const older = choice.older.length > 0;
  act({
    kind: 'give-up',
    shard: shard.index,
    code: older ? ONLY_OLDER_COPY : 'no-copy-left',
    message: older
      ? `The primary died and the copy that is left is not provably the last one (${choice.reasons.join(', ')}). Nothing is promoted by itself: "cinnabar failover <cache> --accept-data-loss" lets it serve.`
      : NO_COPY_LEFT,
  });
}

const NO_COPY_LEFT =
  'The primary died and no whole copy is left. It starts again with what was persisted.';

/**
 * A deadline never takes the last copy: without a replica in sync a mute primary is waited for.
 * `connected`: one that lost its link to it before lacks what was written since.
 */
function wholeCopyBeside(
  { members, seen }: ShardContext,
  primary: InstanceRecord,
  connected = false,
): boolean {
  return members.some((other) => {
    const sight = seen(other.id);
    const lives = other.phase === 'running' && sight.process !== 'gone';
    const { facts } = sight;
    const replica = sight.condition === 'answering' && facts?.role === 'replica';
    const follows = !connected || facts?.link === 'up';
    return other.id !== primary.id && other.synced && lives && replica && follows;
  });
}

/** Null: it never did. Recorded by a process with another clock it may be wrong, but never endless. */
function sinceDeadlineFailover({ view, shard }: ShardContext): number | null {
  return shard.deadlineAt === undefined ? null : Math.abs(view.now - shard.deadlineAt);
}

/**
 * Nobody may serve. After an orderly stop, or when no copy is left in memory, the recorded primary
 * starts alone with what the store calls current; the others follow once it serves. An older copy
 * that is still alive is worth more than an empty start: that choice is the user's.
 */
function planDown(context: ShardContext): void {
  const { view, shard, members, clustered, seen, act, wait } = context;
  // While nobody was here the engines may have elected one of their own.
  const voted = clustered ? votedPrimary(context) : undefined;
  if (voted !== undefined) return act({ kind: 'adopt', shard: shard.index, instance: voted.id });
  if (shard.reason.code === ONLY_OLDER_COPY) {
    // In a file since the last stop: it is as old as it was, and waits for the same word.
    if (shard.saved !== null && shard.lossAccepted === null) return wait(ONLY_OLDER_COPY, null);
    if (shard.saved === null && members.some((i) => i.phase === 'running')) {
      return planOlderCopy(context);
    }
  }
  const primary = members.find((i) => i.id === shard.primary);
  if (primary === undefined) return wait('no-primary-recorded', null);
  if (primary.phase !== 'running') {
    // It would claim slots that the other end may own by now, and be believed.
    if (inMove(view, shard)) return wait('move-not-settled');
    if (stoppedUnsaved(shard) && leftByStop(context)) return;
    startWhenDue(context, primary, 'cold');
    return wait('cold-start');
  }
  const sight = seen(primary.id);
  if (sight.condition === 'mute' || sight.condition === 'script') {
    // What it loaded may not be in a file any more.
    if (shard.saved !== null) return wait('mute-without-copy');
    return fenceIfHung(context, primary, sight);
  }
  if (sight.condition !== 'answering' || sight.facts === null) return wait('cold-start');
  const facts = sight.facts;
  if (facts.loading) return wait('loading');
  if (facts.role !== 'primary') {
    // Somebody who is gone by now demoted it; only a new start makes it primary again.
    if (view.now - sight.since > STRAY_GRACE_MS) {
      return act({ kind: 'fence', instance: primary.id, reason: 'stray' });
    }
    return wait('cold-primary-demoted', WAIT_POLL_MS, [primary.id]);
  }
  if (facts.cluster !== null && facts.cluster.state !== 'ok') {
    // A primary that boots refuses commands for two seconds; other shards may be down for longer.
    if (bootedLongAgo(context, sight))
      act({ kind: 'crown', shard: shard.index, instance: primary.id });
    else wait('primary-booting', WAIT_POLL_MS, [primary.id]);
    return;
  }
  act({ kind: 'crown', shard: shard.index, instance: primary.id });
}

/** By an orderly stop that could not write its data to a file. */
export function stoppedUnsaved({ phase, reason, saved }: ShardRecord): boolean {
  return phase === 'down' && reason.code === 'stopped' && saved === null;
}

/**
 * A stop had nothing to save of this shard, its primary had just died, and was broken off itself: a
 * whole copy may live on that nobody has ended. True: it serves, or its answer is waited for.
 */
function leftByStop(context: ShardContext): boolean {
  const { shard, act, wait } = context;
  const { best, soon, reasons } = survivors(context);
  if (best !== null) act({ kind: 'promote', shard: shard.index, instance: best.id });
  else if (soon.length > 0) {
    const asked = soon.map((i) => i.id);
    wait(reasons[0] ?? 'no-candidate', WAIT_POLL_MS, asked);
  }
  return best !== null || soon.length > 0;
}

/**
 * The user's word counts for whatever is best when it is used: the copy that was left when the shard
 * gave up may be dead by then. When no copy at all is left alive there is nothing to choose.
 */
function planOlderCopy(context: ShardContext): void {
  const { shard, act, wait } = context;
  const { best, older, soon } = survivors(context);
  if (best === null && older.length === 0 && soon.length === 0) {
    return act({
      kind: 'give-up',
      shard: shard.index,
      code: 'no-copy-left',
      message: NO_COPY_LEFT,
    });
  }
  // Waits for the user also when a later look calls the copy fit: the first one had a reason.
  if (shard.lossAccepted === null) return wait(ONLY_OLDER_COPY, null);
  const choice = best ?? older[0];
  if (choice !== undefined) {
    return act({ kind: 'promote', shard: shard.index, instance: choice.id });
  }
  wait(
    'older-copy-not-ready',
    WAIT_POLL_MS,
    soon.map((i) => i.id),
  );
}

function bootedLongAgo({ view }: ShardContext, sight: Sighting): boolean {
  return view.now - sight.since > BOOT_GRACE_MS;
}
