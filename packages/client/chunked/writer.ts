/** One writer: uploads the chunks of a value, and says that it lives as long as it does. */
import type { RawCall } from '../adapters/raw.ts';
import { aborted, KitError } from '../errors.ts';
import { CHUNKS_MAX } from '../limits.ts';
import type { ChunkedContext } from './chunked.ts';
import { chunkKey, type Manifest, packChunk, type Version } from './manifest.ts';
import { windowed } from './window.ts';

export type ChunkSource =
  | string
  | Uint8Array
  | AsyncIterable<Uint8Array | string>
  | ReadableStream<Uint8Array>;

const nothing = Buffer.alloc(0);

/** Uploads chunks as they are filled, so many at a time. */
export class Writer {
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
  /** When the first chunk went. */
  #began = Number.POSITIVE_INFINITY;
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
    await this.#lastAsLong();
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

  /** Chunks that were written long ago would end before their manifest, which is written last. */
  async #lastAsLong(): Promise<void> {
    if (performance.now() - this.#began <= this.#context.graceMs / 2) return;
    if (await this.#prolong(this.chunks)) return;
    throw new KitError(
      'ERR_CLIENT_CHUNK_TORN',
      `${this.#key}: chunks of it ended, or were evicted, while it was written; write it again`,
    );
  }

  /** The first `chunks` have their whole life before them again; false: not all of them are there. */
  async #prolong(chunks: number): Promise<boolean> {
    if (this.#ttlMs === undefined) return true;
    const life = String(this.#ttlMs + this.#context.graceMs);
    let all = true;
    await windowed(chunks, this.#context.window, async (i) => {
      if (Number(await this.#bulk('PEXPIRE', chunkKey(this.id, i), life)) !== 1) all = false;
    });
    return all;
  }

  /** A source may be slow: the writer says that it lives by time, too, and its chunks live on. */
  #live(): void {
    const { tornMs, graceMs } = this.#context;
    const life = this.#ttlMs === undefined ? MAX_RENEW_MS : this.#ttlMs + graceMs;
    this.#timer ??= setInterval(
      () => {
        this.#renewal ??= this.note(this.#said, undefined)
          .then(() => this.#prolong(this.chunks))
          .then(() => {})
          .catch((error: unknown) => {
            if (error instanceof KitError && error.code === 'ERR_CLIENT_CHUNK_TORN')
              this.#failure ??= { error };
            // Else there is no connection now; the next one, or the end, tells more.
          })
          .finally(() => {
            this.#renewal = undefined;
          });
      },
      Math.max(MIN_RENEW_MS, Math.min(tornMs / 3, life / 3, MAX_RENEW_MS)),
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
      // What was given up on its way may arrive after this: its note stays for a later collect(), too.
      if (this.#failure === undefined) await this.#context.ledger.strike(this.id);
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
    this.#began = Math.min(this.#began, performance.now());
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
export async function* pieces(source: ChunkSource, bytes: number): AsyncGenerator<Buffer> {
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
