/**
 * The first large reply of a family surprises everybody behind it. Reads that stand behind it are
 * asked a second time on another lane, and the first answer counts: a read may run twice. A read
 * behind a write on its own key stays (it must see that write), and so does everything that is not
 * a plain read.
 */

import type { Sent, Wire } from '../wire/wire.ts';
import { Call } from './call.ts';
import type { Lane } from './lane.ts';

export function rescueBehind(wire: Wire<Sent>, lane: Lane): number {
  const written = new Set<string>();
  let rescued = 0;
  for (let i = 1; i < wire.pending; i += 1) {
    const item = wire.at(i);
    if (!(item instanceof Call)) continue;
    const keys = item.keys();
    if (!item.facts.read || item.place !== 'data' || item.inTransaction) {
      for (const key of keys) written.add(key);
      continue;
    }
    if (item.settled || item.large || keys.some((key) => written.has(key))) continue;
    item.duplicate(lane);
    rescued += 1;
  }
  return rescued;
}
