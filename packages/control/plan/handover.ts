/**
 * The planned switch: a replica takes over from a primary that lives, and no client loses anything
 * but a few milliseconds.
 *
 * The engine's own coordinated failover takes ten times as long, and its cheap parts lose writes when
 * their order is wrong: unpause the old primary before it has heard that it is one no more, and it
 * acknowledges what nobody keeps (engine rule 4). So there are two halves with the commit between.
 *
 * Before the commit (one step, `hand-over`) nothing has happened that time does not undo: clients are
 * held and writes paused, both with a deadline of their own. A control process that dies there leaves
 * the old primary serving, and the wish in the record.
 *
 * After the commit the successor may have been told. Whoever reads the record `switching` then asks
 * both engines and goes by what they say, and by the clock:
 *
 *   successor   old primary     then
 *   primary     replica, dead   finish
 *   primary     primary         cluster: it will hear of it; late, it is fenced.
 *                               standalone: nobody but us tells it. While its pause surely holds it is
 *                               told; later it may have taken writes that the successor lacks, and the
 *                               successor has none of its own: the switch is undone
 *   primary     without slots   it took its successor for another shard's, and deleted its data: fenced
 *   primary     mute            fenced when late: it may come back as a primary with writes waiting
 *   replica     primary         the same switch again; late, the successor is fenced and the old stays
 *   replica     replica         nobody serves: late, the successor is fenced, the store is the judge
 *   replica     dead            a failover like any other: the successor has to be fit
 *   mute        primary         the successor is fenced when late: it may come back and take over
 *   mute        replica         a hung primary: judged as one
 *   dead        primary         the old one stays
 *   dead        without slots   fenced: it has nothing, and what is left is judged as after two deaths
 *   dead        replica         the old one takes over again
 *   dead        mute            it may be the last copy: waited for
 *
 * When in doubt the successor is ended, never the primary: a replica costs a synchronisation.
 */
import type { EngineFacts } from '../../engine/contract.ts';
import type { InstanceRecord, StateReason } from '../store/records.ts';
import { fenceIfHung, type ShardContext } from './context.ts';
import {
  HANDOVER_DEADLINE_MS,
  HANDOVER_TRIES,
  SWITCH_LATE_MS,
  SWITCH_POLL_MS,
  SWITCH_REPEAT_MS,
  SWITCH_TELL_MS,
  WAIT_POLL_MS,
} from './limits.ts';
import type { Sighting } from './model.ts';
import { covers } from './slot-ranges.ts';
import { inMove } from './slots.ts';

/** A shard that serves, and of which a switch is wanted. */
export function planHandover(
  context: ShardContext,
  primary: InstanceRecord,
  primaryFacts: EngineFacts,
): void {
  const { view, shard, members, seen, act, wait } = context;
  const wish = shard.handover;
  if (wish === null) return;
  if (wish.to === primary.id) {
    return act({ kind: 'end-handover', shard: shard.index, problem: null });
  }
  const fit = members
    .filter((each) => each.id !== primary.id && (wish.to === null || each.id === wish.to))
    .map((each) => ({ each, not: unready(view.database.generation, each, seen, primaryFacts) }));
  // A primary that was told to go may still be given slots until it hears of it: the pause stops
  // clients, not another shard. Its successor would lack them. So neither begins during the other.
  const moving = inMove(view, shard);
  const choice = moving ? undefined : fit.find(({ not }) => not === null)?.each;
  const not = moving ? SLOTS_MOVING : (fit[0]?.not ?? NO_REPLICA);
  const why: StateReason | null = choice === undefined ? not : wish.problem;
  if (wish.tries >= HANDOVER_TRIES || view.now - wish.at > HANDOVER_DEADLINE_MS) {
    const problem = why ?? { code: 'handover-timed-out', message: 'It was not tried in time.' };
    return act({ kind: 'end-handover', shard: shard.index, problem });
  }
  if (choice === undefined) return wait(`handover-${why?.code ?? 'waits'}`);
  // Whoever saves a shard must find its primary: the wish stays, for the next start.
  if (view.stopping) return wait('stopping', null);
  if (view.now < wish.notBefore) return wait('handover-between-tries', wish.notBefore - view.now);
  act({ kind: 'hand-over', shard: shard.index, instance: choice.id });
}

const NO_REPLICA: StateReason = {
  code: 'no-replica',
  message: 'There is no replica that could take over.',
};

const SLOTS_MOVING: StateReason = {
  code: 'slots-moving',
  message: 'Slots are on their way to or from it; the switch follows when they have arrived.',
};

/** Why a replica cannot take over now; null when it can be tried. */
function unready(
  generation: number,
  replica: InstanceRecord,
  seen: (id: string) => Sighting,
  primary: EngineFacts,
): StateReason | null {
  const { condition, facts, configured } = seen(replica.id);
  if (replica.phase !== 'running' || condition !== 'answering' || facts === null) {
    return { code: 'replica-not-answering', message: 'Its replica does not answer.' };
  }
  const inSync =
    replica.synced &&
    facts.role === 'replica' &&
    !facts.syncing &&
    facts.link === 'up' &&
    facts.replicationId === primary.replicationId;
  if (!inSync) return { code: 'replica-not-in-sync', message: 'Its replica is not in sync.' };
  if (configured < generation) {
    return { code: 'replica-not-configured', message: 'Settings of its replica are under way.' };
  }
  return null;
}

