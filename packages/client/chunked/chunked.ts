/**
 * Large values as many small keys.
 *
 * A 10 MB value in one key is one reply of 10 MB: it holds its connection, its shard's output buffer
 * and this process's event loop for as long as that takes, and everything small waits. In 64 KB keys
 * the same bytes are many short replies that others pass between, and on a cluster they come from
 * all shards at once.
 *
 * What makes it hard is that many keys change one after another and a value must change as one.
 * So chunks are never changed: each version of a value has chunks of its own, under a random name,
 * and one small key (the manifest, under the value's own key) says which version counts. A write
 * uploads its chunks first and then swaps the manifest, atomically, if it is still the one it saw
 * (compare and set). So a reader has the old version or the new one. Chunks of a version that was
 * replaced live on for a grace period, for those who are reading it; a reader that is slower than
 * that starts over.
 *
 * A writer may die at any step. So before its first chunk it notes in a small ledger what it is about
 * to do, and strikes it out at the end; `collect()` finishes what notes of dead writers tell of:
 * chunks that no manifest names go. A writer renews its note as long as it lives, however slow its source is, and
 * its value counts only if nobody took it for dead meanwhile. Every step may be repeated.
 */
import { type ClientLike, type RawCall, rawOf } from '../adapters/raw.ts';
import { check, instance, shape, signal, text, whole, yesOrNo } from '../checks.ts';
import { aborted } from '../errors.ts';
import { calling, poolOf } from '../lanes/lanes.ts';
import {
  CHUNK_BYTES,
  CHUNK_BYTES_MAX,
  CHUNK_BYTES_MIN,
  CHUNK_GRACE_MS,
  CHUNK_TORN_TTL_MS,
  CHUNK_WINDOW,
} from '../limits.ts';
import { collect } from './collect.ts';
import { setExpiry } from './expire.ts';
import { Ledger } from './ledger.ts';
import { decodeManifest, type Manifest } from './manifest.ts';
import { chunkReadable, type ReadOptions, readAll, readRange } from './read.ts';
import type { ChunkSource } from './source.ts';
import { remove, write } from './write.ts';

export interface ChunkedOptions {
  readonly chunkBytes?: number;
  /** Chunks in flight an operation. */
  readonly window?: number;
  readonly compress?: boolean;
  /** How long a replaced version stays for its readers. */
  readonly graceMs?: number;
  /** A writer that said nothing for this long is dead. */
  readonly tornMs?: number;
}

export interface ChunkedContext {
  readonly raw: RawCall;
  /** The same client, for commands that the signal ends. */
  readonly small: (signal: AbortSignal | undefined) => RawCall;
  /** The same client, for traffic that must not stand in front of small commands. */
  readonly bulk: (signal: AbortSignal | undefined) => RawCall;
  /** Replies can be put where they belong as they arrive: the client is one of lanes(). */
  readonly diverts: boolean;
  readonly ledger: Ledger;
  readonly chunkBytes: number;
  readonly window: number;
  readonly compress: boolean;
  readonly graceMs: number;
  readonly tornMs: number;
}

export interface ChunkedValue {
  readonly size: number;
  readonly chunks: number;
  readonly chunkBytes: number;
  /** Changes with every write. */
  readonly version: string;
}

/** What ends an operation before it is over. */
export interface Heeding {
  readonly signal?: AbortSignal;
}

const setShape = shape({ ttlMs: whole(1), signal });
const readShape = shape({ signal });
const intoShape = shape({ signal, into: instance(Uint8Array) });

export class Chunked {
  readonly #context: ChunkedContext;

  constructor(context: ChunkedContext) {
    this.#context = context;
  }

