/**
 * How soon a wait is looked at again. A moment that is nearly over is polled each millisecond; one
 * that lasts would cost a whole core that way, and the engines' time too. So the interval grows with
 * how long the wait has lasted already: whatever ends it is seen late by an eighth of that at most. The
 * first look, where clients wait for it, is at once.
 */
import { WAIT_POLL_MS } from '../plan/limits.ts';
import type { Wait } from '../plan/model.ts';
import { PATIENCE } from './limits.ts';

export class Patience {
  #since = new Map<string, number>();

  /** When to look again, ms from now; Infinity: an event will come. */
  next(waits: readonly Wait[], now: number): number {
    const before = this.#since;
    const since = new Map(waits.map((wait) => [keyOf(wait), before.get(keyOf(wait)) ?? now]));
    this.#since = since;
    const due = waits.flatMap((wait) => {
      if (wait.recheckMs === null) return [];
      if (wait.recheckMs >= WAIT_POLL_MS) return [wait.recheckMs];
      const lasted = now - (since.get(keyOf(wait)) ?? now);
      if (wait.draining === true && before.get(keyOf(wait)) === undefined) return [0];
      return [Math.min(WAIT_POLL_MS, Math.max(wait.recheckMs, Math.floor(lasted / PATIENCE)))];
    });
    return Math.min(...due, Number.POSITIVE_INFINITY);
  }
}

function keyOf({ reason, shard }: Wait): string {
  return `${shard ?? '-'} ${reason}`;
}