/** The decision was committed; who serves is asked of both. See the table above. */
export function planSwitching(
  context: ShardContext,
  replaceDead: (context: ShardContext) => void,
): void {
  const { view, shard, members, clustered, seen, act, wait } = context;
  const old = members.find((each) => each.id === shard.primary);
  const next = members.find((each) => each.id === shard.successor);
  const age = view.now - shard.decidedAt;
  // What the old one said before the successor's end may have been overtaken by it.
  const since = Math.max(shard.decidedAt, next === undefined ? 0 : seen(next.id).endedAt);
  const late = view.now - SWITCH_LATE_MS;
  const [oldSays, nextSays] = [
    says(old, seen, since, late),
    says(next, seen, shard.decidedAt, late),
  ];
  const again = (reason: string): void =>
    wait(
      reason,
      SWITCH_POLL_MS,
      [old, next].flatMap((each) => (each?.phase === 'running' ? [each.id] : [])),
    );
  const finish = (): void => act({ kind: 'finish-handover', shard: shard.index });
  const undo = (reason: string): void => act({ kind: 'undo-handover', shard: shard.index, reason });
  const fence = (instance: InstanceRecord | undefined, reason: string): void => {
    if (instance === undefined || age < SWITCH_LATE_MS) again(reason);
    else act({ kind: 'fence', instance: instance.id, reason: 'switch' });
  };

  if (oldSays === 'primary' && old !== undefined && nextSays !== 'replica') {
    const { cluster } = seen(old.id).facts ?? {};
    if (cluster != null && !covers(cluster.slots, shard.slots)) {
      return act({ kind: 'fence', instance: old.id, reason: 'switch' });
    }
  }
  if (nextSays === 'dead') {
    if (oldSays === 'dead') return replaceDead(context);
    if (oldSays === 'primary') return undo('successor-died');
    if (oldSays !== 'replica' || old === undefined) return again('old-primary-not-asked');
    // It had taken over and died before anybody was sent there: the old one has all that it had.
    return act({ kind: 'promote', shard: shard.index, instance: old.id });
  }
  if (oldSays === 'dead') {
    if (nextSays === 'primary') return finish();
    return replaceDead(context);
  }
  if (nextSays === 'unknown' || (oldSays === 'unknown' && nextSays !== 'mute')) {
    return again('switch-not-asked');
  }
  if (nextSays === 'mute') {
    if (oldSays === 'replica' && next !== undefined) {
      return fenceIfHung(context, next, seen(next.id));
    }
    return fence(next, 'successor-mute');
  }
  if (nextSays === 'primary') {
    if (oldSays === 'replica') return finish();
    if (oldSays === 'mute') return fence(old, 'old-primary-mute');
    if (clustered) return fence(old, 'old-primary-not-demoted');
    if (old !== undefined && next !== undefined && age < SWITCH_TELL_MS) {
      return act({ kind: 'follow', instance: old.id, primary: next.id });
    }
    return undo('old-primary-went-on');
  }
  if (oldSays === 'mute' && old !== undefined) return fenceIfHung(context, old, seen(old.id));
  if (oldSays === 'replica') return fence(next, 'switch-without-primary');
  const notBefore = shard.handover?.notBefore ?? 0;
  if (age < SWITCH_REPEAT_MS && next !== undefined && inLine(old, next, seen)) {
    if (view.now < notBefore) return wait('handover-between-tries', notBefore - view.now);
    return act({ kind: 'hand-over', shard: shard.index, instance: next.id });
  }
  fence(next, 'switch-not-repeatable');
}

type Word = 'primary' | 'replica' | 'mute' | 'unknown' | 'dead';

/**
 * What an engine says of itself; only what it said after that time counts. One that no connection was
 * got to for too long is as silent as one that does not answer on one.
 */
function says(
  instance: InstanceRecord | undefined,
  seen: (id: string) => Sighting,
  since: number,
  late: number,
): Word {
  if (instance === undefined || instance.phase === 'dead' || instance.phase === 'planned') {
    return 'dead';
  }
  const sight = seen(instance.id);
  if (sight.process === 'gone') return 'unknown'; // its end is recorded first
  if (sight.condition === 'mute' || sight.condition === 'script') return 'mute';
  if (sight.condition === 'unknown' && sight.since < late) return 'mute';
  if (sight.condition !== 'answering' || sight.facts === null) return 'unknown';
  return sight.factsAt > since ? sight.facts.role : 'unknown';
}

function inLine(
  old: InstanceRecord | undefined,
  next: InstanceRecord,
  seen: (id: string) => Sighting,
): boolean {
  const [a, b] = [old === undefined ? null : seen(old.id).facts, seen(next.id).facts];
  if (a === null || b === null) return false;
  return b.link === 'up' && !b.syncing && a.replicationId === b.replicationId;
}

/** How soon a switch that did not come about is tried again. */
export function nextTryMs(tries: number): number {
  return WAIT_POLL_MS * 2 ** tries;
}
