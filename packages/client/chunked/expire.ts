/** The life of a value, and of its chunks. */
import { KitError } from '../errors.ts';
import { CHUNK_READ_ATTEMPTS } from '../limits.ts';
import type { ChunkedContext } from './chunked.ts';
import { chunkKey, newId, type Version } from './manifest.ts';
import { windowed } from './window.ts';
import { current, retire } from './write.ts';

/** KEYS[1] lives ARGV[2] ms from now if it is ARGV[1]. */
const LIVE = `if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])`;

/** What is left of the life of KEYS[1] if it is ARGV[1], as PTTL says it; -2: it is not, or not any more. */
const LEFT = `if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -2 end
return redis.call('PTTL', KEYS[1])`;
const GONE = -2;

/**
 * Only the version that was seen: another one's chunks would not end with it. The note is for a process
 * that dies between the manifest and the last of the chunks, which would else stay for ever. Two may set a life
 * at once: the manifest has that of the last, and the chunks would have that of whoever was slower. So each one
 * looks again when it is done.
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
      await context.ledger.noteIfRoom(note, {
        key,
        at: Date.now(),
        made: undefined,
        replaced: version,
      });
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
      await follow(context, key, bytes, version);
      await context.ledger.strike(note);
    }
    return true;
  }
  throw new KitError('ERR_CLIENT_CHUNK_CONFLICT', `${key}: other writers replaced it every time`);
}

/** Gives the chunks the life that the manifest has, until it has no other one when they have it. */
async function follow(
  context: ChunkedContext,
  key: string,
  manifest: Buffer,
  version: Version,
): Promise<void> {
  let given: readonly [from: number, to: number] | undefined;
  for (let attempt = 0; attempt < CHUNK_READ_ATTEMPTS * 20; attempt += 1) {
    const asked = performance.now();
    const left = Number(await context.raw('EVAL', LEFT, '1', key, manifest));
    if (left === GONE) return retire(context, version);
    // Somebody made it last for ever (PERSIST), which is not among what values are for.
    if (left < 0) return;
    // When it ends, as well as can be said: it was looked at some time between asking and now.
    const ends = [asked + left, performance.now() + left] as const;
    const same =
      given !== undefined && ends[0] <= given[1] + SAME_MS && given[0] <= ends[1] + SAME_MS;
    if (same) return;
    await chunksLive(context, version, left);
    given = ends;
  }
  throw new KitError('ERR_CLIENT_CHUNK_CONFLICT', `${key}: others set its life every time`);
}

/** Two looks at one end of a life differ by so much at most. */
const SAME_MS = 20;

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
