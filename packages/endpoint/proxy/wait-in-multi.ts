/**
 * WAIT and WAITAOF in a MULTI. They do not block there: the engine says how many replicas have this
 * connection's writes by now; not those of the same MULTI, which are sent to them only when it is over.
 *
 * The connection that EXEC takes is not this client's, and knows nothing of its other shards. So the
 * engine's own answer in the transaction is used for what is wrong with the command, and for a client
 * that has written nothing. Otherwise each lane that carried earlier writes is asked, before the
 * transaction is on its way, for what it knows by now; and the smallest answer takes the place of the
 * engine's in the answer to EXEC.
 */
import { encodeCommand } from '../../resp/index.ts';
import type { Lane } from './lane.ts';
import { SHARD_WAIT_MS } from './limits.ts';
import type { Session } from './session.ts';
import type { Shard } from './shard.ts';
import { askStanding } from './standing.ts';
import type { Earlier, Unconfirmed } from './unconfirmed.ts';
import {
  answer,
  demoted,
  leftBehind,
  numbersOf,
  type Question,
  type Reached,
  unknown,
} from './wait.ts';

/** Answered at once, with what is known. */
const QUESTIONS: Readonly<Record<string, readonly string[]>> = {
  wait: ['WAIT', '0', '1'],
  waitaof: ['WAITAOF', '0', '0', '1'],
};

export function isWait(name: string): boolean {
  return name in QUESTIONS;
}

/** The answers by name of the command; null: it is the engine's. */
export type EarlierWrites = ReadonlyMap<string, Promise<Buffer>>;

export function askEarlier(session: Session, names: Iterable<string>): EarlierWrites {
  const answers = new Map<string, Promise<Buffer>>();
  for (const name of names) {
    const { unconfirmed } = session.lanes;
    const asked = unconfirmed?.ask(name !== 'wait');
    if (asked === null) answers.set(name, Promise.resolve(unknown(name)));
    if (unconfirmed === null || asked === null || asked === undefined) continue;
    const { lanes, earlier } = asked;
    if (lanes.length + earlier.length === 0) continue;
    const all = [
      ...lanes.map(async (lane) => {
        const reached = await askNow(session, lane, name);
        const instead = reached === null && name === 'wait' ? unconfirmed.instead(lane) : null;
        if (instead !== null) return standingNow(session, unconfirmed, instead);
        if (reached === null) unconfirmed.lost(lane);
        return reached;
      }),
      ...earlier.map((each) =>
        name === 'wait' ? standingNow(session, unconfirmed, each) : Promise.resolve(null),
      ),
    ];
    answers.set(
      name,
      Promise.all(all).then((reached) => answer(name, reached)),
    );
  }
  return answers;
}

async function standingNow(
  session: Session,
  unconfirmed: Unconfirmed<Lane>,
  earlier: Earlier<Shard>,
): Promise<Reached> {
  const until = performance.now() + SHARD_WAIT_MS;
  const reached = await new Promise<Reached>((done) => {
    askStanding({ earlier, wanted: 0, until, session, done });
  });
  if (reached === null) unconfirmed.earlierLost(earlier);
  return reached;
}

function askNow(session: Session, lane: Lane, name: string): Promise<Reached> {
  return new Promise((done) => {
    const question: Question = {
      name,
      wanted: [0],
      until: performance.now() + SHARD_WAIT_MS,
      session,
      done,
    };
    if (lane.state !== 'ready') return leftBehind(lane, question);
    const lost = (): void => leftBehind(lane, question);
    lane.ask(null, null, encodeCommand(QUESTIONS[name] ?? []), 1, {
      onReply: (reply) => {
        if (reply[0] !== MINUS) done(numbersOf(reply));
        else if (demoted(reply)) lost();
        else done(reply);
      },
      onLost: lost,
    });
  });
}

/** The engine's answer in the transaction, or the one that takes its place. */
export function inPlace(
  earlier: EarlierWrites,
  name: string,
  reply: Buffer,
): Buffer | Promise<Buffer> {
  return reply[0] === MINUS ? reply : (earlier.get(name) ?? reply);
}

const MINUS = 0x2d;