  /** Writes a value; strings as UTF-8. Streams of any length are never held as a whole. */
  async set(
    key: string,
    value: ChunkSource,
    options: { readonly ttlMs?: number; readonly signal?: AbortSignal } = {},
  ): Promise<ChunkedValue> {
    check('set()', key, text, 'the key');
    check('set()', options, setShape);
    return write(this.#context, key, value, options);
  }

  /** The whole value, or null. A key that holds an ordinary string is read as that. */
  async get(key: string, options: ReadOptions = {}): Promise<Buffer | null> {
    check('get()', key, text, 'the key');
    check('get()', options, intoShape);
    return readAll(this.#context, key, options);
  }

  /** Bytes from `start` up to and without `end`; only the chunks they are in are fetched. */
  async getRange(
    key: string,
    start: number,
    end: number,
    options: ReadOptions = {},
  ): Promise<Buffer | null> {
    check('getRange()', key, text, 'the key');
    check('getRange()', options, intoShape);
    return readRange(this.#context, key, start, end, options);
  }

  /** A Node stream of the value; null when there is none. `Readable.toWeb` makes a web stream of it. */
  async stream(
    key: string,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<import('node:stream').Readable | null> {
    check('stream()', key, text, 'the key');
    check('stream()', options, readShape);
    return chunkReadable(this.#context, key, options.signal);
  }

  async webStream(
    key: string,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<ReadableStream<Uint8Array> | null> {
    const readable = await this.stream(key, options);
    if (readable === null) return null;
    const { Readable } = await import('node:stream');
    return Readable.toWeb(readable) as ReadableStream<Uint8Array>;
  }

  /** True if there was a value. */
  async delete(key: string, options: Heeding = {}): Promise<boolean> {
    check('delete()', key, text, 'the key');
    check('delete()', options, readShape);
    return remove(heeding(this.#context, `chunked.delete ${key}`, options), key);
  }

  /** True if there was a value whose life could be set; `delete` ends it now. */
  async expire(key: string, ttlMs: number, options: Heeding = {}): Promise<boolean> {
    check('expire()', key, text, 'the key');
    check('expire()', ttlMs, whole(1), 'ttlMs');
    check('expire()', options, readShape);
    return setExpiry(heeding(this.#context, `chunked.expire ${key}`, options), key, ttlMs);
  }

  async info(key: string, options: Heeding = {}): Promise<ChunkedValue | null> {
    check('info()', options, readShape);
    const manifest = await readManifest(
      heeding(this.#context, `chunked.info ${key}`, options),
      key,
    );
    if (manifest === undefined) return null;
    const { size, chunks, chunkBytes, id } = manifest;
    return { size, chunks, chunkBytes, version: id };
  }

  /** Finishes what dead writers left; answers how many. set() does it now and then by itself. */
  async collect(options: Heeding = {}): Promise<number> {
    check('collect()', options, readShape);
    return collect(heeding(this.#context, 'chunked.collect', options));
  }
}

/**
 * What an operation does until its signal is aborted. What it had begun then may be half done: it is repeated by
 * the next, or found by collect().
 */
function heeding(context: ChunkedContext, what: string, { signal }: Heeding): ChunkedContext {
  if (signal === undefined) return context;
  if (signal.aborted) throw aborted(what, signal.reason);
  return { ...context, raw: context.small(signal), bulk: () => context.bulk(signal) };
}

async function readManifest(context: ChunkedContext, key: string): Promise<Manifest | undefined> {
  const bytes = await context.raw('GET', key);
  return bytes instanceof Buffer ? decodeManifest(key, bytes) : undefined;
}

const chunkedShape = shape({
  chunkBytes: whole(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX),
  window: whole(1),
  compress: yesOrNo,
  graceMs: whole(0),
  tornMs: whole(0),
});

/** `redis`: a client of ioredis, iovalkey or redis, plain or made by lanes(). */
export function chunked(redis: ClientLike, options: ChunkedOptions = {}): Chunked {
  check('chunked()', options, chunkedShape);
  const chunkBytes = options.chunkBytes ?? CHUNK_BYTES;
  const window = options.window ?? CHUNK_WINDOW;
  const raw = rawOf(redis);
  const pooled = poolOf(redis) !== undefined;
  // Chunks and notes have names of their own and one content: written twice they are the same. Only the swap
  // of the manifest is not, and it finds out for itself.
  const steady = { idempotent: true };
  // Made once: a new view for each value would be a new shape of object for each value.
  const large = pooled ? rawOf(calling(redis, { ...steady, large: true })) : raw;
  const bulk = (signal: AbortSignal | undefined): RawCall =>
    pooled && signal !== undefined
      ? rawOf(calling(redis, { ...steady, large: true, signal }))
      : large;
  const small = (signal: AbortSignal | undefined): RawCall =>
    pooled && signal !== undefined ? rawOf(calling(redis, { signal })) : raw;
  const context: ChunkedContext = {
    raw,
    small,
    bulk,
    diverts: pooled,
    ledger: new Ledger(pooled ? rawOf(calling(redis, steady)) : raw),
    chunkBytes,
    window,
    compress: options.compress ?? false,
    graceMs: options.graceMs ?? CHUNK_GRACE_MS,
    tornMs: options.tornMs ?? CHUNK_TORN_TTL_MS,
  };
  return new Chunked(context);
}
