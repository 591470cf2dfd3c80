/**
 * Error replies of an engine that are not meant for the client as they are.
 *
 * MOVED and its relatives say: not executed, not here or not now. The command takes a place of its
 * own in the session's order and is sent again when its shard is known and open. NOPERM, and its like of a
 * script, names the twin, which no client knows: the user's own name is put in its place. Everything else passes.
 */

import type { Command } from '../../resp/table/index.ts';
import { overLimit } from './guarded.ts';
import type { Lane } from './lane.ts';
import { remaining } from './lane-loss.ts';
import { REDIRECTS } from './limits.ts';
import type { Pending } from './pending.ts';
import { slotOfCommand, wordsOf } from './route.ts';
import type { Session } from './session.ts';

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
      again(lane, pending, session, command, bytes);
      return 'sent-again';
    }
  }
  if (
    command?.name.startsWith('evalsha') === true &&
    line.toString('latin1', 0, 10) === '-NOSCRIPT '
  ) {
    return knownScript(lane, pending, line) ? 'sent-again' : Buffer.from(line);
  }
  return lane.world.refusedScripts.instead(lane, line) ?? withoutTwin(lane, line);
}

/**
 * The engine has forgotten a script that we know (it restarted, or made room): it is loaded, and the
 * command, of which nothing ran, goes out again behind that.
 */
function knownScript(lane: Lane, pending: Pending, line: Buffer): boolean {
  const { scripts } = lane.world;
  const { session, command } = pending;
  const [bytes] = remaining(pending);
  // One that followed its slot to another shard has been sent before, and that shard lacks the script.
  const tried = pending.attempts > REDIRECTS;
  if (session === null || command === null || bytes === undefined || tried) return false;
  const [, sha] = wordsOf(bytes);
  const body = sha === undefined ? null : scripts.body(sha.toLowerCase());
  if (sha === undefined || body === null) return false;
  lane.question(['SCRIPT', 'LOAD', body], () => undefined);
  scripts.loaded(lane.node, sha.toLowerCase());
  // Another client's load may come between this one and a later one of the same client. Then this is
  // answered as the engine has: every client of scripts shows its script and goes on.
  again(lane, pending, session, command, bytes, Buffer.from(line));
  return true;
}

function again(
  lane: Lane,
  pending: Pending,
  session: Session,
  command: Command,
  bytes: Buffer,
  refusal: Buffer | null = null,
): void {
  const single = lane.world.pendings.take();
  single.session = session;
  single.command = command;
  single.shard = pending.shard;
  single.ordered = true;
  single.attempts = pending.attempts;
  single.deadlineAt = pending.deadlineAt;
  single.turn = pending.turn;
  single.refusal = refusal;
  single.bytes = bytes;
  single.slot = slotOfCommand(command, bytes, lane.world.topology.home);
  session.order.insertBefore(single, pending);
  lane.world.retries.add(single);
}

export function noteMoved(lane: Lane, line: Buffer): void {
  if (line.toString('latin1', 0, 7) === '-MOVED ') lane.world.topology.askSlots(lane);
}

/** "NOPERM User <twin> has no permissions ..." in the words of the client; a script's failure, too. */
export function withoutTwin(lane: Lane, line: Buffer): Buffer {
  const { twin, user } = lane.login;
  if (twin === user) return Buffer.from(line);
  for (const words of ['-NOPERM', '-ERR ACL failure in script:']) {
    const prefix = `${words} User ${twin} `;
    if (line.toString('latin1', 0, prefix.length) !== prefix) continue;
    const rest = line.toString('latin1', prefix.length);
    return Buffer.from(`${words} User ${user} ${rest}`, 'latin1');
  }
  return Buffer.from(line);
}
