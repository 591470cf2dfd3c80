/** Notes of writers about what they are doing: a hash, one field a write. */
import type { RawCall } from '../adapters/raw.ts';
import { isChunkCount, isVersionId, type Version } from './manifest.ts';

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
      const note = text instanceof Buffer ? noteOf(text) : undefined;
      if (note !== undefined) notes.set(id, note);
    }
    return notes;
  }
}

/**
 * Undefined: no note of ours. Whoever wrote it may mean something by it, and the others must still be found,
 * so it is passed over and stays.
 */
function noteOf(bytes: Buffer): Note | undefined {
  let read: unknown;
  try {
    read = JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
  if (typeof read !== 'object' || read === null) return undefined;
  const { key, at, made, replaced } = read as Record<keyof Note, unknown>;
  if (typeof key !== 'string' || typeof at !== 'number') return undefined;
  if (!isVersion(made) || !isVersion(replaced)) return undefined;
  return { key, at, made, replaced };
}

function isVersion(value: unknown): value is Version | undefined {
  if (value === undefined) return true;
  if (typeof value !== 'object' || value === null) return false;
  const { id, chunks } = value as Partial<Version>;
  return isVersionId(id) && isChunkCount(chunks);
}
