/**
 * Which slots go where, and when: the number of shards changes under load.
 *
 * The simple answer is a script: start shards, move the slots, remove shards. It fails at the first
 * process that dies between two lines of it, because the script knows where it was and not how
 * things are. So nothing here remembers a place in a script. Asked again after every event, this
 * function compares how many shards are wanted with which slots each is seen to own, and names the
 * one next thing: a shard that is missing, a shard that lacks the functions, one batch of slots, a
 * shard that is empty and not wanted. The way back is the same function with other figures.
 *
 * The dangerous moment is a batch under way: engines decide when it is handed over, and either end
 * may die at that moment. A batch is therefore committed before an engine hears of it, and ends only
 * by what the engines say afterwards, all primaries agreeing; "accepted" counts for nothing (engine
 * rule 24). Until then nobody starts cold from records that may name the wrong owner, and no copy is
 * made of an engine at either end, which has one place for a child process.
 */
import type { InstanceRecord, Scaling, ShardRecord, SlotMove } from '../store/records.ts';
import { isToBeArranged, planArrangement } from './arrange.ts';
import {
  MOVE_POLL_MS,
  MOVE_RETRY_MAX_MS,
  NODES_POLL_MS,
  SNAPSHOT_WAIT_MS,
  WAIT_POLL_MS,
} from './limits.ts';
import { type Action, ours, type Sighting, UNSEEN, type View, type Wait } from './model.ts';
import { slotsNow, whereIs } from './slot-owners.ts';
import {
  countSlots,
  covers,
  intersect,
  type Ranges,
  SLOTS,
  subtract,
  takeLast,
} from './slot-ranges.ts';

interface Context {
  readonly view: View;
  readonly actions: Action[];
  readonly waits: Wait[];
}

export function planSlots(view: View): { actions: Action[]; waits: Wait[] } {
  const { scaling, settings } = view.database;
  const context: Context = { view, actions: [], waits: [] };
  if (settings.policy === 'NoCluster' || view.shards.length === 0) return context;
  if (scaling === null) planLost(context);
  else if (scaling.move !== null) followMove(context, scaling.move);
  else planNext(context, scaling);
  return context;
}

/**
 * Nothing is to move, and a primary says that it has not what is recorded as its own: somebody took slots
 * from it by hand, or a failover went past us. What is nobody's it takes again; else what is so is recorded.
 */
function planLost(context: Context): void {
  const { view } = context;
  const lacks = view.shards.some((shard) => {
    const sight = answering(view, shard)?.sight;
    const own = sight?.facts?.cluster;
    if (shard.phase !== 'serving' || sight === undefined || own == null) return false;
    return sight.factsAt > ours(view, shard.decidedAt) && !covers(own.slots, shard.slots);
  });
  if (lacks && !view.stopping) recordsHold(context, WAIT_POLL_MS);
}

/** How many slots each of `shards` owns in the end: equal shares, the first ones larger by one. */
export function shareOf(index: number, shards: number): number {
  if (index >= shards) return 0;
  return Math.ceil(((index + 1) * SLOTS) / shards) - Math.ceil((index * SLOTS) / shards);
}

/** Slots that it owns and is not to own in the end; negative: that it lacks. */
function excessOf({ slots, index }: ShardRecord, wanted: number): number {
  return countSlots(slots) - shareOf(index, wanted);
}

/** Slots that still have to travel. */
export function slotsToMove(shards: readonly ShardRecord[], wanted: number): number {
  return shards.reduce((sum, shard) => sum + Math.max(0, excessOf(shard, wanted)), 0);
}

export interface Batch {
  readonly source: number;
  readonly target: number;
  readonly ranges: Ranges;
  readonly keys: number;
}

/**
 * The next batch: from the shard with most too many to the one with most too few, as many slots as
 * hold about `batchKeys` keys, at least one. Null: every slot is where it belongs.
 */
