/**
 * Answers of all shards that have to be put together here: INFO, SLOWLOG GET, KEYS and their like.
 *
 * Each costs every engine and the worker some tenths of a millisecond or more, and they come as fast as
 * a client can write. A dozen clients with a few under way each were a hundred in every engine, before
 * whatever somebody else asked for, and as many to put together in one turn of the event loop. So all
 * clients of a worker share a few places, in the order of asking, one at a time for each; and one answer
 * is put together in a turn of the loop. Who reads his answers loses nothing by it: the worker is as busy
 * with two under way as with a hundred.
 *
 * Who does not read what he got is in no hurry. To begin nothing more for him would be simplest, and
 * wrong: many clients send a whole pipeline before they read, and would stand for ever. So all of these
 * share one place, and after each answer it is empty for some time.
 *
 * A place is given back by what takes an engine long, or is never answered: two questions to a shard
 * that is gone are not to keep everybody's.
 */
import { CLIENT_HIGH_WATER, MERGE_LATE_MS, MERGES, MERGES_BEHIND } from './limits.ts';
import type { Session } from './session.ts';
import type { World } from './world.ts';

/** Since when one is under way, by performance.now(). */
export interface MergePlace {
  readonly since: number;
}

export class Merges {
  readonly #world: World;
  readonly #places = new Set<MergePlace>();
  readonly #waiting = new Set<Session>();
  /** Woken, with a place kept for each, and since when. */
  readonly #granted = new Map<Session, number>();
  /** The one of those who do not read; none is given before `#behindAt`. */
  #behind: MergePlace | null = null;
  #behindAt = 0;
  readonly #waitingBehind = new Set<Session>();
  readonly #joins: (() => void)[] = [];

  constructor(world: World) {
    this.#world = world;
  }

  /** A place, or null: the session is woken when it may ask again. */
  begin(session: Session): MergePlace | null {
    const place = { since: performance.now() };
    if (session.output.unwritten > CLIENT_HIGH_WATER) {
      if (this.#behind !== null || place.since < this.#behindAt) {
        this.#waitBehind(session);
        return null;
      }
      this.#behind = place;
      return place;
    }
    if (!this.#granted.delete(session) && (this.#waiting.size > 0 || !this.#room)) {
      this.#waiting.add(session);
      return null;
    }
    this.#places.add(place);
    return place;
  }

  /** It is answered, or never will be. */
  end(place: MergePlace): void {
    if (place === this.#behind) {
      const now = performance.now();
      this.#behind = null;
      this.#behindAt = now + (now - place.since) * MERGES_BEHIND;
    } else if (this.#places.delete(place)) this.#grant();
  }

  get #room(): boolean {
    return this.#places.size + this.#granted.size < MERGES;
  }

  #grant(): void {
    for (const session of this.#waiting) {
      if (!this.#room) return;
      this.#waiting.delete(session);
      if (session.gone) continue;
      this.#granted.set(session, performance.now());
      this.#world.wake(session);
    }
  }

  #waitBehind(session: Session): void {
    if (this.#waitingBehind.has(session)) return;
    this.#waitingBehind.add(session);
    session.output.whenWritten(() => {
      if (this.#waitingBehind.delete(session)) this.#world.wake(session);
    });
  }

  /** Every WAIT_SWEEP_MS. */
  sweep(now: number): void {
    for (const place of this.#places) {
      if (now - place.since > MERGE_LATE_MS) this.end(place);
    }
    // It wants something else by now, or is gone.
    for (const [session, since] of this.#granted) {
      if (now - since > MERGE_LATE_MS) this.#granted.delete(session);
    }
    this.#grant();
    if (this.#behind !== null && now - this.#behind.since > MERGE_LATE_MS) this.end(this.#behind);
    if (this.#behind !== null || now < this.#behindAt) return;
    for (const session of this.#waitingBehind) {
      this.#waitingBehind.delete(session);
      if (session.gone) continue;
      return this.#world.wake(session);
    }
  }

  /** Puts one together, in a turn of its own. */
  join(put: () => void): void {
    this.#joins.push(put);
    if (this.#joins.length === 1) setImmediate(() => this.#next());
  }

  #next(): void {
    this.#joins[0]?.();
    this.#joins.shift();
    if (this.#joins.length > 0) setImmediate(() => this.#next());
  }
}
