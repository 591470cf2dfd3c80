/**
 * Reading one version of a value. A chunk that is missing means one of three things, and looking at
 * the manifest again tells which: the value was replaced (start over with the new version), it is
 * gone (null), or the server evicted part of it, which for a cache is the same as all of it (null,
 * and the manifest goes, so that the next reader does not try).
 */
import { Readable } from 'node:stream';
import { aborted, KitError } from '../errors.ts';
import { callInto } from '../lanes/call.ts';
import { CHUNK_READ_ATTEMPTS } from '../limits.ts';
import type { ChunkedContext } from './chunked.ts';
import { ChunkInto } from './into.ts';
import {
  chunkKey,
  chunkLength,
  decodeManifest,
  encodeManifest,
  type Manifest,
  newId,
  unpackChunk,
} from './manifest.ts';
import { letGo } from './write.ts';

class MissingChunk extends Error {}

export interface ReadOptions {
  readonly signal?: AbortSignal;
  /**
   * Memory of the caller's that is filled, from its start, instead of new memory. What it holds is only right
   * when the promise is fulfilled; with what it is fulfilled is the part that was filled.
   */
  readonly into?: Uint8Array;
}

function place(key: string, bytes: number, into: Uint8Array | undefined): Buffer {
  if (into === undefined) return Buffer.allocUnsafe(bytes);
  if (into.length < bytes) {
    throw new KitError(
      'ERR_CLIENT_OPTION',
      `${key}: \`into\` has room for ${into.length} bytes and there are ${bytes}; info() tells the size of a value`,
    );
  }
  return Buffer.from(into.buffer, into.byteOffset, bytes);
}

function copied(key: string, found: Buffer, into: Uint8Array | undefined): Buffer {
  if (into === undefined) return found;
  const target = place(key, found.length, into);
  found.copy(target);
  return target;
}

type Found =
  | { readonly manifest: Manifest; readonly plain?: undefined }
  | { readonly plain: Buffer; readonly manifest?: undefined };

async function find(
  context: ChunkedContext,
  key: string,
  signal?: AbortSignal,
): Promise<Found | undefined> {
  if (signal?.aborted === true) throw aborted(`chunked.get ${key}`, signal.reason);
  const bytes = await context.small(signal)('GET', key);
  if (!(bytes instanceof Buffer)) return undefined;
  const manifest = decodeManifest(key, bytes);
  return manifest === undefined ? { plain: bytes } : { manifest };
}

export function readAll(
  context: ChunkedContext,
  key: string,
  options: ReadOptions,
): Promise<Buffer | null> {
  return readRange(context, key, 0, Number.POSITIVE_INFINITY, options);
}

export async function readRange(
  context: ChunkedContext,
  key: string,
  start: number,
  end: number,
  options: ReadOptions,
): Promise<Buffer | null> {
  const ends = Number.isInteger(end) || end === Number.POSITIVE_INFINITY;
  if (!(Number.isInteger(start) && start >= 0 && ends && end >= start)) {
    throw new KitError(
      'ERR_CLIENT_OPTION',
      `${key}: a range goes from a whole number up to one not before it (or Infinity), got ${start} to ${end}`,
    );
  }
  for (let attempt = 0; attempt < CHUNK_READ_ATTEMPTS; attempt += 1) {
    const found = await find(context, key, options.signal);
    if (found === undefined) return null;
    const inOne = found.plain ?? found.manifest?.inline;
    if (inOne !== undefined) return copied(key, inOne.subarray(start, end), options.into);
    const { manifest } = found as { manifest: Manifest };
    try {
      return await fetch(context, key, manifest, start, Math.min(end, manifest.size), options);
    } catch (error) {
      if (!(error instanceof MissingChunk)) throw error;
      if (await evicted(context, key, manifest)) return null;
    }
  }
  throw torn(key);
}

async function fetch(
  context: ChunkedContext,
  key: string,
  manifest: Manifest,
  start: number,
  end: number,
  options: ReadOptions,
): Promise<Buffer> {
  const from = Math.min(start, manifest.size);
  const target = place(key, Math.max(0, end - from), options.into);
  if (target.length === 0) return target;
  const first = Math.floor(from / manifest.chunkBytes);
  const last = Math.floor((end - 1) / manifest.chunkBytes);
  await fetchChunks(context, key, manifest, first, last, options.signal, {
    put(index, data) {
      const at = index * manifest.chunkBytes;
      const skipped = Math.max(0, from - at);
      data.copy(target, Math.max(0, at - from), skipped, Math.min(data.length, end - at));
    },
    into(index) {
      const at = index * manifest.chunkBytes;
      const length = chunkLength(manifest, index);
      const whole = at >= from && at + length <= end;
      return context.diverts && whole ? new ChunkInto(target, at - from, length) : undefined;
    },
  });
  return target;
}

/** Where the chunks of a read go. */
interface Destination {
  put(index: number, data: Buffer): void;
  /** The place that a chunk can be written to as it arrives; undefined: it comes as a reply. */
  into(index: number): ChunkInto | undefined;
}

