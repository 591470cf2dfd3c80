/**
 * Which keys had large replies lately (engine rule 23): the size of a reply is known only when it
 * comes, so the first one is a surprise; the second one is not. A table of hashes with the time of
 * the last sighting: no keys are kept, a collision costs a detour and nothing else.
 *
 * Beside it the log of the largest requests and replies, which is what users ask for when one value
 * holds up a thousand.
 */
import { FULL_BOUNDS, RequestScanner, SCAN_COMMAND } from '../../resp/scan-request.ts';
import type { Command } from '../../resp/table/index.ts';
import {
  LARGE_KEY_MS,
  LARGE_KEYS,
  LARGE_LOG_BYTES,
  LARGE_LOG_ENTRIES,
  LOG_TEXT_BYTES,
} from './limits.ts';
import type { Pending } from './pending.ts';
import { bytesOf, isWrapped, WRAPPED_KEY } from './route.ts';
import type { World } from './world.ts';

export interface LargeEntry {
  readonly sequence: number;
  readonly at: number;
  readonly kind: 'large-request' | 'large-reply' | 'guard';
  readonly database: string;
  readonly client: string;
  readonly command: string;
  readonly key: string;
  readonly bytes: number;
  readonly ms: number;
  /** Commands that waited behind it on its lane. */
  readonly behind: number;
}

export class LargeKeys {
  /** Sightings; 0 means: no request needs to hash its key. */
  seen = 0;
  readonly #world: World;
  readonly #times = new Float64Array(LARGE_KEYS);
  #sequence = 0;
  #log: LargeEntry[] = [];

  constructor(world: World) {
    this.#world = world;
  }

  saw(pending: Pending, bytes: number, behind: number): void {
    const { block, command, session } = pending;
    if (block === null || command === null) return;
    const key = firstKeyOf(block.bytes, pending.from, pending.to, command);
    if (key !== null) {
      this.#times[hashKey(key, 0, key.length, command.id)] = this.#world.now + LARGE_KEY_MS;
      this.seen++;
    }
    this.note({
      kind: 'large-reply',
      client: session?.id ?? '',
      command: command.name,
      key: key === null ? '' : printable(key),
      bytes,
      ms: this.#world.now - pending.startedAt,
      behind,
    });
  }

  /** Whether this key, for this command, was large lately. */
  isLarge(bytes: Uint8Array, start: number, end: number, command: number): boolean {
    return (this.#times[hashKey(bytes, start, end, command)] ?? 0) > this.#world.now;
  }

  note(entry: Omit<LargeEntry, 'sequence' | 'at' | 'database'>): void {
    if (entry.bytes < LARGE_LOG_BYTES && entry.kind !== 'guard') return;
    this.#log.push({
      sequence: ++this.#sequence,
      at: this.#world.host.now(),
      database: this.#world.database,
      ...entry,
    });
    if (this.#log.length > LARGE_LOG_ENTRIES * 2) this.#log = this.#log.slice(-LARGE_LOG_ENTRIES);
  }

  since(sequence: number): readonly LargeEntry[] {
    return this.#log.filter((entry) => entry.sequence > sequence);
  }
}

function hashKey(bytes: Uint8Array, start: number, end: number, command: number): number {
  let hash = command;
  for (let i = start; i < end; i++) hash = (Math.imul(hash, 0x01000193) ^ (bytes[i] ?? 0)) | 0;
  return (hash ^ (hash >>> 16)) & (LARGE_KEYS - 1);
}

const scanner = new RequestScanner();

/** The first key of a whole, valid command; null when it has none in a fixed place. */
export function firstKeyOf(
  bytes: Buffer,
  from: number,
  to: number,
  command: Command,
): Uint8Array | null {
  if (command.firstKey === 0) return null;
  if (scanner.scan(bytes, from, to, FULL_BOUNDS) !== SCAN_COMMAND) return null;
  const index = isWrapped(command, bytes, scanner) ? WRAPPED_KEY : command.firstKey;
  return index < scanner.count ? bytesOf(bytes, scanner, index) : null;
}

/** A key for a log: cut, and bytes that are no text shown as escapes. */
export function printable(bytes: Uint8Array): string {
  const text = Buffer.from(bytes.subarray(0, LOG_TEXT_BYTES)).toString('latin1');
  const shown = text.replace(
    /[^ -~]/g,
    (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
  return bytes.length > LOG_TEXT_BYTES ? `${shown}...` : shown;
}
