/**
 * What clients have not read, all of this worker together.
 *
 * Each client has its limit (`session.state.most`, as the engine has). A hundred of them may stop at
 * once, and a process of their sum would not fit the machine. So together they may come to as much as
 * one of them may alone, in any database that this worker serves, and at least to a quarter of a
 * gigabyte. Beyond that the one that keeps most is ended, as Valkey does it with `maxmemory-clients`:
 * whoever reads what he asked for keeps next to nothing and is never meant.
 *
 * Counted is what could not be written at once: in the client's output, before its turn in the client's
 * order, or not yet whole. Not what the kernel holds, nor what lies unread in an engine.
 */
import { UNREAD_LEAST_BYTES } from './limits.ts';

export class Unread {
  /** By whoever serves a database: what one client of it may keep. */
  readonly #mays = new Map<object, number>();
  readonly #keepers = new Set<Keeper>();
  #most = UNREAD_LEAST_BYTES;
  #ending = false;
  bytes = 0;

  /** null: it serves nobody any more. */
  allow(owner: object, bytes: number | null): void {
    if (bytes === null) this.#mays.delete(owner);
    else this.#mays.set(owner, bytes);
    this.#most = Math.max(UNREAD_LEAST_BYTES, ...this.#mays.values());
  }

  changed(keeper: Keeper, by: number): void {
    this.bytes += by;
    if (keeper.bytes > 0) this.#keepers.add(keeper);
    else this.#keepers.delete(keeper);
    if (this.bytes <= this.#most || this.#ending) return;
    // Not within whatever brought the last bytes.
    this.#ending = true;
    setImmediate(() => this.#end());
  }

  #end(): void {
    this.#ending = false;
    while (this.bytes > this.#most) {
      let largest: Keeper | null = null;
      for (const each of this.#keepers) {
        if (largest === null || each.bytes > largest.bytes) largest = each;
      }
      if (largest === null) return;
      largest.tooMuch();
      largest.keep(0);
    }
  }
}

/** One process is one worker. */
export const unread = new Unread();

/** The part of one client. */
export class Keeper {
  bytes = 0;
  readonly tooMuch: () => void;
  readonly #unread: Unread;

  constructor(tooMuch: () => void, all = unread) {
    this.tooMuch = tooMuch;
    this.#unread = all;
  }

  keep(bytes: number): void {
    const by = bytes - this.bytes;
    if (by === 0) return;
    this.bytes = bytes;
    this.#unread.changed(this, by);
  }
}
