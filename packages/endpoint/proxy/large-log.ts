/**
 * The largest requests and replies, by key: what users ask for when one value holds up a thousand.
 *
 * A list of the latest ones would be full of a single key that is read all day. So there is one entry
 * a key and command, with how often and how long; and when the table is full, the smallest of those
 * that were not seen for an hour goes, or else the smallest of all.
 */
import type { LargeView } from '../control-protocol.ts';
import { LARGE_LOG_BYTES, LARGE_LOG_ENTRIES, LARGE_LOG_FRESH_MS } from './limits.ts';

export type LargeSighting = Omit<LargeView, 'database' | 'count' | 'firstAt'>;

export class LargeLog {
  readonly #database: string;
  readonly #entries = new Map<string, LargeView>();

  constructor(database: string) {
    this.#database = database;
  }

  note(seen: LargeSighting): void {
    if (seen.bytes < LARGE_LOG_BYTES) return;
    const name = `${seen.kind} ${seen.command} ${seen.key}`;
    const known = this.#entries.get(name);
    if (known === undefined) {
      if (this.#entries.size >= LARGE_LOG_ENTRIES && !this.#makeRoom(seen)) return;
      this.#entries.set(name, { ...seen, database: this.#database, count: 1, firstAt: seen.at });
      return;
    }
    this.#entries.set(name, {
      ...known,
      at: seen.at,
      client: seen.client,
      count: known.count + 1,
      bytes: Math.max(known.bytes, seen.bytes),
      ms: Math.max(known.ms, seen.ms),
      behind: Math.max(known.behind, seen.behind),
    });
  }

  /** False: the newcomer is the smallest. */
  #makeRoom(seen: LargeSighting): boolean {
    let victim: string | null = null;
    let victimBytes = Infinity;
    for (const [name, { bytes, at }] of this.#entries) {
      const rank = seen.at - at > LARGE_LOG_FRESH_MS ? bytes - Number.MAX_SAFE_INTEGER : bytes;
      if (rank >= victimBytes) continue;
      victim = name;
      victimBytes = rank;
    }
    if (victim === null || victimBytes > seen.bytes) return false;
    this.#entries.delete(victim);
    return true;
  }

  read(): LargeView[] {
    return [...this.#entries.values()];
  }
}
