/**
 * WAIT and WAITAOF ask whether the writes of one connection have come to replicas, or to disk. The writes of this
 * client went over several, and the one that is asked may have written nothing lately: it says that all is well of
 * a write on another that nobody has. So all are asked, and what counts is the least that any of them says. One
 * that cannot say it has nothing confirmed.
 */
import type { Call } from './call.ts';
import type { Lane } from './lane.ts';
import { isData } from './roster.ts';

export function asksForConfirmation(name: string): boolean {
  return name === 'wait' || name === 'waitaof';
}

/** `call` goes to `lane`: the others are asked beside it. Nothing to do where there is no other. */
export function confirmOnAll(call: Call, lane: Lane, lanes: Iterable<Lane>): void {
  const args = [call.name, ...call.args.slice(call.from).map(String)];
  const replies: Promise<unknown>[] = [];
  for (const other of lanes) {
    const { client, state } = other;
    if (other === lane || state !== 'ready' || !isData(other) || client?.alone !== true) continue;
    replies.push(client.command(args).catch(() => undefined));
  }
  if (replies.length === 0) return;
  call.combine(async (own) => (await Promise.all(replies)).reduce(least, own));
}

/** Of two replies: numbers, or for WAITAOF pairs of them. */
function least(one: unknown, other: unknown): unknown {
  if (Array.isArray(one)) {
    const pair: unknown[] = Array.isArray(other) ? other : [];
    return one.map((part, i) => least(part, pair[i]));
  }
  return typeof other === 'number' && typeof one === 'number' ? Math.min(one, other) : 0;
}
