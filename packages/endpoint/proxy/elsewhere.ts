/**
 * A large reply has begun on a lane that others share: it cannot be known before. What stands behind
 * it would wait for all of it, tens of milliseconds for ten megabytes. So what may be asked twice is
 * asked again on the lane that takes this one's place, and the answers that still come here belong to
 * nobody.
 *
 * It may be asked twice only if its client cannot tell: plain reads, of clients that have nothing but
 * such reads in flight on this shard. With a write among them, a read before it would see it, or one
 * behind it would not. Everything else waits for its turn.
 */
import type { Lane } from './lane.ts';
import { remaining } from './lane-loss.ts';
import type { Pending } from './pending.ts';
import { slotOfCommand } from './route.ts';
import type { Session } from './session.ts';

export function sendElsewhere(lane: Lane): void {
  const large = lane.head;
  if (large === null || lane.login.tracking !== null) return;
  const { retries } = lane.world;
  for (const [session, records] of readsBehind(large)) {
    const waiting = records.reduce((sum, { count }) => sum + count, 0);
    if (session.gone || session.gated || session.lanes.on(lane.shard.index) !== waiting) continue;
    for (const record of records) again(lane, session, record);
  }
  if (retries.size > 0) retries.run();
}

function readsBehind(large: Pending): Map<Session, Pending[]> {
  const found = new Map<Session, Pending[]>();
  for (let p = large.nextInLane; p !== null; p = p.nextInLane) {
    const { session, command } = p;
    if (session === null || session === large.session) continue;
    const may = p.ordered && p.sink === null && command?.plain === true && command.readonly;
    // One that may not counts nowhere: then not all that its client has in flight is found.
    if (!may) continue;
    const known = found.get(session);
    if (known === undefined) found.set(session, [p]);
    else known.push(p);
  }
  return found;
}

/** Its commands get places of their own; the record stays in the lane, for the answers that still come. */
function again(lane: Lane, session: Session, record: Pending): void {
  const { command } = record;
  if (command === null) return;
  for (const bytes of remaining(record)) {
    const single = lane.world.pendings.take();
    single.session = session;
    single.command = command;
    single.shard = record.shard;
    single.ordered = true;
    // Not for a loss: if this lane's successor is lost, it may go out once more.
    single.attempts = record.attempts - 1;
    single.bytes = bytes;
    single.slot = slotOfCommand(command, bytes, lane.world.topology.home);
    session.order.insertBefore(single, record);
    lane.world.retries.add(single);
  }
  session.order.remove(record);
  record.session = null;
  record.command = null;
  session.landed(record.shard, record.count);
}

/** Somebody else's answers come behind this one, on the same lane. */
export function othersBehind({ session, nextInLane }: Pending): boolean {
  for (let p = nextInLane; p !== null; p = p.nextInLane) {
    if (p.session !== session && (p.session !== null || p.sink !== null)) return true;
  }
  return false;
}
