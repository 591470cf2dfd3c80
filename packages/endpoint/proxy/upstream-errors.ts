/**
 * Error replies of an engine that are not meant for the client as they are.
 *
 * MOVED and its relatives say: not executed, not here or not now. The command takes a place of its
 * own in the session's order and is sent again when its shard is known and open. NOPERM names the
 * twin, which no client knows: the user's own name is put in its place. Everything else passes.
 */

import { overLimit } from './guarded.ts';
import type { Lane } from './lane.ts';
import { remaining } from './lane-loss.ts';
import type { Pending } from './pending.ts';
import { slotOfCommand } from './route.ts';

const NOT_EXECUTED = ['-MOVED ', '-CLUSTERDOWN ', '-LOADING ', '-MASTERDOWN ', '-READONLY '];

/** True for an error by which the engine says that it executed nothing, and that another may. */
export function isNotExecuted(reply: Buffer): boolean {
  if (reply[0] !== 45) return false;
  const start = reply.toString('latin1', 0, 13);
  return NOT_EXECUTED.some((prefix) => start.startsWith(prefix));
}

export function handleError(lane: Lane, pending: Pending, line: Buffer): Buffer | 'sent-again' {
  const { session, command } = pending;
  if (session === null || session.gone) return Buffer.from(line);
  const over = overLimit(pending, line);
  if (over !== null) return Buffer.from(over);
  if (command !== null && isNotExecuted(line)) {
    const [bytes] = remaining(pending);
    if (bytes !== undefined) {
      noteMoved(lane, line);
      const single = lane.world.pendings.take();
      single.session = session;
      single.command = command;
      single.shard = pending.shard;
      single.ordered = true;
      single.attempts = pending.attempts;
      single.deadlineAt = pending.deadlineAt;
      single.turn = pending.turn;
      single.bytes = bytes;
      single.slot = slotOfCommand(command, bytes);
      session.order.insertBefore(single, pending);
      lane.world.retries.add(single);
      return 'sent-again';
    }
  }
  return withoutTwin(lane, line);
}

export function noteMoved(lane: Lane, line: Buffer): void {
  if (line.toString('latin1', 0, 7) === '-MOVED ') lane.world.topology.askSlots(lane);
}

/** "NOPERM User <twin> has no permissions ..." in the words of the client. */
export function withoutTwin(lane: Lane, line: Buffer): Buffer {
  const { twin, user } = lane.login;
  const prefix = `-NOPERM User ${twin} `;
  if (twin === user || line.toString('latin1', 0, prefix.length) !== prefix) {
    return Buffer.from(line);
  }
  const text = line.toString('latin1');
  return Buffer.from(text.replace(`-NOPERM User ${twin} `, `-NOPERM User ${user} `), 'latin1');
}
