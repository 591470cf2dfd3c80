/**
 * What becomes of a command in a MULTI. Most are the engine's: they go to it between MULTI and EXEC.
 * What has to be known here (whose connection it is, what other workers and shards say) is done here,
 * when the engine has executed the rest (exec-run.ts).
 *
 * Two commands are both. SELECT and HELLO change how the engine understands and answers what follows in
 * the same MULTI, so it gets them, too; and because its connection is used by others, the last command
 * before EXEC takes back what they did there.
 */
import type { Command } from '../../resp/table/index.ts';
import type { Call } from './dispatch.ts';
import { textOf } from './route.ts';

/**
 * engine: its own. share: every shard's. here: answered here. select, hello: both, see above. denied: the
 * engine executes it, and answers that it cannot.
 */
export type PlaceInMulti = 'engine' | 'share' | 'here' | 'select' | 'hello' | 'denied';

/** Answered here otherwise, though an engine answers the same. */
const PASSED_ON = new Set(['ping', 'echo', 'publish', 'wait', 'waitaof', 'unwatch', 'spublish']);
/** What a subscription in the same MULTI changes: the reply, or who hears it. */
const AFTER_SUBSCRIBE = new Set(['ping', 'publish']);
/** Waits for messages without an end. SUBSCRIBE and PSUBSCRIBE do too, and are allowed all the same. */
const DENIED = new Set(['monitor', 'ssubscribe']);

export function placeInMulti(call: Call, subscribed: boolean): PlaceInMulti {
  const { session, command, bytes, args } = call;
  const { fate, name } = command;
  if (fate.kind === 'all') return 'share';
  if (fate.kind !== 'local') return 'engine';
  if (PASSED_ON.has(name)) return subscribed && AFTER_SUBSCRIBE.has(name) ? 'here' : 'engine';
  if (DENIED.has(name)) return 'denied';
  // Of several shards each has one database, and what is wrong with another number is said here.
  if (name === 'select') return session.proxy.world.topology.cluster ? 'here' : 'select';
  // With a login it may fail here, and then nothing has changed.
  const version = args.count === 2 || args.count === 4 ? textOf(bytes, args, 1) : '';
  return name === 'hello' && /^[23]$/.test(version) ? 'hello' : 'here';
}

export function subscribes({ name }: Command): boolean {
  return name === 'subscribe' || name === 'psubscribe';
}

/** In the engine's words, which differ. */
export function denial({ name }: Command): string {
  const client = name === 'monitor' ? 'DENY BLOCKING client' : 'a DENY BLOCKING client';
  return `-ERR ${name.toUpperCase()} isn't allowed for ${client}\r\n`;
}
