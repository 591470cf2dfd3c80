/**
 * Commands that everything must be in order with (FLUSHALL, SCRIPT FLUSH, a command whose keys are
 * busy on several lanes): sent when nothing is in flight on any lane; what is asked for meanwhile
 * waits until it was answered. What was asked for before it, and waited for its key or lost its connection, does
 * not wait for it: it goes first.
 */
import type { Call } from './call.ts';
import type { Lane } from './lane.ts';
import type { Placeable } from './placeable.ts';

export class Barrier {
  readonly held: Placeable[] = [];
  readonly #quiet: () => boolean;
  readonly #lane: () => Lane | undefined;
  readonly #send: (item: Placeable, lane: Lane) => void;
  readonly #place: (item: Placeable) => void;
  #item: Placeable | undefined;
  #sent = false;
  /** Those of its calls that are on a lane; undefined while it is being sent. */
  #left: Set<Call> | undefined;

  constructor(
    quiet: () => boolean,
    lane: () => Lane | undefined,
    send: (item: Placeable, lane: Lane) => void,
    place: (item: Placeable) => void,
  ) {
    this.#quiet = quiet;
    this.#lane = lane;
    this.#send = send;
    this.#place = place;
  }

  get on(): boolean {
    return this.#item !== undefined;
  }

  /** This one comes after it. */
  holds(item: Placeable): boolean {
    return this.#item !== undefined && item.asked > this.#item.asked;
  }

  get waiting(): readonly Placeable[] {
    return this.#item !== undefined && !this.#sent ? [this.#item, ...this.held] : this.held;
  }

  /** One that was asked for before the present one goes before it, unless that is on its way already. */
  begin(item: Placeable): void {
    const present = this.#item;
    if (present !== undefined) {
      this.hold(this.#sent ? item : present);
      if (this.#sent) return;
    }
    this.#item = item;
    this.#sent = false;
    this.#left = undefined;
  }

  /** Among those that wait for its end, in the order in which they were asked for: one may be made again. */
  hold(item: Placeable): void {
    const { held } = this;
    let at = held.length;
    while (at > 0 && (held[at - 1] as Placeable).asked > item.asked) at -= 1;
    held.splice(at, 0, item);
  }

  /** Sends it if it may go. */
  step(): void {
    const item = this.#item;
    if (item === undefined || this.#sent) return;
    if (item.settled) return this.#end();
    if (!this.#quiet()) return;
    // Only to a connection that is there: one that waits for a connection among the others would be held
    // up by itself when it comes.
    const lane = this.#lane();
    if (lane === undefined) return;
    this.#sent = true;
    this.#send(item, lane);
    // EXEC is among them only now; and what could not be sent is over already.
    this.#left = new Set(item.calls.filter((call) => call.listed));
    if (this.#left.size === 0) this.#end();
  }

  /** A call left its lane: perhaps one of the barrier's, perhaps the last one in its way. */
  released(call: Call): void {
    const item = this.#item;
    if (item === undefined) return;
    if (!this.#sent) return this.step();
    if (this.#left?.delete(call) === true && this.#left.size === 0) this.#end();
  }

  #end(): void {
    this.#item = undefined;
    for (const item of this.held.splice(0)) this.#place(item);
  }
}
