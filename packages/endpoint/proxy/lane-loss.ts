/**
 * What becomes of the commands of a lane that died (design, decision 11; engine rules 7 and 18).
 *
 * Three things can be known of a command. It never left this process: it is sent again. It may have
 * run, and running it twice is harmless: a read; it is sent again at most once, and not at all if it
 * was the one being executed and may be what holds the engine up. It may have run and it writes: the
 * client is told exactly that. Nobody here knows more, and a retry would be a guess.
 *
 * A read that stood before a write of the same client on the same slot is not sent again either, if
 * that write may have run: it would answer with what was written after it.
 */
import { FULL_BOUNDS, RequestScanner } from '../../resp/scan-request.ts';
import type { Command } from '../../resp/table/index.ts';
import type { Lane } from './lane.ts';
import { OVERTAKEN, type Pending } from './pending.ts';
import { slotOfCommand } from './route.ts';
import type { Session } from './session.ts';
import { endWithin, WITHIN_REPLY } from './within-reply.ts';

export function failLane(lane: Lane, first: Pending | null, reason: string): void {
  let total = 0;
  for (let p = first; p !== null; p = p.nextInLane) total += p.to - p.from;
  const unsentFrom = total - lane.unsent;
  const midReply = lane.midReply;
  const writes = new LastWrites(first, unsentFrom);
  let at = 0;
  let place = 0;
  let next: Pending | null = null;
  for (let p = first; p !== null; p = next, place++) {
    next = p.nextInLane;
    p.nextInLane = null;
    const sent = at < unsentFrom;
    at += p.to - p.from;
    p.session?.landed(p.shard, p.count);
    if (p.sink !== null) {
      const { sink } = p;
      const [bytes] = sent ? remaining(p) : [];
      const late = bytes !== undefined && writes.follow(place, p, bytes);
      lane.world.pendings.give(p);
      sink.onLost(late ? OVERTAKEN : reason, sent);
    } else if (p.ordered) {
      const overtaken = (bytes: Buffer): boolean => sent && writes.follow(place, p, bytes);
      if (midReply && p === first && p.session !== null) endWithin(lane, p.session, reason);
      else decide(lane, p, sent, p === first, overtaken);
    }
  }
}

function decide(
  lane: Lane,
  p: Pending,
  sent: boolean,
  executing: boolean,
  overtaken: (bytes: Buffer) => boolean,
): void {
  const { session, command, block } = p;
  if (session === null || command === null || block === null) return;
  if (session.gone || session.state.ending === WITHIN_REPLY) return;
  const ranges = remaining(p);
  p.block = null;
  for (const [index, bytes] of ranges.entries()) {
    const again =
      mayRunAgain(lane, command, p, sent, executing && index === 0) && !overtaken(bytes);
    const single = lane.world.pendings.take();
    single.session = session;
    single.command = command;
    single.shard = p.shard;
    single.ordered = true;
    single.attempts = sent ? p.attempts : p.attempts - 1;
    session.order.insertBefore(single, p);
    if (again) {
      single.bytes = bytes;
      single.slot = slotOfCommand(command, bytes, lane.world.topology.home);
      single.turn = p.turn;
      lane.world.retries.add(single);
    } else {
      single.parts = [lostReply(lane, command)];
      single.done = true;
      lane.world.meter.of(command).failed++;
    }
  }
  p.count = 0;
  p.done = true;
  session.settle();
}

function mayRunAgain(
  lane: Lane,
  command: Command,
  p: Pending,
  sent: boolean,
  executing: boolean,
): boolean {
  if (!sent) return true;
  if (!command.readonly || p.attempts > 0) return false;
  if (!executing) return true;
  const stuck = lane.shard.view.reason === 'hung' || lane.shard.view.reason === 'busy';
  return command.fast && !stuck;
}

/** The error of a command whose answer will not come. */
export function lostReply(lane: Lane, command: Command): Buffer {
  const { id } = lane.shard;
  return Buffer.from(
    command.readonly
      ? `-ERR shard-lost: the connection to shard ${id} was lost while '${command.name}' was executing; it reads only and was not sent again\r\n`
      : `-OUTCOMEUNKNOWN the connection to shard ${id} was lost while '${command.name}' was in flight: it may or may not have been executed\r\n`,
  );
}

/** Copies of the commands of a record that have no answer yet. */
export function remaining(p: Pending): Buffer[] {
  return commandsOf(p, p.total - p.count, p.total);
}

/** Copies of the next `answered` commands of a record, whose answers have just come. */
export function answeredOf(p: Pending, answered: number): Buffer[] {
  return commandsOf(p, p.total - p.count, p.total - p.count + answered);
}

function commandsOf(p: Pending, first: number, end: number): Buffer[] {
  const { block } = p;
  if (block === null) return [];
  const scanner = new RequestScanner();
  const found: Buffer[] = [];
  let at = p.from;
  for (let i = 0; i < end; i++) {
    scanner.scan(block.bytes, at, p.to, FULL_BOUNDS);
    if (i >= first) found.push(Buffer.from(block.bytes.subarray(at, scanner.end)));
    at = scanner.end;
  }
  return found;
}

/** For each session and slot, the last record with a write that the engine may have executed. */
class LastWrites {
  readonly #places = new Map<Session, Map<number, number>>();

  constructor(first: Pending | null, unsentFrom: number) {
    let at = 0;
    let place = 0;
    for (let p = first; p !== null && at < unsentFrom; p = p.nextInLane, place++) {
      at += p.to - p.from;
      const { session, command } = p;
      if (session === null || command === null) continue;
      if (!command.write && command.fate.kind !== 'script') continue;
      const slots = this.#places.get(session) ?? new Map<number, number>();
      this.#places.set(session, slots);
      for (const bytes of remaining(p)) slots.set(slotOfCommand(command, bytes), place);
    }
  }

  /** A write of the same session and slot stands behind this place. */
  follow(place: number, { session, command }: Pending, bytes: Buffer): boolean {
    const slots = session === null ? undefined : this.#places.get(session);
    if (slots === undefined || command === null) return false;
    return (slots.get(slotOfCommand(command, bytes)) ?? -1) > place;
  }
}
