/** Writing, replacing, deleting. The order of the steps is what chunked.ts explains. */
import type { RawCall } from '../adapters/raw.ts';
import { kindOf } from '../checks.ts';
import { aborted, KitError, messageOf } from '../errors.ts';
import { CHUNK_ABORT_MS, CHUNK_READ_ATTEMPTS } from '../limits.ts';
import type { ChunkedContext, ChunkedValue } from './chunked.ts';
import { maybeCollect } from './collect.ts';
import {
  chunkKey,
  decodeManifest,
  encodeManifest,
  type Manifest,
  newId,
  type Version,
} from './manifest.ts';
import { type ChunkSource, isSource, pieces } from './source.ts';
import { windowed } from './window.ts';
import { Writer } from './writer.ts';

/** KEYS[1] becomes ARGV[2] (or goes, if that is empty) if it is ARGV[1] now (empty: absent). ARGV[3]: life in ms. */
const SWAP = `local now = redis.call('GET', KEYS[1])
if (now or '') ~= ARGV[1] then return 0 end
if ARGV[2] == '' then return redis.call('DEL', KEYS[1]) end
if ARGV[3] == '' then redis.call('SET', KEYS[1], ARGV[2]) else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1`;

const nothing = Buffer.alloc(0);

export async function write(
  context: ChunkedContext,
  key: string,
  source: ChunkSource,
  options: { readonly ttlMs?: number; readonly signal?: AbortSignal },
): Promise<ChunkedValue> {
  const { ttlMs, signal } = options;
  if (ttlMs !== undefined && !(Number.isInteger(ttlMs) && ttlMs > 0)) {
    throw new KitError(
      'ERR_CLIENT_OPTION',
      `${key}: ttlMs must be a whole number of ms above 0, got ${ttlMs}`,
    );
  }
  if (!isSource(source)) {
    throw new KitError(
      'ERR_CLIENT_OPTION',
      `${key}: a value is text, bytes (Buffer, Uint8Array) or a stream of them, got ${kindOf(source)}; ` +
        'give a number as String(value), an object as JSON.stringify(value)',
    );
  }
  return soonAfterAbort(put(context, key, source, ttlMs, signal), signal, stoppedAt(key));
}

const stoppedAt =
  (key: string) =>
  (reason: unknown): KitError =>
    aborted(`chunked.set ${key}`, reason);

async function put(
  context: ChunkedContext,
  key: string,
  source: ChunkSource,
  ttlMs: number | undefined,
  signal: AbortSignal | undefined,
): Promise<ChunkedValue> {
  const id = newId();
  const writer = new Writer(context, key, id, ttlMs, signal);
  let manifest: Manifest;
  try {
    for await (const piece of pieces(source, context.chunkBytes, signal, stoppedAt(key)))
      await writer.add(piece);
    manifest = await writer.end();
  } catch (error) {
    await writer.discard();
    throw error;
  }
  await writer.rest();
  // From here on an error does not prove that the value does not stand: what the write left is for
  // collect() to judge, which looks at what counts when the dust has settled.
  await publish(context, key, manifest, ttlMs, writer);
  maybeCollect(context);
  const { size, chunks, chunkBytes } = manifest;
  return { size, chunks, chunkBytes, version: id };
}

/**
 * Who aborts is told by what the work comes to: that it was cleaned up, or stands after all. But a server that says
 * nothing would keep him for as long as each of the calls may take; then he goes on, and what is left to do is done
 * behind his back, or found by collect().
 */
function soonAfterAbort<T>(
  work: Promise<T>,
  signal: AbortSignal | undefined,
  stopped: (reason: unknown) => Error,
): Promise<T> {
  if (signal === undefined) return work;
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined;
    const stop = (): void => {
      timer = setTimeout(() => reject(stopped(signal.reason)), CHUNK_ABORT_MS);
    };
    signal.addEventListener('abort', stop, { once: true });
    work.then(resolve, reject).finally(() => {
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
    });
  });
}

