/** Which engine owes an answer for so long that somebody should look whether it lives. */
import type { Lane } from './lane.ts';
import { SILENCE_MS } from './limits.ts';

/** The lane to the primary that has waited longest for what does not wait in the engine by itself. */
export function silentLane(lanes: Iterable<Lane>, now: number): Lane | null {
  let silent: Lane | null = null;
  let since = now - SILENCE_MS;
  for (const lane of lanes) {
    if (lane.kind === 'own' || lane.waits > 0 || lane.copy !== 'primary') continue;
    if (lane.head === null || lane.head.startedAt > since) continue;
    since = lane.head.startedAt;
    silent = lane;
  }
  return silent;
}
