/** Notes of writers about what they are doing: a hash, one field a write. */
import type { RawCall } from '../adapters/raw.ts';
import { messageOf } from '../errors.ts';
import { isChunkCount, isVersionId, newId, type Version } from './manifest.ts';

export const LEDGER_KEY = 'cc:open';

export interface Note {
  readonly key: string;
  readonly at: number;
  /** The version being written; chunks so far, or more than there will be. */
  readonly made: Version | undefined;
  /** The version that goes when it succeeds. */
  readonly replaced: Version | undefined;
}

export interface Found {
  readonly note: Note;
  readonly text: string;
}

/** The field ARGV[1] becomes ARGV[3] if it is ARGV[2]; or is that already: asked again after a lost reply. */
const EXCHANGE = `local now = redis.call('HGET', KEYS[1], ARGV[1])
if now ~= ARGV[2] and now ~= ARGV[3] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1`;

/**
 * The note of a writer, or of who finishes something, as that one renews it: unless somebody has taken it. Whatever
 * else stands there is its own, also what it does not know to have arrived (a reply that was lost, or late).
 * -1: there is none: it was finished, or the server evicted all notes.
 */
const RENEW = `local now = redis.call('HGET', KEYS[1], ARGV[1])
if not now then return -1 end
if string.find(now, '"taken":', 1, true) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1`;

/** As EXCHANGE, for a server that has no room for a note: it goes at once. */
const REMOVE = `if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
return redis.call('HDEL', KEYS[1], ARGV[1])`;

/** The server has no memory left and takes nothing that needs any. */
function saysFull(error: unknown): boolean {
  return messageOf(error).startsWith('OOM ');
}

export class Ledger {
  readonly #raw: RawCall;

  constructor(raw: RawCall) {
    this.#raw = raw;
  }

  async note(id: string, note: Note): Promise<void> {
    await this.#raw('HSET', LEDGER_KEY, id, JSON.stringify(note));
  }

  /**
   * Of who sets free what stands: a server that is full must not keep him from it. Then nobody finishes it if he
   * dies on the way.
   */
  async noteIfRoom(id: string, note: Note): Promise<void> {
    try {
      await this.note(id, note);
    } catch (error) {
      if (!saysFull(error)) throw error;
    }
  }

  /** `taken`: somebody takes the writer for dead, and finishes what it began. `none`: nothing stands there. */
  async renew(id: string, note: Note): Promise<'done' | 'taken' | 'none'> {
    const done = Number(await this.#raw('EVAL', RENEW, '1', LEDGER_KEY, id, JSON.stringify(note)));
    return done === 1 ? 'done' : done === 0 ? 'taken' : 'none';
  }

  /** For who finishes it: from now on its writer cannot renew it. */
  async take(id: string, { text, note }: Found): Promise<boolean> {
    try {
      return await this.#exchange(
        id,
        text,
        JSON.stringify({ ...note, at: Date.now(), taken: newId() }),
      );
    } catch (error) {
      if (!saysFull(error)) throw error;
      return Number(await this.#raw('EVAL', REMOVE, '1', LEDGER_KEY, id, text)) === 1;
    }
  }

  async #exchange(id: string, before: string, after: string): Promise<boolean> {
    return Number(await this.#raw('EVAL', EXCHANGE, '1', LEDGER_KEY, id, before, after)) === 1;
  }

  async strike(id: string): Promise<void> {
    await this.#raw('HDEL', LEDGER_KEY, id);
  }

  async all(): Promise<ReadonlyMap<string, Found>> {
    const notes = new Map<string, Found>();
    const ids = await this.#raw('HKEYS', LEDGER_KEY);
    if (!Array.isArray(ids)) return notes;
    for (const one of ids) {
      const id = String(one);
      const text = await this.#raw('HGET', LEDGER_KEY, id);
      if (!(text instanceof Buffer)) continue;
      const note = noteOf(text);
      if (note !== undefined) notes.set(id, { note, text: text.toString('utf8') });
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
