/** The life of a value, and of its chunks. */
import { KitError } from '../errors.ts';
import { CHUNK_READ_ATTEMPTS } from '../limits.ts';
import type { ChunkedContext } from './chunked.ts';
import { chunkKey, newId, type Version } from './manifest.ts';
import { windowed } from './window.ts';
import { current } from './write.ts';

/** KEYS[1] lives ARGV[2] ms from now if it is ARGV[1]. */
const LIVE = `if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])`;

/**
 * Only the version that was seen: another one's chunks would not end with it. The note is for a process
 * that dies between the manifest and the last of the chunks, which would else stay for ever.
 */
export async function setExpiry(
  context: ChunkedContext,
  key: string,
  ttlMs: number,
): Promise<boolean> {
  const note = newId();
  for (let attempt = 0; attempt < CHUNK_READ_ATTEMPTS * 20; attempt += 1) {
    const { bytes, version } = await current(context, key);
    if (bytes.length === 0) {
      if (attempt > 0) await context.ledger.strike(note);
      return false;
    }
    if (version !== undefined) {
      await context.ledger.note(note, { key, at: Date.now(), made: undefined, replaced: version });
      // Chunks outlive their manifest, never the other way round.
      const left = Number(await context.raw('PTTL', key));
      if (left >= 0 && ttlMs > left) await chunksLive(context, version, ttlMs);
    }
    if (Number(await context.raw('EVAL', LIVE, '1', key, bytes, String(ttlMs))) !== 1) {
      // What was replaced meanwhile goes by itself; lives that were made longer for it end, too.
      await context.ledger.strike(note);
      continue;
    }
    if (version !== undefined) {
      await chunksLive(context, version, ttlMs);
      await context.ledger.strike(note);
    }
    return true;
  }
  throw new KitError('ERR_CLIENT_CHUNK_CONFLICT', `${key}: other writers replaced it every time`);
}

async function chunksLive(context: ChunkedContext, version: Version, ttlMs: number): Promise<void> {
  const bulk = context.bulk(undefined);
  const life = String(ttlMs + context.graceMs);
  await windowed(
    version.chunks,
    context.window,
    async (i) => void (await bulk('PEXPIRE', chunkKey(version.id, i), life)),
  );
}

/** The chunks of a version that counts end when it does, where whoever set its end did not come to them. */
export async function outlive(
  context: ChunkedContext,
  key: string,
  version: Version,
): Promise<void> {
  const left = Number(await context.raw('PTTL', key));
  if (left >= 0) await chunksLive(context, version, left);
}
