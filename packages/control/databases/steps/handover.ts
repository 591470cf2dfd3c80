/**
 * The planned switch, done: plan/handover.ts says when, and what becomes of one that stuck.
 *
 * It is one step, because from the hold to the release every millisecond is a client's. It talks over
 * connections of its own: on those of the watches a flush may wait for the end of the very pause that
 * is made here, and everything behind it. It is short also when it fails, because while it runs no
 * failover of the shard can begin: each wait has a bound, and what goes wrong is not thrown but
 * recorded as the reason why there was no switch.
 */
import { SWITCHING } from '../../../endpoint/control-protocol.ts';
import type { EngineLink } from '../../../engine/contract.ts';
import {
  DRAIN_POLL_MS,
  NODES_POLL_MS,
  SWITCH_DECIDE_WITHIN_MS,
  SWITCH_LAG_BYTES,
  SWITCH_LATE_MS,
  SWITCH_PAUSE_MS,
  SWITCH_SMALL_LAG_BYTES,
} from '../../plan/limits.ts';
import { slotsOfOthers } from '../../plan/slot-owners.ts';
import type { StateReason } from '../../store/records.ts';
import { reach } from '../failpoints.ts';
import { Introductions } from '../introductions.ts';
import { isClustered } from '../launch.ts';
import {
  FACTS_DEADLINE_MS,
  SWITCH_CATCH_UP_MS,
  SWITCH_EQUAL_MS,
  SWITCH_HOLD_MS,
  SWITCH_QUIET_MS,
  SWITCH_REST_MS,
  SWITCH_VERB_MS,
} from '../limits.ts';
import type { DatabaseLoop } from '../loop.ts';
import { requireRoom } from './before-takeover.ts';
import { whatDiffers } from './copies.ts';
import { type Agreement, afterTry, connect, finish, quietly } from './handover-end.ts';

/** Thrown before the decision only: nothing happened that is not undone where it is caught. */
class NotNow extends Error {
  readonly reason: StateReason;
  constructor(code: string, message: string) {
    super(message);
    this.reason = { code, message };
  }
}

interface Switch {
  readonly loop: DatabaseLoop;
  readonly index: number;
  readonly from: string;
  readonly to: string;
  readonly old: EngineLink;
  readonly next: EngineLink;
  /** When each part was done, in their order; the first is its beginning. */
  readonly marks: { readonly part: string; readonly at: number }[];
}

function mark({ loop, marks }: Switch, part: string): void {
  marks.push({ part, at: loop.deps.clock.ticks() });
}

/** From the moment when clients are held each millisecond is theirs: where they went is in the log. */
function tellMarks({ loop, index, marks }: Switch): void {
  const took = marks.slice(1).map(({ part, at }, i) => {
    return [part, Math.round((at - (marks[i]?.at ?? at)) * 10) / 10] as const;
  });
  loop.deps.log('info', 'a planned switch', { shard: index, tookMs: Object.fromEntries(took) });
}

export async function handOver(loop: DatabaseLoop, index: number, to: string): Promise<void> {
  const { primary: from } = loop.shard(index);
  if (from === null || from === to) return;
  const links: EngineLink[] = [];
  loop.pausing.add(index);
  try {
    // What began before may still end a pause that it found.
    if (!(await loop.quiet(`instance ${from}`, SWITCH_VERB_MS))) {
      throw new NotNow('primary-in-work', 'Something else is being done to its primary.');
    }
    for (const id of [from, to]) links.push(await connect(loop, id));
    const [old, next] = links;
    if (old === undefined || next === undefined) throw new Error('two connections were opened');
    await attempt({ loop, index, from, to, old, next, marks: [] });
  } catch (error) {
    noteProblem(loop, index, reasonOf(error));
  } finally {
    loop.pausing.delete(index);
    for (const link of links) link.close();
  }
}

async function attempt(change: Switch): Promise<void> {
  const { loop, index } = change;
  const { clock } = loop.deps;
  let pausedAt = 0;
  try {
    await checkReplica(change);
    await awaitKnown(change);
    await makeReady(change);
    const calm = loop.deps.calm.beforeSwitch();
    if (calm !== null) await calm;
    await awaitSmallLag(change);
    mark(change, 'began');
    await hold(loop, index);
    mark(change, 'held');
    await reach('pause:before');
    pausedAt = clock.ticks();
    await pauseUntilEqual(change, pausedAt);
    await compareCopies(change);
    await reach('pause:after');
    await reach('decide:before');
    decide(change, pausedAt);
    mark(change, 'decided');
    await reach('decide:after');
  } catch (error) {
    // Nobody was told, or the record says that somebody may have been: then the pause stays.
    if (pausedAt > 0 && loop.shard(index).phase === 'serving') {
      await quietly((ms) => change.old.unpause(ms));
    }
    if (loop.shard(index).phase === 'serving') await loop.deps.release(loop.id, index, null);
    throw error;
  }
  if (clock.ticks() - pausedAt >= SWITCH_DECIDE_WITHIN_MS) return;
  const says = await tell(change);
  if (says === null) return;
  mark(change, 'agreed');
  const released = (): void => mark(change, 'released');
  await finish(loop, index, { ...says, oldLink: change.old }, released);
  tellMarks(change);
}

