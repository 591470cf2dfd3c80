/**
 * Lanes that are not the small lane of the moment, and are kept.
 *
 * While a WAIT stands in a lane, others go on with another one, so WAIT leaves lanes behind. Such a lane
 * may not simply be closed when it is quiet: for what a client wrote there, only it can be asked (wait.ts).
 * So it becomes a spare, the next one to take the place of a lane that begins to wait. Those that were
 * needed last are taken first; the others fall idle, and are closed for that. The number is bounded: above
 * it one goes, if possible one that nobody may still ask about his writes.
 */
import type { Lane } from './lane.ts';
import { SPARE_LANES } from './limits.ts';

/** Clients whose last write to the shard went over this lane, and who have not asked for it since. */
const unasked = new WeakMap<object, number>();

export function owe(lane: object, clients: 1 | -1): void {
  unasked.set(lane, (unasked.get(lane) ?? 0) + clients);
}

/** A client may still ask here for what it wrote. */
export function owes(lane: Lane): boolean {
  return (unasked.get(lane) ?? 0) > 0;
}

export function takeSpare(spares: Lane[]): Lane | null {
  const at = spares.findLastIndex((lane) => lane.waits === 0 && !lane.retired);
  return at < 0 ? null : (spares.splice(at, 1)[0] ?? null);
}

/**
 * Of connections that were one session's alone. A session that blocks gets none that owes an answer: who
 * asks there for what he wrote would stand behind it, past the time-out of his WAIT.
 */
export function takeKept(own: Lane[], blocks: boolean): Lane | null {
  for (let at = own.length - 1; at >= 0; at--) {
    const lane = own[at];
    if (lane === undefined || (blocks && owes(lane))) continue;
    own.splice(at, 1);
    if (lane.open) return lane;
  }
  return null;
}

/** Answers the one that is too many. */
export function keepSpare(spares: Lane[], lane: Lane): Lane | null {
  if (spares.includes(lane)) return null;
  spares.push(lane);
  if (spares.length <= SPARE_LANES) return null;
  const free = spares.findIndex((each) => each.waits === 0 && !owes(each));
  const at = free < 0 ? spares.findIndex((each) => each.waits === 0) : free;
  return spares.splice(at, 1)[0] ?? null;
}
