/**
 * WAIT and WAITAOF (engine rule 8).
 *
 * The engine compares with the last write of the *connection* that asks; on any other connection it
 * answers at once, and the promise is a lie. So the question goes on each lane that carried writes of
 * this client, and the smallest answer counts. What others write there only makes it wait for more. Which
 * lanes these are, and how it is asked about writes whose lane cannot be asked: unconfirmed.ts. In a MULTI:
 * wait-in-multi.ts.
 *
 * A waiting connection holds up what is queued behind it. So the lane is first closed to others
 * (`waits`): they go on with another lane as soon as nothing of theirs is in flight here. Several
 * clients may wait on one lane: those that ask the same way are asked for together, in rounds no longer
 * than the shortest time of all, so none waits for the time-out of another; with the end of a round it
 * is the turn of whoever asks otherwise. A lane that was waited in is not closed after that: others may
 * still have to ask there (spare-lanes.ts).
 */
import { encodeCommand } from '../../resp/index.ts';
import { type Call, type Handler, refuse } from './dispatch.ts';
import { handedOver } from './handed-over.ts';
import type { Lane } from './lane.ts';
import { WAIT_ROUND_MS } from './limits.ts';
import { integer, splitArray } from './raw-reply.ts';
import { integerOf, textOf } from './route.ts';
import type { Session } from './session.ts';
import { STALLED, TAKEN } from './session.ts';
import type { Shard } from './shard.ts';
import { reached } from './spare-lanes.ts';
import { askStanding } from './standing.ts';
import type { Earlier } from './unconfirmed.ts';
import { UNBLOCKED, waiting } from './waiting.ts';

/** How often it is looked whether a switch was planned. */
const LEFT_BEHIND_MS = 5;
/** As much of an error as tells which it is. */
const DEMOTED_BYTES = 60;

/** What is asked for: one or two numbers (WAIT n; WAITAOF local n). */
export interface Question {
  readonly name: string;
  readonly wanted: readonly number[];
  /** performance.now(); Infinity: for ever. CLIENT UNBLOCK makes it now. */
  until: number;
  readonly session: Session;
  readonly done: (reached: Reached) => void;
}

/** Numbers; what the engine said instead of them; or null: the lane was lost. */
export type Reached = readonly number[] | Buffer | null;

export const wait: Handler = (call) => {
  const { session, command, bytes, args } = call;
  const numbers: number[] = [];
  for (let i = 1; i < args.count - 1; i++) {
    const number = integerOf(textOf(bytes, args, i));
    const wrong = unfit(command.name, i, number);
    if (number === null || wrong !== null) return refuse(session, `-ERR ${wrong}\r\n`);
    numbers.push(number);
  }
  const timeout = integerOf(textOf(bytes, args, args.count - 1));
  if (timeout === null || !Number.isSafeInteger(timeout)) {
    const wrong = timeout === null ? 'timeout is not an integer or out of range' : OUT_OF_RANGE;
    return refuse(session, `-ERR ${wrong}\r\n`);
  }
  if (timeout < 0) return refuse(session, '-ERR timeout is negative\r\n');
  if (session.lanes.total > 0) {
    session.stall('order');
    return STALLED;
  }
  const { unconfirmed } = session.lanes;
  const asked = unconfirmed?.ask(command.name !== 'wait');
  if (asked === null) return refuse(session, unknown(command.name).toString());
  const count = (asked?.lanes.length ?? 0) + (asked?.earlier.length ?? 0);
  if (unconfirmed === null || asked === undefined || count === 0) {
    return unwritten(call, numbers[0] ?? 0);
  }
  const until = timeout === 0 ? Number.POSITIVE_INFINITY : performance.now() + timeout;
  const place = session.order.place(command);
  session.gate(1, true);
  const answers: Reached[] = [];
  const questions: { until: number }[] = [];
  let unblocked = '';
  waiting.set(session, (how) => {
    unblocked = how;
    for (const question of questions) question.until = performance.now();
  });
  const answered = (reached: Reached): void => {
    answers.push(reached);
    if (answers.length < count) return;
    session.gate(-1, true);
    waiting.delete(session);
    const reply = unblocked === 'error' ? UNBLOCKED : answer(command.name, answers);
    session.fill(place, reply);
  };
  const askEarlier = (earlier: Earlier<Shard>): void => {
    const done = (reached: Reached): void => {
      if (reached === null) unconfirmed.earlierLost(earlier);
      else if (confirms(reached, numbers)) unconfirmed.earlierConfirmed(earlier);
      answered(reached);
    };
    // What replicas have on their disks is not told by a place in the stream.
    if (command.name !== 'wait') return done(null);
    const question = { earlier, wanted: numbers[0] ?? 0, until, session, done };
    questions.push(question);
    askStanding(question);
  };
  for (const lane of asked.lanes) {
    const done = (reached: Reached): void => {
      const instead =
        reached === null && command.name === 'wait' ? unconfirmed.instead(lane) : null;
      if (instead !== null) return askEarlier(instead);
      if (reached === null) unconfirmed.lost(lane);
      else if (confirms(reached, numbers)) unconfirmed.confirmed(lane);
      answered(reached);
    };
    const question: Question = { name: command.name, wanted: numbers, until, session, done };
    questions.push(question);
    ask(lane, question);
  }
  for (const earlier of asked.earlier) askEarlier(earlier);
  return TAKEN;
};