export function nextBatch(
  shards: readonly ShardRecord[],
  wanted: number,
  batchKeys: number,
  keysOf: (shard: ShardRecord) => number,
): Batch | null {
  const excess = (shard: ShardRecord) => excessOf(shard, wanted);
  const open = shards.filter((shard) => shard.phase !== 'leaving');
  const most = (sign: 1 | -1) =>
    open.reduce<ShardRecord | null>(
      (best, shard) =>
        sign * excess(shard) > (best === null ? 0 : sign * excess(best)) ? shard : best,
      null,
    );
  const [source, target] = [most(1), most(-1)];
  if (source === null || target === null) return null;
  const perSlot = keysOf(source) / countSlots(source.slots);
  const affordable = perSlot === 0 ? SLOTS : Math.max(1, Math.floor(batchKeys / perSlot));
  const count = Math.min(excess(source), -excess(target), affordable);
  return {
    source: source.index,
    target: target.index,
    ranges: takeLast(source.slots, count),
    keys: Math.round(perSlot * count),
  };
}

// --- between two batches -------------------------------------------------------------------------

function planNext(context: Context, scaling: Scaling): void {
  const { view, actions } = context;
  if (view.stopping) return wait(context, 'stopping', null, null);
  const wanted = view.database.sizing.shards;
  const leaving = view.shards.filter((shard) => shard.phase === 'leaving');
  const returning = leaving.find((shard) => shard.index < wanted);
  // It keeps its number until it is gone; then a new shard gets it.
  if (returning !== undefined) return wait(context, 'shard-leaving', returning, null);
  const present = new Set(view.shards.map((shard) => shard.index));
  if (Array.from({ length: wanted }, (_, i) => i).some((i) => !present.has(i))) {
    actions.push({ kind: 'add-shards' });
    return;
  }
  if (!membersReady(context) || !recordsHold(context, NODES_POLL_MS)) return;
  if (scaling.arranging != null) return arrange(context, scaling);
  const batch = nextBatch(view.shards, wanted, scaling.batchKeys, (shard) => keysOf(view, shard));
  if (batch !== null) return beginWhenFree(context, scaling, batch);
  const empty = view.shards.filter((s) => s.index >= wanted && s.phase !== 'leaving');
  for (const shard of empty) actions.push({ kind: 'retire-shard', shard: shard.index });
  if (empty.length > 0) return;
  if (leaving.length > 0) wait(context, 'shard-leaving', leaving[0] ?? null, null);
  else actions.push({ kind: 'end-scaling' });
}

/** Every shard serves, is known to the others, and holds what clients' scripts need. */
function membersReady(context: Context): boolean {
  const { view } = context;
  const shards = view.shards.filter((shard) => shard.phase !== 'leaving');
  const away = shards.filter((s) => s.phase !== 'serving' || answering(view, s) === null);
  for (const shard of away) {
    wait(context, shard.phase === 'serving' ? 'primary-not-asked' : shard.reason.code, shard);
  }
  if (away.length > 0) return false;
  const joining = shards.filter((shard) => shard.membership === 'joining');
  for (const shard of joining) join(context, shard);
  return joining.length === 0;
}

/**
 * It introduces itself to each member, replicas too: whom one only hears of by gossip it hears itself up to a
 * second later, and news of slots comes from their new owner alone. It does so itself, because whoever
 * introduces himself says all his ports; a member that is sent to a newcomer knows one, learns the others
 * with the answer, and drops its new connection for that (`engine/nodes-conf.ts`).
 */
function join(context: Context, joining: ShardRecord): void {
  const { view, actions } = context;
  const newcomer = joining.primary ?? '';
  const strangers = view.instances.filter((instance) => {
    const seen = view.seen.get(instance.id) ?? UNSEEN;
    const nodes = seen.condition === 'answering' ? seen.facts?.cluster?.nodes : undefined;
    const asked = instance.phase === 'running' && instance.shard !== joining.index;
    return asked && nodes !== undefined && !nodes.some((node) => node.id === newcomer);
  });
  const [first] = strangers;
  if (first !== undefined) {
    actions.push({ kind: 'meet', instance: first.id, through: newcomer });
  } else if (!view.published) {
    // From now on what clients load goes to it too; only then is the copy complete for good.
    wait(context, 'endpoint-not-told', joining, null);
  } else {
    actions.push({ kind: 'admit', shard: joining.index });
  }
}

/**
 * The engines own what the records say; what a late move changed is recorded first. What no primary says
 * it has itself is nobody's, whatever others still believe: a replica that took over had not heard of it.
 */
