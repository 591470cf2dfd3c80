/**
 * How many replicas have confirmed the stream of a shard's writes up to a place (unconfirmed.ts).
 *
 * INFO replication tells both: how far the stream is now, and how far each replica says that it is. Asked
 * after a write was acknowledged, the first is not before that write. The second grows with what replicas
 * say by themselves, each second, and at once when a WAIT on whatever connection makes the engine ask them.
 * So it is asked again and again, of all who wait together, until the time of each is over.
 */
import type { LaneGroup } from './lane-group.ts';
import { SHARD_WAIT_MS, STANDING_MS } from './limits.ts';
import { payload } from './raw-reply.ts';
import { field, INFO_REPLICATION, text } from './replication-info.ts';
import { serviceGroup } from './service-group.ts';
import type { Session } from './session.ts';
import type { Shard } from './shard.ts';
import type { Earlier, Place } from './unconfirmed.ts';
import type { Reached } from './wait.ts';

/** About `earlier`, whose place is read first if it is not known. */
export interface StandingQuestion {
  readonly earlier: Earlier<Shard>;
  /** Replicas. */
  readonly wanted: number;
  /** performance.now(); CLIENT UNBLOCK makes it now. */
  until: number;
  readonly session: Session;
  readonly done: (reached: Reached) => void;
}

interface Standing extends Place {
  /** Of each replica that is in sync. */
  readonly confirmed: readonly number[];
}

const waiting = new WeakMap<LaneGroup, StandingQuestion[]>();

export function askStanding(question: StandingQuestion): void {
  const { shard } = question.earlier;
  const { lanes, proxy } = question.session;
  const { service } = proxy.view;
  // Not as the client's user, who may be allowed no INFO, and gives no reason to count as one.
  const group = service === undefined ? lanes.groupOf(shard) : serviceGroup(shard, service, RESP2);
  const known = waiting.get(group);
  if (known !== undefined) {
    known.push(question);
    return;
  }
  waiting.set(group, [question]);
  look(shard, group);
}

function look(shard: Shard, group: LaneGroup): void {
  const lane = shard.smallLane(group);
  if (lane === null) return settle(shard, group, null);
  // Who joins later may have written later: this answer tells them nothing about the place.
  const asked = new Set(waiting.get(group));
  lane.question(INFO_REPLICATION, (reply) => {
    const mine = lane.node === shard.view.primary?.node;
    settle(shard, group, mine ? reply : null, asked);
  });
}

/** Ends the questions that can be answered, and looks again for the others. */
function settle(
  shard: Shard,
  group: LaneGroup,
  reply: Buffer | null,
  asked?: ReadonlySet<StandingQuestion>,
): void {
  const busy = reply !== null && reply.toString('latin1', 0, BUSY.length) === BUSY;
  const refused = reply !== null && reply[0] === MINUS && !busy;
  const standing = reply === null || refused || busy ? null : standingOf(reply);
  const now = performance.now();
  const left: StandingQuestion[] = [];
  for (const question of waiting.get(group) ?? []) {
    if (question.session.gone) continue;
    const { earlier, wanted } = question;
    const lost = earlier.lineage !== shard.lineage || refused;
    // A script runs. Nothing is lost, and a WAIT on a lane is told the same: it is asked again behind it.
    if (busy && !lost) {
      question.done(reply);
      continue;
    }
    if (standing !== null && asked?.has(question) === true) earlier.place ??= standing;
    const { place } = earlier;
    const replicas = lost || standing === null || place === null ? null : count(place, standing);
    // Its time is not over before it is known what it is about: a lane may have to be made for that.
    const until = place === null ? question.until + SHARD_WAIT_MS : question.until;
    if (lost || now >= until || (replicas ?? -1) >= wanted) {
      question.done(lost || place === null ? null : [replicas ?? 0]);
    } else left.push(question);
  }
  if (left.length === 0) {
    waiting.delete(group);
    return;
  }
  waiting.set(group, left);
  setTimeout(() => look(shard, group), STANDING_MS);
}

function count(place: Place, { stream, confirmed }: Standing): number {
  const replicas = confirmed.filter((each) => each >= place.offset).length;
  // After a planned switch: what it was before was a replica that had everything.
  return place.stream === stream ? replicas : Math.max(1, replicas);
}

const MINUS = 0x2d;
const BUSY = '-BUSY ';
const RESP2 = 2;

/** null: it is no primary (any more). */
export function standingOf(reply: Buffer): Standing | null {
  const stream = text(reply, 'master_replid');
  const offset = field(reply, 'master_repl_offset');
  if (text(reply, 'role') !== 'master' || stream === null || offset === null) return null;
  const replicas = payload(reply)
    .toString('latin1')
    .matchAll(/^slave\d+:.*\bstate=online\b.*\boffset=(\d+)/gm);
  return {
    stream,
    offset,
    confirmed: [...replicas].map((each) => Number(each[1])),
  };
}
