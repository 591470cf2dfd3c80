/** One writer: uploads the chunks of a value, and says that it lives as long as it does. */
import type { RawCall } from '../adapters/raw.ts';
import { aborted, KitError } from '../errors.ts';
import { CHUNKS_MAX } from '../limits.ts';
import type { ChunkedContext } from './chunked.ts';
import { chunkKey, type Manifest, packChunk, type Version } from './manifest.ts';
import { windowed } from './window.ts';

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
  /** There is a note, and the last one by count. */
  #written = false;
  #noting: Promise<void> = Promise.resolve();
  #said: Version | undefined;
  #timer: NodeJS.Timeout | undefined;
  #renewal: Promise<void> | undefined;
  #size = 0;
  /** When the first chunk went. */
  #began = Number.POSITIVE_INFINITY;
  /** Chunks that were sent. */
  #sent = 0;
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
    this.#check();
    const base = { id: this.id, size: this.#size, chunkBytes: this.#context.chunkBytes };
    if (this.chunks === 0) return { ...base, chunks: 0, inline: this.#held ?? nothing };
    if (this.#held !== undefined) await this.#upload(this.#held);
    await Promise.all(this.#uploads);
    this.#check();
    await this.#lastAsLong();
    return { ...base, chunks: this.chunks, inline: undefined };
  }

  /** The first time a new note; later only if nobody has taken it. One at a time: by count and by the clock. */
  note(made: Version | undefined, replaced: Version | undefined): Promise<void> {
    const turn = this.#noting.then(() => this.#note(made, replaced));
    this.#noting = turn.catch(() => {});
    return turn;
  }

  async #note(made: Version | undefined, replaced: Version | undefined): Promise<void> {
    const { ledger } = this.#context;
    const note = { key: this.#key, at: Date.now(), made, replaced };
    if (!this.#written || made === undefined) {
      await ledger.note(this.id, note);
      this.#written = true;
      return;
    }
    const renewed = await ledger.renew(this.id, note);
    if (renewed === 'done') return;
    // A server that evicts may have evicted all notes, and chunks with them.
    if (renewed === 'none' && (await this.#stand())) return ledger.note(this.id, note);
    throw new KitError(
      'ERR_CLIENT_CHUNK_TORN',
      renewed === 'none'
        ? `${this.#key}: chunks of it were evicted, or its writer was taken for dead, while it was written; write it again`
        : `${this.#key}: this writer said nothing for more than tornMs, was taken for dead, and what it wrote is removed; write it again, or use a longer tornMs`,
    );
  }

  /** All chunks that have arrived are there, with their whole life before them, whoever has set their end. */
  async #stand(): Promise<boolean> {
    await Promise.all(this.#uploads);
    const { raw, window } = this.#context;
    let all = await this.#prolong(this.#sent);
    if (this.#ttlMs === undefined)
      await windowed(this.#sent, window, async (i) => {
        const at = chunkKey(this.id, i);
        if (Number(await raw('PERSIST', at)) !== 1 && Number(await raw('EXISTS', at)) !== 1)
          all = false;
      });
    return all;
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
          .then(() => this.#prolong(this.#sent))
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
      this.#said = { id: this.id, chunks: index + NOTE_EVERY };
      await this.note(this.#said, undefined);
      this.noted = true;
      this.#live();
    }
    this.#began = Math.min(this.#began, performance.now());
    while (this.#uploads.size >= this.#context.window) await Promise.race(this.#uploads);
    this.#check();
    this.#sent += 1;
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