function recordsHold(context: Context, recheckMs: number): boolean {
  const { view, actions } = context;
  const now = slotsNow(view);
  const owners = now === 'unknown' ? now : now.owners;
  const lost = now === 'unknown' ? [] : subtract([[0, SLOTS - 1]], now.owned);
  for (const shard of view.shards) {
    const ranges = intersect(shard.slots, lost);
    if (ranges.length === 0) continue;
    actions.push({ kind: 'claim-slots', shard: shard.index, ranges });
    return false;
  }
  if (owners === 'unknown') {
    wait(context, 'slot-owners-not-agreed', null, recheckMs, primariesOf(view));
    return false;
  }
  if (owners.differ) actions.push({ kind: 'note-slots', slots: owners.slots });
  return !owners.differ;
}

/**
 * One place for a child process an engine: a move begins only when no copy is being made at either
 * end, and the target's copies are whole, so that what arrives is on two engines soon.
 */
function beginWhenFree(context: Context, scaling: Scaling, batch: Batch): void {
  const { view, actions } = context;
  // Later than any back-off: recorded by another clock.
  const early = scaling.notBefore - view.now;
  if (early > 0 && early <= MOVE_RETRY_MAX_MS)
    return wait(context, scaling.trouble?.code ?? 'backing-off', null, early);
  for (const index of [batch.source, batch.target]) {
    const shard = view.shards.find((s) => s.index === index);
    if (shard !== undefined && shard.handover !== null) {
      return wait(context, 'switch-first', shard);
    }
    const busy = view.instances.find(
      (i) => i.shard === index && i.id !== shard?.primary && !isSettledCopy(view, i),
    );
    const replicas = view.instances.filter(
      (i) => i.shard === index && i.id !== shard?.primary && i.phase !== 'leaving',
    );
    if (busy !== undefined || replicas.length < view.database.sizing.replicas) {
      return wait(context, 'replica-not-in-sync', shard ?? null, WAIT_POLL_MS, [busy?.id ?? '']);
    }
  }
  const source = view.shards.find((shard) => shard.index === batch.source);
  const target = view.shards.find((shard) => shard.index === batch.target);
  if (target !== undefined && !takesCommands(view, target)) {
    return wait(context, 'target-takes-no-commands', target, WAIT_POLL_MS, [target.primary ?? '']);
  }
  if (source !== undefined && isToBeArranged(view, scaling, source, keysToGive(view, source))) {
    actions.push({ kind: 'arrange', shard: source.index });
  } else {
    actions.push({ kind: 'begin-move', ...batch });
  }
}

/**
 * A primary without slots that hears of a switch elsewhere may for a moment know nobody who has any, and
 * then refuses commands for as long as engines do after a partition: seconds, in which it would have slots.
 */
function takesCommands(view: View, { primary }: ShardRecord): boolean {
  return view.seen.get(primary ?? '')?.facts?.cluster?.state === 'ok';
}

function arrange({ view, actions, waits }: Context, scaling: Scaling): void {
  const next = planArrangement(view, scaling);
  if ('kind' in next) actions.push(next);
  else waits.push(next);
}

function keysToGive(view: View, shard: ShardRecord): number {
  const excess = excessOf(shard, view.database.sizing.shards);
  return (keysOf(view, shard) * excess) / countSlots(shard.slots);
}

function isSettledCopy(view: View, instance: InstanceRecord): boolean {
  const seen = view.seen.get(instance.id) ?? UNSEEN;
  return instance.synced && seen.condition === 'answering' && seen.facts?.link === 'up';
}

// --- a batch under way ---------------------------------------------------------------------------

