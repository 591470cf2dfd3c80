/**
 * Lanes that are not the small lane of the moment, and are kept.
 *
 * While a WAIT stands in a lane, others go on with another one, so WAIT leaves lanes behind. Such a lane
 * should not be closed when it is quiet: for what a client wrote there, it is the one to ask (wait.ts).
 * So it becomes a spare, the next one to take the place of a lane that begins to wait. Those that were
 * needed last are taken first; the others fall idle, and are closed for that. The number is bounded: above
 * it one goes, if possible one that nobody may still ask about his writes.
 *
 * They are of use before that, too. An engine reads 16 KB of a connection in a turn, and a unix socket
 * holds some 200 KB: pipelines of many clients with values of a kilobyte fill it, worker and engine wait
 * for each other, and a turn of the engine's loop does little. So when the lane of the moment is full, a
 * client with nothing in flight takes one beside it. (Four lanes always, full or not, tear apart the
 * batches that make small commands fast.)
 *
 * Nobody need ask any more what every replica has. A WAIT says that of all that was written on its lane,
 * by whomever; and a lane that is to be closed is asked for it once more.
 */
import type { Lane } from './lane.ts';
import {
  CLOSING_WAIT_MS,
  LANE_FULL_BYTES,
  LANE_IDLE_MS,
  OWN_LANES_KEPT,
  SPARE_LANES,
} from './limits.ts';
import { integer } from './raw-reply.ts';

/**
 * Who may still ask in a lane for what he wrote there. Each question is numbered, and so is each write,
 * with the question before it: an answer is about all writes of lower numbers, and others go on writing.
 */
export class Owed {
  asked = 0;
  #proven = 0;
  /** Clients that owe themselves an answer: written before the last question, and since. */
  #before = 0;
  #since = 0;

  get clients(): number {
    return this.#before + this.#since;
  }

  /** A client wrote, and had nothing open here: its number. */
  wrote(): number {
    this.#since++;
    return this.asked;
  }

  /** It need not ask any more. */
  settled(number: number): void {
    if (number === this.asked) this.#since--;
    else if (!this.proven(number)) this.#before--;
  }

  ask(): number {
    this.#before += this.#since;
    this.#since = 0;
    return ++this.asked;
  }

  /** Every replica had what was written before this question. */
  prove(question: number): void {
    this.#proven = Math.max(question, this.#proven);
    if (question === this.asked) this.#before = 0;
  }

  proven(number: number): boolean {
    return number < this.#proven;
  }
}

/** A client may still ask here for what it wrote. */
export function owes(lane: Lane): boolean {
  return lane.owed.clients > 0;
}

/** So many replicas have all that was written on this lane before it was asked. */
export function reached({ owed, shard }: Lane, question: number, replicas: number): void {
  const { length } = shard.view.replicas;
  if (length > 0 && replicas >= length) owed.prove(question);
}

/** Asks an idle lane for all clients that might: in a short round, because they may do it meanwhile. */
function askIdle(lane: Lane, then: () => void): void {
  const { length } = lane.shard.view.replicas;
  if (!owes(lane) || length === 0 || lane.state !== 'ready') return then();
  const question = lane.owed.ask();
  lane.question(['WAIT', String(length), String(CLOSING_WAIT_MS)], (reply) => {
    if (reply?.[0] === COLON) reached(lane, question, integer(reply));
    then();
  });
}

/**
 * Closes a lane that is one too many. Who still has to ask about what he wrote there asks how far the
 * stream was (unconfirmed.ts); only WAITAOF cannot.
 */
export function leave(lane: Lane, close: () => void): void {
  lane.retired = true;
  lane.waits++;
  askIdle(lane, () => {
    lane.waits--;
    close();
  });
}

const COLON = 0x3a;

/** Closes lanes that nobody used for a while, but for those that a client still needs. */
export function closeIdle(lanes: Iterable<Lane>, kept: (own: Lane) => boolean): void {
  const now = performance.now();
  for (const lane of lanes) {
    if (lane.state !== 'ready' || lane.inFlight > 0 || now - lane.usedAt <= LANE_IDLE_MS) continue;
    if (lane.login.tracking !== null || (lane.kind === 'own' && !kept(lane))) {
      stay(lane);
      continue;
    }
    askIdle(lane, () => {
      if (lane.state !== 'ready' || lane.inFlight > 0) return;
      if (owes(lane)) stay(lane);
      else lane.close('idle');
    });
  }
}

/**
 * Where clients are direct the engines end whoever is idle, and cannot tell us from them: a key that is
 * watched would count as changed, and who tracks would be told to forget everything.
 */
function stay(lane: Lane): void {
  if (lane.world.topology.view.policy === 'OSSCluster') lane.question(['PING'], () => {});
}

export function isFull({ journal }: Lane): boolean {
  return journal.unanswered > LANE_FULL_BYTES;
}

export function withRoom(spares: readonly Lane[]): Lane | null {
  return spares.find((lane) => lane.open && lane.kind === 'small' && !isFull(lane)) ?? null;
}

export function takeSpare(spares: Lane[]): Lane | null {
  const at = spares.findLastIndex((lane) => lane.waits === 0 && !lane.retired);
  return at < 0 ? null : (spares.splice(at, 1)[0] ?? null);
}

/**
 * Of connections that were one session's alone. A session that blocks gets none that owes an answer: who
 * asks there for what he wrote would stand behind it, past the time-out of his WAIT.
 */
export function takeKept(own: Lane[], blocks: boolean): Lane | null {
  for (let at = own.length - 1; at >= 0; at--) {
    const lane = own[at];
    if (lane === undefined || (blocks && owes(lane))) continue;
    own.splice(at, 1);
    if (lane.open) return lane;
  }
  return null;
}

/** Whether this one is kept beside them, to be taken again. */
export function keepOwn(own: readonly Lane[], lane: Lane): boolean {
  return own.length < (owes(lane) ? SPARE_LANES : OWN_LANES_KEPT);
}

/** Answers the one that is too many. */
export function keepSpare(spares: Lane[], lane: Lane): Lane | null {
  if (spares.includes(lane)) return null;
  spares.push(lane);
  if (spares.length <= SPARE_LANES) return null;
  const free = spares.findIndex((each) => each.waits === 0 && !owes(each));
  const at = free < 0 ? spares.findIndex((each) => each.waits === 0) : free;
  return spares.splice(at, 1)[0] ?? null;
}
