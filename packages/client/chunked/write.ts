/** Writing, replacing, deleting. The order of the steps is what chunked.ts explains. */
import type { RawCall } from '../adapters/raw.ts';
import { aborted, KitError, messageOf } from '../errors.ts';
import { CHUNK_READ_ATTEMPTS, CHUNKS_MAX } from '../limits.ts';
import type { ChunkedContext, ChunkedValue } from './chunked.ts';
import { maybeCollect } from './collect.ts';
import {
  chunkKey,
  decodeManifest,
  encodeManifest,
  type Manifest,
  newId,
  packChunk,
  type Version,
} from './manifest.ts';
import { windowed } from './window.ts';

export type ChunkSource =
  | string
  | Uint8Array
  | AsyncIterable<Uint8Array | string>
  | ReadableStream<Uint8Array>;

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
  const id = newId();
  const writer = new Writer(context, key, id, ttlMs, signal);
  let manifest: Manifest;
  try {
    for await (const piece of pieces(source, context.chunkBytes)) await writer.add(piece);
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

export async function swap(
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
    if (version !== undefined) {
      await context.ledger.note(note, { key, at: Date.now(), made: undefined, replaced: version });
    }
    if (!(await swap(context.raw, key, bytes, nothing, ''))) continue;
    await retire(context, version);
    if (version !== undefined) await context.ledger.strike(note);
    return true;
  }
  throw new KitError('ERR_CLIENT_CHUNK_CONFLICT', `${key}: other writers replaced it every time`);
}

/** Uploads chunks as they are filled, so many at a time. */
class Writer {
  readonly id: string;
  chunks = 0;
  noted = false;
  readonly #context: ChunkedContext;
  readonly #key: string;
  readonly #ttlMs: number | undefined;
  readonly #signal: AbortSignal | undefined;
  readonly #bulk: RawCall;
  readonly #uploads = new Set<Promise<void>>();
  #held: Buffer | undefined;
  /** The note as it stands in the ledger, and what was said in it. */
  #text: string | undefined;
  #said: Version | undefined;
  #timer: NodeJS.Timeout | undefined;
  #renewal: Promise<void> | undefined;
  #size = 0;
  #failure: { error: unknown } | undefined;

  constructor(
    context: ChunkedContext,
    key: string,
    id: string,
    ttlMs: number | undefined,
    signal: AbortSignal | undefined,
  ) {
    this.#context = context;
    this.#key = key;
    this.id = id;
    this.#ttlMs = ttlMs;
    this.#signal = signal;
    this.#bulk = context.bulk(signal);
  }

  /** Pieces are a chunk long each, but the last. The first one waits: it may be the only one. */
  async add(piece: Buffer): Promise<void> {
    this.#check();
    const held = this.#held;
    this.#held = piece;
    this.#size += piece.length;
    if (held !== undefined) await this.#upload(held);
  }