/** Puts the manifest in the place of whatever stands there, and lets that go. */
async function publish(
  context: ChunkedContext,
  key: string,
  manifest: Manifest,
  ttlMs: number | undefined,
  writer: Writer,
): Promise<void> {
  const made = writer.noted ? { id: writer.id, chunks: writer.chunks } : undefined;
  for (let attempt = 0; attempt < CHUNK_READ_ATTEMPTS * 20; attempt += 1) {
    const { bytes, version } = await current(context, key);
    if (made !== undefined || version !== undefined) {
      await writer.note(made, version);
    }
    const life = ttlMs === undefined ? '' : String(ttlMs);
    if (!(await swap(context.raw, key, bytes, encodeManifest(manifest), life))) continue;
    await retire(context, version);
    // Still its own: nobody took this writer for dead while the manifest was on its way.
    if (made !== undefined) await writer.note(made, version);
    if (made !== undefined || version !== undefined) await context.ledger.strike(manifest.id);
    return;
  }
  throw new KitError(
    'ERR_CLIENT_CHUNK_CONFLICT',
    `${key}: other writers replaced it every time; have fewer of them write the same key`,
  );
}

async function swap(
  raw: RawCall,
  key: string,
  before: Buffer,
  after: Buffer,
  life: string,
): Promise<boolean> {
  try {
    return Number(await raw('EVAL', SWAP, '1', key, before, after, life)) === 1;
  } catch (error) {
    // The reply was lost, not necessarily the swap: what stands there tells.
    const now = await raw('GET', key);
    if (after.length > 0 && now instanceof Buffer && now.equals(after)) return true;
    if (after.length === 0 && now === null) return true;
    throw error;
  }
}

export async function current(
  context: ChunkedContext,
  key: string,
): Promise<{ bytes: Buffer; version: Version | undefined }> {
  const bytes = await context.raw('GET', key);
  if (!(bytes instanceof Buffer)) return { bytes: nothing, version: undefined };
  try {
    const manifest = decodeManifest(key, bytes);
    return {
      bytes,
      version: manifest === undefined || manifest.chunks === 0 ? undefined : manifest,
    };
  } catch {
    // A manifest that cannot be read is replaced like any other value; what it named is unknown.
    return { bytes, version: undefined };
  }
}

/** A version that no manifest names any more: its chunks go after the grace period. */
export async function retire(context: ChunkedContext, version: Version | undefined): Promise<void> {
  if (version === undefined) return;
  const bulk = context.bulk(undefined);
  await windowed(version.chunks, context.window, async (i) => {
    if (context.graceMs > 0)
      await bulk('PEXPIRE', chunkKey(version.id, i), String(context.graceMs), 'LT').catch(
        expireOld(context, version, i),
      );
    else await bulk('UNLINK', chunkKey(version.id, i));
  });
}

/** PEXPIRE ... LT came with version 7. */
function expireOld(
  context: ChunkedContext,
  version: Version,
  i: number,
): (error: unknown) => Promise<unknown> {
  return (error) => {
    if (!/wrong number|Unsupported option/i.test(messageOf(error))) throw error;
    return context.raw('PEXPIRE', chunkKey(version.id, i), String(context.graceMs));
  };
}

export async function remove(context: ChunkedContext, key: string): Promise<boolean> {
  const note = newId();
  for (let attempt = 0; attempt < CHUNK_READ_ATTEMPTS * 20; attempt += 1) {
    const { bytes, version } = await current(context, key);
    if (bytes.length === 0) return false;
    if (await letGo(context, key, bytes, version, note)) return true;
  }
  throw new KitError('ERR_CLIENT_CHUNK_CONFLICT', `${key}: other writers replaced it every time`);
}

/** The manifest goes, if it is this one still, and its chunks with it. The note is for who finishes it else. */
export async function letGo(
  context: ChunkedContext,
  key: string,
  manifest: Buffer,
  version: Version | undefined,
  note: string,
): Promise<boolean> {
  const { ledger, raw } = context;
  if (version !== undefined)
    await ledger.noteIfRoom(note, { key, at: Date.now(), made: undefined, replaced: version });
  if (!(await swap(raw, key, manifest, nothing, ''))) return false;
  await retire(context, version);
  if (version !== undefined) await ledger.strike(note);
  return true;
}