const OUT_OF_RANGE = 'timeout is out of range';

/** What the engine says of the number at this place of WAIT or WAITAOF; null: nothing. */
function unfit(name: string, place: number, number: number | null): string | null {
  if (name === 'wait' || (place === 1 && number === null)) {
    return number === null ? 'value is not an integer or out of range' : null;
  }
  if (place > 1) return (number ?? -1) < 0 ? 'value is out of range, must be positive' : null;
  return number === 0 || number === 1 ? null : 'value is out of range, value must between 0 and 1';
}

/** No write of this client: the engine's own count, at once. */
function unwritten(call: Call, local: number): number {
  const { session, command } = call;
  const shard = session.proxy.world.topology.first();
  const lane = shard === null ? null : session.laneFor(shard, false);
  if (lane === null) {
    if (shard === null) return refuse(session, '-CLUSTERDOWN no-shard: not executed\r\n');
    return STALLED;
  }
  // A time of one millisecond: on this lane others may have written, and theirs is not asked for.
  const place = session.order.place(command);
  const one = command.name === 'wait' ? ['WAIT', '0', '1'] : ['WAITAOF', String(local), '0', '1'];
  lane.question(one, (reply) => {
    session.fill(place, reply ?? Buffer.from('-ERR shard-lost: no answer\r\n'));
  });
  return TAKEN;
}

function reaches(got: readonly number[], wanted: readonly number[]): boolean {
  return wanted.every((number, i) => (got[i] ?? 0) >= number);
}

/** These writes need not be asked for again. To have asked for nothing is no answer for any. */
function confirms(got: readonly number[] | Buffer, wanted: readonly number[]): boolean {
  if (Buffer.isBuffer(got)) return false;
  const replicas = got.at(-1) ?? 0;
  return reaches(got, wanted) && (replicas > 0 || wanted.some((number) => number > 0));
}

export function unknown(name: string): Buffer {
  return Buffer.from(
    `-OUTCOMEUNKNOWN earlier writes of this client, which no ${name.toUpperCase()} has confirmed, can be confirmed no more: their primary or the connection to it was lost. They may or may not have reached the replicas\r\n`,
  );
}

export function answer(name: string, reached: readonly Reached[]): Buffer {
  const known: (readonly number[])[] = [];
  let refused: Buffer | null = null;
  for (const each of reached) {
    if (Buffer.isBuffer(each)) refused ??= each;
    else if (each !== null) known.push(each);
    else {
      return unknown(name);
    }
  }
  if (refused !== null) return refused;
  const least = (i: number): number => Math.min(...known.map((numbers) => numbers[i] ?? 0));
  if (name === 'wait') return Buffer.from(`:${least(0)}\r\n`);
  return Buffer.from(`*2\r\n:${least(0)}\r\n:${least(1)}\r\n`);
}