  async end(): Promise<Manifest> {
    const base = { id: this.id, size: this.#size, chunkBytes: this.#context.chunkBytes };
    if (this.chunks === 0) return { ...base, chunks: 0, inline: this.#held ?? nothing };
    if (this.#held !== undefined) await this.#upload(this.#held);
    await Promise.all(this.#uploads);
    this.#check();
    return { ...base, chunks: this.chunks, inline: undefined };
  }

  /** The first time a new note; later only if it is still this writer's own. */
  async note(made: Version | undefined, replaced: Version | undefined): Promise<void> {
    const { ledger } = this.#context;
    const note = { key: this.#key, at: Date.now(), made, replaced };
    if (this.#text === undefined || made === undefined) {
      this.#text = await ledger.note(this.id, note);
      return;
    }
    this.#text = await ledger.renew(this.id, this.#text, note);
    if (this.#text === undefined) {
      this.#text = '';
      throw new KitError(
        'ERR_CLIENT_CHUNK_TORN',
        `${this.#key}: this writer said nothing for more than tornMs, was taken for dead, and what it wrote is removed; write it again, or use a longer tornMs`,
      );
    }
  }

  /** A source may be slow: the writer says that it lives by time, too. */
  #live(): void {
    this.#timer ??= setInterval(
      () => {
        this.#renewal ??= this.note(this.#said, undefined)
          .catch((error: unknown) => {
            if (error instanceof KitError && error.code === 'ERR_CLIENT_CHUNK_TORN')
              this.#failure ??= { error };
            // Else there is no connection now; the next one, or the end, tells more.
          })
          .finally(() => {
            this.#renewal = undefined;
          });
      },
      Math.max(MIN_RENEW_MS, Math.min(this.#context.tornMs / 3, MAX_RENEW_MS)),
    );
    this.#timer.unref();
  }

  /** No note by time any more. */
  async rest(): Promise<void> {
    clearInterval(this.#timer);
    await this.#renewal;
  }

  async discard(): Promise<void> {
    await this.rest();
    await Promise.all(this.#uploads);
    if (!this.noted) return;
    try {
      const made = { id: this.id, chunks: this.chunks };
      await windowed(
        made.chunks,
        this.#context.window,
        async (i) => void (await this.#context.raw('UNLINK', chunkKey(made.id, i))),
      );
      await this.#context.ledger.strike(this.id);
    } catch {
      // No connection to clean up over: the note stays, and a later collect() finds it.
    }
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
    if (this.#signal?.aborted === true)
      throw aborted(`chunked.set ${this.#key}`, this.#signal.reason);
  }

  async #upload(data: Buffer): Promise<void> {
    if (this.chunks >= CHUNKS_MAX) {
      throw new KitError(
        'ERR_CLIENT_OPTION',
        `${this.#key}: more than ${CHUNKS_MAX} chunks; use a larger chunkBytes`,
      );
    }
    const index = this.chunks;
    this.chunks += 1;
    if (index % NOTE_EVERY === 0) {
      await this.#renewal;
      this.#said = { id: this.id, chunks: index + NOTE_EVERY };
      await this.note(this.#said, undefined);
      this.noted = true;
      this.#live();
    }
    while (this.#uploads.size >= this.#context.window) await Promise.race(this.#uploads);
    this.#check();
    const upload = this.#send(index, data).then(
      () => void this.#uploads.delete(upload),
      (error: unknown) => {
        this.#failure ??= { error };
        this.#uploads.delete(upload);
      },
    );
    this.#uploads.add(upload);
  }

  async #send(index: number, data: Buffer): Promise<void> {
    const packed = await packChunk(data, this.#context.compress);
    const at = chunkKey(this.id, index);
    if (this.#ttlMs === undefined) await this.#bulk('SET', at, packed);
    else await this.#bulk('SET', at, packed, 'PX', String(this.#ttlMs + this.#context.graceMs));
  }
}

/** A note says up to which chunk a writer may have come; it is renewed this often. */
const NOTE_EVERY = 4_096;
const MIN_RENEW_MS = 50;
const MAX_RENEW_MS = 600_000;

/** Cuts any source into pieces of exactly `bytes`, but the last. */
async function* pieces(source: ChunkSource, bytes: number): AsyncGenerator<Buffer> {
  if (typeof source === 'string' || source instanceof Uint8Array) {
    const all =
      typeof source === 'string'
        ? Buffer.from(source)
        : Buffer.from(source.buffer, source.byteOffset, source.byteLength);
    for (let at = 0; at < all.length; at += bytes) yield all.subarray(at, at + bytes);
    return;
  }
  let rest: Buffer[] = [];
  let held = 0;
  for await (const part of source as AsyncIterable<Uint8Array | string>) {
    rest.push(typeof part === 'string' ? Buffer.from(part) : Buffer.from(part));
    held += (rest.at(-1) as Buffer).length;
    if (held < bytes) continue;
    const all = rest.length === 1 ? (rest[0] as Buffer) : Buffer.concat(rest, held);
    let at = 0;
    for (; held - at >= bytes; at += bytes) yield all.subarray(at, at + bytes);
    rest = [all.subarray(at)];
    held -= at;
  }
  if (held > 0) yield Buffer.concat(rest, held);
}
