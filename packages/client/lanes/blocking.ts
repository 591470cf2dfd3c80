/**
 * Blocking commands hold a connection each: an idle one, a new one up to the bound, else they wait
 * for one to be free.
 */
import type { Lane } from './lane.ts';
import type { Placeable } from './placeable.ts';
import type { Roster } from './roster.ts';

export class BlockingQueue {
  readonly items: Placeable[] = [];
  readonly #roster: Roster;
  readonly #max: number;
  readonly #send: (item: Placeable, lane: Lane) => void;
  readonly #wait: (item: Placeable) => void;

  constructor(
    roster: Roster,
    max: number,
    send: (item: Placeable, lane: Lane) => void,
    wait: (item: Placeable) => void,
  ) {
    this.#roster = roster;
    this.#max = max;
    this.#send = send;
    this.#wait = wait;
  }

  place(item: Placeable): void {
    let count = 0;
    for (const lane of this.#roster.lanes) {
      if (lane.kind !== 'blocking') continue;
      count += 1;
      if (lane.pending.size === 0 && lane.state === 'ready') return this.#send(item, lane);
    }
    this.#wait(item);
    if (count < this.#max) this.#open('a blocking command needs a connection of its own');
  }

  /** Where none can be opened and none will be free, nothing is left to wait for. */
  #open(reason: string): void {
    try {
      this.#roster.open('blocking', reason);
    } catch (error) {
      for (const lane of this.#roster.lanes) if (lane.kind === 'blocking') return;
      for (const item of this.items.splice(0)) item.fail(error);
    }
  }

  /** The lane is free. */
  next(lane: Lane): void {
    if (lane.state !== 'ready') return;
    for (let item = this.items.shift(); item !== undefined; item = this.items.shift()) {
      if (item.settled) continue;
      this.#send(item, lane);
      return;
    }
  }

  /** A lane went: those that wait need another. */
  more(): void {
    if (this.items.length > 0) this.#open('calls wait for one');
  }
}