/** Of an answer that is no error. */
export function numbersOf(reply: Buffer): number[] {
  return reply[0] === 58 ? [integer(reply)] : splitArray(reply).map(integer);
}

/** The questions of one lane that wait for the present round to end. */
const queues = new WeakMap<Lane, Question[]>();

function ask(lane: Lane, question: Question): void {
  if (lane.state !== 'ready') return leftBehind(lane, question);
  const queue = queues.get(lane);
  if (queue !== undefined) {
    queue.push(question);
    return;
  }
  queues.set(lane, [question]);
  lane.waits++;
  const begin = (): void => {
    lane.onQuiet = null;
    round(lane);
  };
  // What others have in flight is answered first; nothing new is put on the lane meanwhile.
  if (lane.inFlight === 0) begin();
  else lane.onQuiet = begin;
  const lost = lane.onClosed;
  lane.onClosed = (reason) => {
    lost?.(reason);
    const left = queues.get(lane) ?? [];
    queues.delete(lane);
    for (const each of left) leftBehind(lane, each);
  };
}

/** May be asked for in one: an engine may refuse what is asked of its own disk, and only that. */
function alike(a: Question, b: Question): boolean {
  return a.name === b.name && (a.name === 'wait' || a.wanted[0] === b.wanted[0]);
}

function round(lane: Lane): void {
  const queue = queues.get(lane);
  if (queue === undefined) return;
  const now = performance.now();
  const waiting = queue.filter((question) => !question.session.gone);
  const [first] = waiting;
  if (first === undefined) return finish(lane);
  queues.set(lane, waiting);
  const asked = waiting.filter((question) => alike(first, question));
  const shortest = Math.min(...waiting.map((question) => question.until - now), WAIT_ROUND_MS);
  const ms = String(Math.max(1, Math.ceil(shortest)));
  // The least that anybody asks for ends the round; who asks for more stays for another one.
  const wanted = first.wanted.map((_, i) =>
    String(Math.min(...asked.map((question) => question.wanted[i] ?? 0))),
  );
  const number = lane.owed.ask();
  lane.ask(null, null, encodeCommand([first.name.toUpperCase(), ...wanted, ms]), 1, {
    onReply: (reply) => {
      const refused = reply[0] === 45;
      const got = refused ? [] : numbersOf(reply);
      reached(lane, number, got.at(-1) ?? 0);
      const over = performance.now();
      const others: Question[] = [];
      const again: Question[] = [];
      for (const question of queues.get(lane) ?? []) {
        if (!asked.includes(question)) others.push(question);
        else if (refused && demoted(reply)) leftBehind(lane, question);
        else if (refused) question.done(reply);
        else if (reaches(got, question.wanted) || over >= question.until) {
          question.done(got);
        } else again.push(question);
      }
      queues.set(lane, [...others, ...again]);
      round(lane);
    },
    onLost: () => undefined,
  });
}

/**
 * The engine is no primary any more, and can say nothing about the writes that it was sent. After a
 * planned switch the answer is known: the replica that took its place had every one of them. That it was
 * planned may be heard a moment later than what came of it, and not later than the shard goes on.
 */
export function leftBehind(lane: Lane, question: Question): void {
  if (handedOver(lane) && question.name === 'wait') return question.done([1]);
  const heard = handedOver(lane) || lane.shard.obstacle !== 'shard-held';
  if (heard || performance.now() >= question.until) return question.done(null);
  setTimeout(() => leftBehind(lane, question), LEFT_BEHIND_MS);
}

/** It became a replica in the meantime. */
export function demoted(reply: Buffer): boolean {
  const line = reply.toString('latin1', 0, DEMOTED_BYTES);
  return /^-(?:UNBLOCKED|MOVED|ERR WAIT(?:AOF)? cannot be used with replica)/.test(line);
}

function finish(lane: Lane): void {
  queues.delete(lane);
  lane.onClosed = null;
  lane.waits--;
  lane.shard.waitOver(lane);
}