async function checkReplica({ loop, index, from, old, next }: Switch): Promise<void> {
  const [a, b] = await Promise.all([old.facts(FACTS_DEADLINE_MS), next.facts(FACTS_DEADLINE_MS)]);
  if (a.role !== 'primary') throw new NotNow('primary-changed', `${from} is not primary now.`);
  if (b.role !== 'replica' || b.link !== 'up' || b.syncing || a.replicationId !== b.replicationId) {
    throw new NotNow('replica-not-in-sync', `The replica of shard ${index} is not in sync.`);
  }
  const foreign =
    b.cluster === null ? [] : slotsOfOthers(b.cluster, index, loop.shards(), null, []).settled;
  if (foreign.length > 0) {
    throw new NotNow(
      'replica-not-told',
      `The replica of shard ${index} has not heard yet to whom slots of it have moved.`,
    );
  }
  const busy = loop.shard(index).phase;
  if (busy !== 'serving' && busy !== 'switching')
    throw new NotNow('shard-changed', `It is ${busy}.`);
}

/**
 * A primary that takes its successor for a node of another shard (it has not heard yet whom that follows)
 * does not follow it: it has given its slots away then, and deletes what was in them. If the successor died
 * now nobody would have the data. So it has to have heard; whoever is new may not be named to it for seconds.
 */
async function awaitKnown({ loop, index, from, to, old, next }: Switch): Promise<void> {
  const { clock } = loop.deps;
  const deadline = clock.ticks() + SWITCH_CATCH_UP_MS;
  const introductions = new Introductions(clock.ticks());
  for (;;) {
    const { cluster } = await old.facts(FACTS_DEADLINE_MS);
    if (cluster === null) return;
    if (cluster.nodes.some(({ id, primaryId }) => id === to && primaryId === from)) return;
    if (clock.ticks() > deadline) {
      throw new NotNow(
        'replica-not-known',
        `The primary of shard ${index} has not heard yet that the replica is its own.`,
      );
    }
    if (introductions.due(clock.ticks())) introduce(loop, next, from);
    await clock.sleep(NODES_POLL_MS);
  }
}

/** To one that may have no connection to it: that makes a new one. */
function introduce(loop: DatabaseLoop, newcomer: EngineLink, to: string): void {
  const { host, port, busPort } = loop.instance(to);
  void newcomer.meet(host, port, busPort, SWITCH_VERB_MS).catch(() => undefined);
}

/** A replica that is just behind makes clients wait for it: before they are held it may catch up. */
async function awaitSmallLag({ loop, index, old, next }: Switch): Promise<void> {
  const { clock } = loop.deps;
  const deadline = clock.ticks() + SWITCH_CATCH_UP_MS;
  for (;;) {
    // The replica first: what comes in between makes it look further behind, never nearer.
    const copy = await next.stream(SWITCH_VERB_MS);
    const lag = (await old.stream(SWITCH_VERB_MS)).offset - copy.offset;
    if (lag <= SWITCH_SMALL_LAG_BYTES) return;
    if (clock.ticks() > deadline) {
      if (lag <= SWITCH_LAG_BYTES) return;
      throw new NotNow(
        'replica-lags',
        `The replica of shard ${index} is ${lag} bytes behind; a switch begins below ${SWITCH_LAG_BYTES}. It is tried again; with fewer writes it catches up sooner.`,
      );
    }
    await clock.sleep(DRAIN_POLL_MS);
  }
}

/**
 * What takes time before clients are held, takes none of theirs: workers connect to the replica, and this
 * process, which was asked for the switch a moment ago, comes to rest. (Its garbage collector and compiler
 * went on for 20 ms of both cores.)
 */
async function makeReady({ loop, index }: Switch): Promise<void> {
  const { clock } = loop.deps;
  const rest = clock.sleep(SWITCH_REST_MS);
  await Promise.race([loop.deps.prepare(loop.id, index), clock.sleep(SWITCH_QUIET_MS)]);
  await rest;
}

/** Until every worker of the endpoint has nothing in flight there; what blocks is not waited for. */
async function hold(loop: DatabaseLoop, index: number): Promise<void> {
  await reach('hold:before');
  const held = loop.deps.hold(loop.id, index, SWITCH_HOLD_MS).then(
    () => true,
    () => false,
  );
  const late = loop.deps.clock.sleep(SWITCH_QUIET_MS).then(() => false);
  if (!(await Promise.race([held, late]))) {
    throw new NotNow(
      'commands-in-flight',
      `Commands of clients on shard ${index} did not end within ${SWITCH_QUIET_MS} ms. It is tried again; "cinnabar logs" and SLOWLOG name slow ones.`,
    );
  }
  await reach('hold:after');
}