function followMove(context: Context, move: SlotMove): void {
  const { view, actions } = context;
  const sighting = view.move;
  const ends = [move.source, move.target].map((index) =>
    view.shards.find((s) => s.index === index),
  );
  const settling = ends.find((s) => s !== undefined && s.phase !== 'serving' && s.phase !== 'down');
  // A failover at either end comes first: its outcome says who owns the slots.
  if (settling !== undefined) return wait(context, settling.reason.code, settling);
  if (ends.every((shard) => shard?.phase === 'down')) {
    // Nobody is left who could own them otherwise.
    return void actions.push({ kind: 'end-move', moved: false, reason: 'both-ends-down' });
  }
  const asked = ends[0]?.phase === 'serving' && ends[0].primary === move.sourceNode;
  if (asked && sighting !== null && sighting.outcome === 'running') {
    const waited = sighting.waitingSince === null ? 0 : view.now - sighting.waitingSince;
    if (waited > SNAPSHOT_WAIT_MS || isOrphaned(view, move, ends)) {
      return void actions.push({ kind: 'cancel-move' });
    }
    return wait(context, 'slots-moving', null, WAIT_POLL_MS);
  }
  if (asked && (sighting === null || sighting.outcome === 'unknown')) {
    return wait(context, 'move-not-asked', null, MOVE_POLL_MS);
  }
  // What an engine said before the last change at either end proves nothing.
  const decided = ends.map((shard) => ours(view, shard?.decidedAt ?? 0));
  const askedAt = ours(view, move.askedTicks ?? view.began);
  const since = Math.max(askedAt, ...decided, asked ? (sighting?.endedAt ?? 0) : 0);
  const where = whereIs(view, move.ranges, since);
  if (where === 'unknown') {
    return wait(context, 'slot-owners-not-agreed', null, NODES_POLL_MS, primariesOf(view));
  }
  if (where === 'lost')
    return void actions.push({ kind: 'claim-slots', shard: move.target, ranges: move.ranges });
  const moved = where === move.target;
  if (moved && lagging(view, move, sighting?.targetOffset ?? 0).length > 0) {
    const replicas = lagging(view, move, sighting?.targetOffset ?? 0);
    return wait(context, 'target-replica-behind', ends[1] ?? null, NODES_POLL_MS, replicas);
  }
  const reason = asked ? (sighting?.outcome ?? 'absent') : 'primary-changed';
  actions.push({ kind: 'end-move', moved, reason });
}

/**
 * The source granted the take-over to an engine that died before it took over: it would hold its writes
 * for two minutes, for nobody. Its successor says that it does not own the slots, and the source that it does.
 */
function isOrphaned(
  view: View,
  move: SlotMove,
  ends: readonly (ShardRecord | undefined)[],
): boolean {
  const target = ends[1];
  if (target?.phase !== 'serving' || target.primary === move.targetNode) return false;
  return whereIs(view, move.ranges, ours(view, target.decidedAt)) === move.source;
}

/** Copies of the target that run and have not read all of what arrived. */
function lagging(view: View, move: SlotMove, offset: number): string[] {
  return view.instances
    .filter((i) => i.shard === move.target && i.id !== move.targetNode && i.synced)
    .filter((i) => {
      const seen = view.seen.get(i.id) ?? UNSEEN;
      const follows = seen.condition === 'answering' && seen.facts?.role === 'replica';
      return follows && seen.facts.link === 'up' && seen.facts.offset < offset;
    })
    .map((i) => i.id);
}

// --- what both need ------------------------------------------------------------------------------

function primariesOf(view: View): string[] {
  return view.shards.flatMap((shard) =>
    shard.phase === 'serving' && shard.primary !== null ? [shard.primary] : [],
  );
}

function answering(
  view: View,
  shard: ShardRecord,
): { instance: InstanceRecord; sight: Sighting } | null {
  const instance = view.instances.find((i) => i.id === shard.primary);
  const sight = view.seen.get(shard.primary ?? '') ?? UNSEEN;
  const fit = instance?.phase === 'running' && sight.condition === 'answering';
  return instance !== undefined && fit && sight.facts?.role === 'primary'
    ? { instance, sight }
    : null;
}

function keysOf(view: View, shard: ShardRecord): number {
  return view.seen.get(shard.primary ?? '')?.facts?.keys ?? 0;
}

function wait(
  { waits }: Context,
  reason: string,
  shard: ShardRecord | null,
  recheckMs: number | null = WAIT_POLL_MS,
  refresh: readonly string[] = [],
): void {
  waits.push({ reason, shard: shard?.index ?? null, recheckMs, refresh });
}

/** A move that touches this shard is not settled: its records may name the wrong owner. */
export function inMove(view: View, shard: ShardRecord): boolean {
  const move = view.database.scaling?.move;
  return move != null && (move.source === shard.index || move.target === shard.index);
}
