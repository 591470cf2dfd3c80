/**
 * Which keys had large replies lately (engine rule 23): the size of a reply is known only when it
 * comes, so the first one is a surprise; the second one is not. Nor is the next key of a client who
 * reads one large value after the other, as every export does: after a large reply its next command of
 * that name is expected to have one, until one has not. A table of hashes with the time of
 * the last sighting: no keys are kept, a collision costs a detour and nothing else.
 */
import { FULL_BOUNDS, RequestScanner, SCAN_COMMAND } from '../../resp/scan-request.ts';
import type { Command } from '../../resp/table/index.ts';
import { LargeLog } from './large-log.ts';
import { BULK_BYTES, LARGE_KEY_MS, LARGE_KEYS, LOG_TEXT_BYTES } from './limits.ts';
import type { Pending } from './pending.ts';
import { bytesOf, isWrapped, WRAPPED_KEY } from './route.ts';
import type { Session } from './session.ts';
import type { World } from './world.ts';

export class LargeKeys {
  /** Sightings; 0 means: no request needs to hash its key. */
  seen = 0;
  readonly log: LargeLog;
  readonly #world: World;
  readonly #times = new Float64Array(LARGE_KEYS);

  constructor(world: World) {
    this.#world = world;
    this.log = new LargeLog(world.database);
  }

  /** A large reply to this one has begun. */
  begins({ block, command, session, from, to }: Pending): void {
    if (block === null || command === null) return;
    if (session !== null) session.state.largeCommand = command.id;
    const key = firstKeyOf(block.bytes, from, to, command);
    if (key === null) return;
    this.#times[hashKey(key, 0, key.length, command.id)] = this.#world.now + LARGE_KEY_MS;
    this.seen++;
  }

  /** Answered; it or its reply may have been large. */
  done(pending: Pending): void {
    const { block, command, session, from, to, large, behind, total } = pending;
    if (block === null || command === null || session === null) return;
    if (large === 0) {
      session.state.largeCommand = -1;
      session.state.largeReply = 0;
      if (to - from <= BULK_BYTES) return;
    }
    if (large > 0) session.state.largeReply = large;
    const { host, now } = this.#world;
    const key = firstKeyOf(block.bytes, from, to, command);
    const seen = {
      command: command.name,
      key: key === null ? '' : printable(key),
      ms: Math.round((now - pending.startedAt) * 1000) / 1000,
      behind,
      at: host.now(),
      client: session.id,
    };
    if (large > 0) this.log.note({ ...seen, kind: 'large-reply', bytes: large });
    // Several commands in one record are small ones.
    if (total === 1 && to - from > BULK_BYTES) {
      this.log.note({ ...seen, kind: 'large-request', bytes: to - from });
    }
  }

  /** Whether this key, for this command, was large lately, or the client's last one was. */
  isLarge(
    bytes: Uint8Array,
    start: number,
    end: number,
    { id }: Command,
    { state }: Session,
  ): boolean {
    if (state.largeCommand === id) return true;
    return (this.#times[hashKey(bytes, start, end, id)] ?? 0) > this.#world.now;
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
