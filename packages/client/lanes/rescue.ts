/**
 * The first large reply of a family surprises everybody behind it. Reads that stand behind it are
 * asked a second time on another lane, and the first answer counts: a read may run twice. A read
 * with a write on its own key on the way stays: it must see one before it, and must not see one after
 * it. So does everything that is not a plain read.
 */

import type { Sent, Wire } from '../wire/wire.ts';
import { Call } from './call.ts';
import type { Lane } from './lane.ts';
import type { Pool } from './pool.ts';

export function rescueBehind(pool: Pool, wire: Wire<Sent>, from: Lane, to: Lane): number {
  const written = new Set<string>();
  for (const call of from.pending)
    if (!mayGoTwice(call)) for (const key of call.keys()) written.add(key);
  let rescued = 0;
  for (let i = 1; i < wire.pending; i += 1) {
    const item = wire.at(i);
    if (!(item instanceof Call) || !mayGoTwice(item) || item.settled || item.large) continue;
    if (item.keys().some((key) => written.has(key))) continue;
    // A call like any other: a write that comes after the one it stands for comes after it, too.
    const twin = item.twin();
    pool.adopt(twin, to);
    twin.send(to);
    rescued += 1;
  }
  return rescued;
}

function mayGoTwice(call: Call): boolean {
  return (
    call.facts.read && call.place === 'data' && !call.inTransaction && call.chain === undefined
  );
}
