/**
 * What becomes of the commands of a lane that died (design, decision 11; engine rules 7 and 18).
 *
 * Three things can be known of a command. It never left this process: it is sent again. It may have
 * run, and running it twice is harmless: a read; it is sent again at most once, and not at all if it
 * was the one being executed and may be what holds the engine up. It may have run and it writes: the
 * client is told exactly that. Nobody here knows more, and a retry would be a guess.
 */
import { FULL_BOUNDS, RequestScanner } from '../../resp/scan-request.ts';
import type { Command } from '../../resp/table/index.ts';
import type { Lane } from './lane.ts';
import type { Pending } from './pending.ts';
import { slotOfCommand } from './route.ts';

export function failLane(lane: Lane, first: Pending | null, reason: string): void {
  let total = 0;
  for (let p = first; p !== null; p = p.nextInLane) total += p.to - p.from;
  const unsentFrom = total - lane.unsent;
  const midReply = lane.midReply;
  let at = 0;
  let next: Pending | null = null;
  for (let p = first; p !== null; p = next) {
    next = p.nextInLane;
    p.nextInLane = null;
    const sent = at < unsentFrom;
    at += p.to - p.from;
    p.session?.landed(p.shard, p.count);
    if (p.sink !== null) {
      const { sink } = p;
      lane.world.pendings.give(p);
      sink.onLost(reason, sent);
    } else if (p.ordered) {
      decide(lane, p, sent, p === first, midReply && p === first);
    }
  }
}

function decide(
  lane: Lane,
  p: Pending,
  sent: boolean,
  executing: boolean,
  midReply: boolean,
): void {
  const { session, command, block } = p;
  if (session === null || command === null || block === null) return;
  if (session.gone) return;
  if (midReply) {
    session.end('shard-lost-within-reply');
    return;
  }
  const ranges = remaining(p);
  p.block = null;
  for (const [index, bytes] of ranges.entries()) {
    const again = mayRunAgain(lane, command, p, sent, executing && index === 0);
    const single = lane.world.pendings.take();
    single.session = session;
    single.command = command;
    single.shard = p.shard;
    single.ordered = true;
    single.attempts = sent ? p.attempts : p.attempts - 1;
    session.order.insertBefore(single, p);
    if (again) {
      single.bytes = bytes;
      single.slot = slotOfCommand(command, bytes);
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
  const { block } = p;
  if (block === null) return [];
  const scanner = new RequestScanner();
  const found: Buffer[] = [];
  let at = p.from;
  for (let i = 0; i < p.total; i++) {
    scanner.scan(block.bytes, at, p.to, FULL_BOUNDS);
    if (i >= p.total - p.count) found.push(Buffer.from(block.bytes.subarray(at, scanner.end)));
    at = scanner.end;
  }
  return found;
}
