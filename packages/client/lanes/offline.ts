/** Calls that wait for a connection: bounded in count, bytes and age, in order, refused with a reason. */
import { performance } from 'node:perf_hooks';
import { KitError, whyOffline } from '../errors.ts';
import type { Placeable } from './placeable.ts';

export interface OfflineOptions {
  readonly calls: number;
  readonly bytes: number;
  readonly ageMs: number;
}

export class OfflineQueue {
  readonly #options: OfflineOptions;
  #items: { item: Placeable; since: number }[] = [];
  #bytes = 0;
  /** The last error of a connection, while there is none. */
  why: unknown;

  constructor(options: OfflineOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#items.length;
  }

  get holdsData(): boolean {
    return this.#items.some(({ item }) => item.place !== 'subscribe' && !item.settled);
  }

  /** Takes it, or fails it with the reason why not. */
  add(item: Placeable): void {
    const error = this.#refusal(item);
    if (error !== undefined) return item.fail(error);
    // Its age is that of all the time it waited here.
    const since = performance.now() - (item.calls[0]?.offlineMs ?? 0);
    // Who is made again may have waited for its key meanwhile: it goes before what was asked for later.
    let at = this.#items.length;
    while (at > 0 && (this.#items[at - 1]?.item.asked ?? 0) > item.asked) at -= 1;
    this.#items.splice(at, 0, { item, since });
    this.#bytes += item.bytesOut;
  }

  #refusal(item: Placeable): KitError | undefined {
    const { calls, bytes } = this.#options;
    if (calls === 0) {
      return new KitError(
        'ERR_CLIENT_OFFLINE',
        `${item.label}: no connection to the server, and waiting for one is off (offline: false)${whyOffline(this.why)}`,
        { cause: this.why },
      );
    }
    if (this.#items.length >= calls || this.#bytes + item.bytesOut > bytes) {
      return new KitError(
        'ERR_CLIENT_QUEUE_FULL',
        `${item.label}: no connection to the server, and ${this.#items.length} calls ` +
          `(${this.#bytes} bytes) wait for one already; the bound is ${calls} calls, ${bytes} bytes${whyOffline(this.why)}`,
        { cause: this.why },
      );
    }
    return undefined;
  }

  /** Takes all, in order. Time without a server is not the command's: its deadline moves by it. */
  take(now: number): Placeable[] {
    const items = this.#items.map(({ item, since }) => {
      for (const call of item.calls) {
        if (call.calling?.deadlineMs === undefined) call.deadlineAt += now - since - call.offlineMs;
        call.offlineMs = now - since;
      }
      return item;
    });
    this.#items = [];
    this.#bytes = 0;
    return items;
  }

  /** Takes those that waited too long, or whose caller said how long they may take. */
  expire(now: number): { item: Placeable; error: KitError }[] {
    if (this.#items.length === 0) return [];
    const out: { item: Placeable; error: KitError }[] = [];
    this.#items = this.#items.filter(({ item, since }) => {
      if (now - since < this.#options.ageMs && !overdue(item, now)) return true;
      this.#bytes -= item.bytesOut;
      const waited = Math.round(now - since);
      out.push({
        item,
        error: new KitError(
          'ERR_CLIENT_OFFLINE',
          `${item.label}: waited ${waited} ms for a connection to the server and was never sent${whyOffline(this.why)}`,
          { cause: this.why },
        ),
      });
      return false;
    });
    return out;
  }
}

function overdue(item: Placeable, now: number): boolean {
  return item.calls.some(
    (call) => call.calling?.deadlineMs !== undefined && now >= call.deadlineAt,
  );
}
