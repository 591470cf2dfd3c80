/**
 * Which lane a large reply takes.
 *
 * A few of them carry one large reply each, and more at once would only share the same bandwidth. But
 * one whose client has stopped reading carries nothing, perhaps for minutes: if it counted, as many
 * clients that stop would keep large values from everybody. So those that wait do not count, up to a
 * bound on connections. At the bound the one that has waited longest waits no more: its client's
 * output grows, and is ended by the limit that every client has.
 */
import type { Lane } from './lane.ts';
import { BULK_LANES, BULK_LANES_MOST } from './limits.ts';

/** One with nothing in flight. */
export function idleBulk(lanes: readonly Lane[]): Lane | null {
  return lanes.find((lane) => lane.open && lane.inFlight === 0) ?? null;
}

/** Whether there should be another. */
export function anotherBulk(lanes: readonly Lane[]): boolean {
  let moving = 0;
  let longest: Lane | null = null;
  for (const lane of lanes) {
    if (lane.state === 'connecting') return false;
    const since = lane.flow.waitingSince;
    if (since === 0) moving++;
    else if (longest === null || since < longest.flow.waitingSince) longest = lane;
  }
  if (moving >= BULK_LANES) return false;
  if (lanes.length < BULK_LANES_MOST) return true;
  longest?.flow.hurry();
  return false;
}