/**
 * Asks for chunks `first` to `last`, a window of them at a time. The window is filled up when half of
 * it has been answered, not chunk by chunk: then requests leave in handfuls, one write each, and the
 * server answers them in handfuls too.
 */
function fetchChunks(
  context: ChunkedContext,
  key: string,
  manifest: Manifest,
  first: number,
  last: number,
  signal: AbortSignal | undefined,
  destination: Destination,
): Promise<void> {
  const bulk = context.bulk(signal);
  return new Promise((resolve, reject) => {
    let next = first;
    let inFlight = 0;
    let failure: { error: unknown } | undefined;
    const ended = (): void => {
      inFlight -= 1;
      if (failure !== undefined) {
        if (inFlight === 0) reject(failure.error);
      } else if (next > last) {
        if (inFlight === 0) resolve();
      } else if (inFlight <= context.window >> 1) fill();
    };
    const failed = (error: unknown): void => {
      failure ??= { error };
      ended();
    };
    const arrived = (index: number, reply: unknown, into: ChunkInto | undefined): void => {
      if (into?.whole === true) return ended();
      const packed = into?.ended === true ? into.packed : reply;
      const data = open(key, manifest, index, packed);
      if (data instanceof Buffer) {
        destination.put(index, data);
        ended();
        return;
      }
      (data as Promise<Buffer>).then((inflated) => {
        destination.put(index, inflated);
        ended();
      }, failed);
    };
    const ask = (index: number): void => {
      inFlight += 1;
      const into = destination.into(index);
      callInto(into, () => bulk('GET', chunkKey(manifest.id, index))).then(
        (reply) => {
          try {
            arrived(index, reply, into);
          } catch (error) {
            failed(error);
          }
        },
        (error: unknown) => {
          into?.leave();
          failed(error);
        },
      );
    };
    const fill = (): void => {
      if (signal?.aborted === true)
        failure ??= { error: aborted(`chunked.get ${key}`, signal.reason) };
      while (failure === undefined && inFlight < context.window && next <= last) {
        ask(next);
        next += 1;
      }
      if (failure !== undefined && inFlight === 0) reject(failure.error);
    };
    fill();
  });
}

function open(
  key: string,
  manifest: Manifest,
  index: number,
  packed: unknown,
): Buffer | Promise<Buffer> {
  if (!(packed instanceof Buffer)) throw new MissingChunk();
  const data = unpackChunk(packed, chunkLength(manifest, index));
  if (data !== undefined) return data;
  throw new KitError(
    'ERR_CLIENT_CHUNK_FORMAT',
    `${key}: chunk ${index} (${chunkKey(manifest.id, index)}) has a wrong checksum or length: something else wrote to it`,
  );
}

/**
 * True if this very version still counts, though a chunk of it is gone: then the others go, too, and with the
 * manifest. A reader who may not write, or cannot now, has nothing to read all the same.
 */
async function evicted(context: ChunkedContext, key: string, manifest: Manifest): Promise<boolean> {
  const now = await find(context, key);
  if (now?.manifest?.id !== manifest.id) return false;
  await letGo(context, key, encodeManifest(manifest), manifest, newId()).catch(() => {});
  return true;
}

function torn(key: string): KitError {
  return new KitError(
    'ERR_CLIENT_CHUNK_TORN',
    `${key}: it was replaced ${CHUNK_READ_ATTEMPTS} times while it was read; use a longer graceMs than a read takes`,
  );
}

export async function chunkReadable(
  context: ChunkedContext,
  key: string,
  signal: AbortSignal | undefined,
): Promise<Readable | null> {
  const found = await find(context, key, signal);
  if (found === undefined) return null;
  if (found.plain !== undefined) return Readable.from([found.plain], { objectMode: false });
  const { manifest } = found;
  if (manifest.inline !== undefined) return Readable.from([manifest.inline], { objectMode: false });
  return Readable.from(chunksOf(context, key, manifest, signal), {
    objectMode: false,
    highWaterMark: manifest.chunkBytes * 2,
    ...(signal === undefined ? {} : { signal }),
  });
}

/** In order, with up to a window of chunks asked for ahead of the reader. */
async function* chunksOf(
  context: ChunkedContext,
  key: string,
  manifest: Manifest,
  signal: AbortSignal | undefined,
): AsyncGenerator<Buffer> {
  const bulk = context.bulk(signal);
  const ahead: Promise<unknown>[] = [];
  let next = 0;
  const ask = (): void => {
    const reply = bulk('GET', chunkKey(manifest.id, next));
    // Looked at when its turn comes; until then its failure is nobody's.
    reply.catch(() => {});
    ahead.push(reply);
    next += 1;
  };
  for (let index = 0; index < manifest.chunks; index += 1) {
    while (next < manifest.chunks && ahead.length < context.window) ask();
    const packed = await ahead.shift();
    if (packed === null || packed === undefined) {
      // What was handed out already is of this version: it cannot be begun again with another.
      throw new KitError(
        'ERR_CLIENT_CHUNK_TORN',
        `${key}: it was replaced or evicted while it was read, ${index} of ${manifest.chunks} chunks had been delivered; ` +
          'use a longer graceMs than a read takes',
      );
    }
    yield await open(key, manifest, index, packed);
  }
}