/**
 * The paused primary writes nothing more; what it wrote has to be on the other side. Its offset may
 * still move (a ping to its replica), so one that is further is as good.
 */
async function pauseUntilEqual(change: Switch, pausedAt: number): Promise<void> {
  const { loop, index, old, next } = change;
  const { clock } = loop.deps;
  // On one connection: answered one after the other, and asked in one go.
  const [, { offset, role, replicationId }] = await Promise.all([
    old.pauseWrites(SWITCH_PAUSE_MS, SWITCH_VERB_MS),
    old.stream(SWITCH_VERB_MS),
  ]);
  if (role !== 'primary') throw new NotNow('primary-changed', 'The primary is not primary now.');
  mark(change, 'paused');
  for (;;) {
    const copy = await next.stream(SWITCH_VERB_MS);
    const follows = copy.role === 'replica' && copy.replicationId === replicationId;
    if (follows && copy.link === 'up' && copy.offset >= offset) {
      return mark(change, 'equal');
    }
    if (clock.ticks() - pausedAt > SWITCH_EQUAL_MS) {
      throw new NotNow(
        'replica-lags',
        `The replica of shard ${index} did not reach the end of the stream within ${SWITCH_EQUAL_MS} ms: it lacks ${offset - copy.offset} bytes.`,
      );
    }
    await clock.sleep(DRAIN_POLL_MS);
  }
}

async function compareCopies({ loop, from, to, old, next }: Switch): Promise<void> {
  if (loop.instance(from).engine === loop.instance(to).engine) return;
  const problem = await whatDiffers(old, next);
  if (problem !== null) throw new NotNow(problem.code, problem.message);
}

/** The commit. Only while enough of the pause is left for what follows; a repetition keeps the first. */
function decide({ loop, index, from, to }: Switch, pausedAt: number): void {
  const { store, clock } = loop.deps;
  store.decide(() => {
    loop.lease();
    requireRoom(loop, to);
    const shard = loop.shard(index);
    if (clock.ticks() - pausedAt >= SWITCH_DECIDE_WITHIN_MS) {
      throw new NotNow('control-late', 'This process was too late to decide within the pause.');
    }
    if (shard.phase === 'switching' && shard.successor === to) return;
    const fit = loop.instance(to).phase === 'running';
    if (shard.phase !== 'serving' || shard.primary !== from || !fit) {
      throw new NotNow('shard-changed', `Shard ${index} is ${shard.phase} now.`);
    }
    store.putShard({
      ...shard,
      phase: 'switching',
      successor: to,
      epoch: shard.epoch + 1,
      reason: { code: SWITCHING, message: 'A planned switch: its replica takes over.' },
      decidedAt: clock.ticks(),
    });
  });
}

/** Null: they did not agree in time, or an answer was lost. Then the plan looks at them. */
async function tell(change: Switch): Promise<Agreement | null> {
  const { loop, index, from, to, old, next } = change;
  const { clock } = loop.deps;
  const clustered = isClustered(loop.database());
  await reach('tell:before');
  try {
    const [, says] = await Promise.all([
      clustered ? next.takeover(SWITCH_VERB_MS) : next.becomePrimary(SWITCH_VERB_MS),
      next.stream(SWITCH_VERB_MS),
    ]);
    if (says.role !== 'primary') return null;
    mark(change, 'told');
    loop.deps.expect(loop.id, index, { node: to, reason: SWITCHING });
    if (!clustered) {
      const { id, host, port } = loop.instance(to);
      await old.follow({ id, host, port }, SWITCH_VERB_MS);
    }
    await reach('tell:after');
    const { decidedAt } = loop.shard(index);
    const introductions = new Introductions(clock.ticks());
    while (clock.ticks() - decidedAt < SWITCH_LATE_MS) {
      const stream = await old.stream(SWITCH_VERB_MS);
      if (stream.role === 'replica') return { old: stream, next: says };
      if (clustered && introductions.due(clock.ticks())) introduce(loop, next, from);
      await clock.sleep(DRAIN_POLL_MS);
    }
  } catch (error) {
    loop.deps.log('warn', 'a planned switch is looked at again', {
      shard: index,
      error: text(error),
    });
  }
  return null;
}

function noteProblem(loop: DatabaseLoop, index: number, problem: StateReason): void {
  loop.deps.log('info', 'no switch this time', { shard: index, ...problem });
  loop.deps.store.decide(() => {
    const shard = loop.shard(index);
    if (shard.handover === null) return;
    loop.deps.store.putShard({ ...shard, handover: afterTry(loop, shard, problem) });
  });
}

function reasonOf(error: unknown): StateReason {
  if (error instanceof NotNow) return error.reason;
  return { code: 'switch-failed', message: text(error) };
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
