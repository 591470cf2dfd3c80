/**
 * Order per key. One connection keeps the order of everything; several keep none. What applications
 * rely on without thinking is the order of their commands on the same key (SET, then GET, without
 * waiting in between), so that is kept: while a key has a write in flight on a lane, further
 * commands on it follow to that lane, and a write follows reads, or waits until the key is quiet
 * where following is not possible (a large one may not follow to a small lane, a blocking one needs
 * a lane of its own, the reads may be on several). Reads do not order reads.
 *
 * A command whose several keys are busy on several lanes is not this table's business: the pool
 * makes it a barrier. So whoever waits here waits for one key, and waits cannot form a ring.
 *
 * With a single lane in use the connection does all this by itself, and the table is off.
 */
import type { Call } from './call.ts';
import type { Lane } from './lane.ts';
import type { Placeable } from './placeable.ts';

interface Busy {
  /** Undefined: on several (reads only). */
  lane: Lane | undefined;
  count: number;
  writes: number;
  waiting: Placeable[] | undefined;
}

export class KeyOrder {
  readonly #busy = new Map<string, Busy>();
  on = false;

  get size(): number {
    return this.#busy.size;
  }

  /** Which lane to follow; `free`: any; `wait`: none is right now. */
  where(keys: readonly string[], read: boolean): Lane | 'free' | 'wait' {
    let lane: Lane | undefined;
    for (const key of keys) {
      const busy = this.#busy.get(key);
      if (busy === undefined) continue;
      if (busy.waiting !== undefined) return 'wait';
      if (read && busy.writes === 0) continue;
      if (busy.lane === undefined || (lane !== undefined && lane !== busy.lane)) return 'wait';
      lane = busy.lane;
    }
    return lane ?? 'free';
  }

  enter(call: Call, lane: Lane): void {
    call.tracked = true;
    const write = call.facts.read ? 0 : 1;
    for (const key of call.keys()) {
      const busy = this.#busy.get(key);
      if (busy === undefined) {
        this.#busy.set(key, { lane, count: 1, writes: write, waiting: undefined });
      } else {
        busy.count += 1;
        busy.writes += write;
        if (busy.lane !== lane) busy.lane = undefined;
      }
    }
  }

  /** Answers those that may be placed now, in their order. */
  leave(call: Call): Placeable[] | undefined {
    call.tracked = false;
    const write = call.facts.read ? 0 : 1;
    let free: Placeable[] | undefined;
    for (const key of call.keys()) {
      const busy = this.#busy.get(key);
      if (busy === undefined) continue;
      busy.count -= 1;
      busy.writes -= write;
      if (busy.count > 0) continue;
      this.#busy.delete(key);
      if (busy.waiting !== undefined) {
        free = free === undefined ? busy.waiting : free.concat(busy.waiting);
      }
    }
    return free;
  }

  /** Waits until the key is quiet; false when it is. Who is made again waits before those that came later. */
  wait(item: Placeable, key: string): boolean {
    const busy = this.#busy.get(key);
    if (busy === undefined) return false;
    busy.waiting ??= [];
    const { waiting } = busy;
    let at = waiting.length;
    while (at > 0 && (waiting[at - 1] as Placeable).asked > item.asked) at -= 1;
    waiting.splice(at, 0, item);
    return true;
  }
}

/** Places those that waited for a call that left; `first`, which makes it again, comes in its own place among them. */
export function inOrder(
  free: Placeable[] | undefined,
  asked: number,
  first: (() => void) | undefined,
  place: (item: Placeable) => void,
): void {
  // Of several calls that one connection took, all but this one, the last, wait for the key: they were asked for earlier.
  let next = 0;
  if (free !== undefined && first !== undefined) {
    free.sort((a, b) => a.asked - b.asked);
    // Of one pipeline all have the same number: those that wait already are the ones before.
    for (; (free[next]?.asked ?? Number.POSITIVE_INFINITY) <= asked; next += 1)
      place(free[next] as Placeable);
  }
  if (first !== undefined) first();
  for (; free !== undefined && next < free.length; next += 1) place(free[next] as Placeable);
}
