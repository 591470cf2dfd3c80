/**
 * Order on each slot of a node-redis cluster client, while slots move.
 *
 * The library sends a command again where a node says that it belongs, and knows of no other: what was asked for
 * later may have gone to the new node already, and two that are sent again overtake each other, as each waits for
 * the map of slots and for its connection by itself. So the kit stands in front of each attempt of each command.
 * As long as all that is under way on a slot is under way to one node, everything passes. What would go to another
 * node waits until that is answered; and what a node has sent elsewhere waits with its redirect, before the library
 * hears of it. From then on they go one by one, in the order in which they were asked for, until nobody waits.
 *
 * While a slot moves, its keys go one by one. So a transaction may be refused for a key that has gone, and what was
 * asked for later on one that has not may run. The transaction comes too late then: it fails with its refusal.
 */

/** One command, on its slot: a call may have several, each on another. */
export interface Turn {
  /** Its place among all calls. */
  readonly asked: number;
  /** Its caller has given up. */
  readonly settled: boolean;
  readonly read: boolean;
  /** It has several keys: one of them may be gone, and another one not. */
  readonly several: boolean;
  keys(): readonly string[];
}

interface Waiter {
  readonly turn: Turn;
  /** By which a node has sent it elsewhere. */
  readonly refusal: unknown;
  go(): void;
  fail(error: unknown): void;
}

interface Slot {
  /** Where all that is under way goes, and how much that is. */
  node: object;
  under: number;
  /** Of those: that have several keys. */
  several: number;
  /** What goes alone, over all its attempts. */
  alone: Turn | undefined;
  /** By the order in which they were asked for. */
  readonly waiting: Waiter[];
}

export class SlotOrder {
  /** Those on which anything is under way, or waits. */
  readonly #slots = new Map<number, Slot>();
  /** Where a command is alone. */
  readonly #alone = new Map<Turn, number>();

  /** One attempt at `node`; `attempt` is made at once, or in its turn. */
  async run<T>(turn: Turn, at: number, node: object, attempt: () => Promise<T>): Promise<T> {
    const slot = this.#slots.get(at) ?? {
      node,
      under: 0,
      several: 0,
      alone: undefined,
      waiting: [],
    };
    this.#slots.set(at, slot);
    if (slot.alone !== turn && this.#isBusy(slot, node)) await this.#wait(at, slot, turn);
    slot.node = node;
    slot.under += 1;
    if (turn.several) slot.several += 1;
    try {
      const reply = await attempt();
      if (!turn.read && slot.several > (turn.several ? 1 : 0)) {
        // What came before it is told by then.
        await new Promise((told) => setImmediate(told));
        passed(slot, turn);
      }
      return reply;
    } catch (error) {
      if (!(isRedirect(error) || saysTryAgain(error)) || slot.alone === turn) throw error;
      slot.under -= 1;
      try {
        await this.#wait(at, slot, turn, error);
      } finally {
        slot.under += 1;
      }
      throw error;
    } finally {
      slot.under -= 1;
      if (turn.several) slot.several -= 1;
      this.#next(at, slot);
    }
  }

  /** The command is over. `lost`: with its connection; what waited behind it was never sent, and has the same fate. */
  end(turn: Turn, lost: unknown): void {
    const at = this.#alone.get(turn);
    const slot = at === undefined ? undefined : this.#slots.get(at);
    if (at === undefined || slot === undefined) return;
    this.#alone.delete(turn);
    slot.alone = undefined;
    if (lost !== undefined) for (const each of slot.waiting.splice(0)) each.fail(lost);
    this.#next(at, slot);
  }

  #isBusy(slot: Slot, node: object): boolean {
    const { under, alone, waiting } = slot;
    return alone !== undefined || waiting.length > 0 || (under > 0 && slot.node !== node);
  }

  /** Until it goes alone. */
  #wait(at: number, slot: Slot, turn: Turn, refusal?: unknown): Promise<void> {
    const { waiting } = slot;
    return new Promise<void>((go, fail) => {
      let place = waiting.length;
      while (place > 0 && (waiting[place - 1]?.turn.asked ?? 0) > turn.asked) place -= 1;
      waiting.splice(place, 0, { turn, refusal, go, fail });
      if (slot.under === 0) this.#take(at, slot);
    });
  }

  #next(at: number, slot: Slot): void {
    if (slot.under > 0) return;
    this.#take(at, slot);
    if (slot.alone === undefined && slot.waiting.length === 0) this.#slots.delete(at);
  }

  #take(at: number, slot: Slot): void {
    if (slot.alone !== undefined) return;
    for (let next = slot.waiting.shift(); next !== undefined; next = slot.waiting.shift()) {
      if (next.turn.settled) {
        next.fail(new Error('its caller has given up'));
        continue;
      }
      slot.alone = next.turn;
      this.#alone.set(next.turn, at);
      next.go();
      return;
    }
  }
}

/** It has run: what was refused before it, and shares a key with it, comes too late. */
function passed(slot: Slot, by: Turn): void {
  const keys = by.keys();
  for (const waiter of [...slot.waiting]) {
    const { turn, refusal } = waiter;
    if (refusal === undefined || turn.asked > by.asked || turn.read) continue;
    if (!turn.keys().some((key) => keys.includes(key))) continue;
    slot.waiting.splice(slot.waiting.indexOf(waiter), 1);
    waiter.fail(new Overtaken(refusal));
  }
}

/** Something that was asked for later ran before. The library, which would follow a redirect, is not told of one. */
export class Overtaken extends Error {
  readonly refusal: unknown;

  constructor(refusal: unknown) {
    super('overtaken', { cause: refusal });
    this.refusal = refusal;
  }
}

/** Of several keys some have gone to the next node. */
export function saysTryAgain(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('TRYAGAIN ');
}

function isRedirect(error: unknown): boolean {
  return error instanceof Error && /^(?:MOVED|ASK) /.test(error.message);
}
