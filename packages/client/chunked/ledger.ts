/** Notes of writers about what they are doing: a hash, one field a write. */
import type { RawCall } from '../adapters/raw.ts';
import type { Version } from './manifest.ts';

export const LEDGER_KEY = 'cc:open';

export interface Note {
  readonly key: string;
  readonly at: number;
  /** The version being written; chunks so far, or more than there will be. */
  readonly made: Version | undefined;
  /** The version that goes when it succeeds. */
  readonly replaced: Version | undefined;
}

export class Ledger {
  readonly #raw: RawCall;

  constructor(raw: RawCall) {
    this.#raw = raw;
  }

  async note(id: string, note: Note): Promise<void> {
    await this.#raw('HSET', LEDGER_KEY, id, JSON.stringify(note));
  }

  async strike(id: string): Promise<void> {
    await this.#raw('HDEL', LEDGER_KEY, id);
  }

  async all(): Promise<ReadonlyMap<string, Note>> {
    const notes = new Map<string, Note>();
    const ids = await this.#raw('HKEYS', LEDGER_KEY);
    if (!Array.isArray(ids)) return notes;
    for (const one of ids) {
      const id = String(one);
      const text = await this.#raw('HGET', LEDGER_KEY, id);
      if (text instanceof Buffer) notes.set(id, JSON.parse(text.toString('utf8')) as Note);
    }
    return notes;
  }
}
