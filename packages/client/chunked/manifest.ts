/**
 * What stands under the value's own key: which chunks make it up. Text so that a person with
 * `valkey-cli` sees what it is: a magic word, one line of JSON, and for small values the value itself.
 *
 * A chunk is one flag byte (0: as it is, 1: deflated), the data, and the CRC-32 of what comes before.
 */
import { randomBytes } from 'node:crypto';
import { deflateRaw, inflateRaw } from 'node:zlib';
import { KitError } from '../errors.ts';
import { CHUNKS_MAX } from '../limits.ts';
import { crc32 } from './crc.ts';

export const FLAG_BYTES = 1;
export const CRC_BYTES = 4;
/** Flags: the data as they are, or deflated. */
export const PLAIN = 0;
const DEFLATED = 1;
const MAGIC = Buffer.from('cinnabar-chunks/1 ');

export interface Version {
  /** Names the chunks: `cc:<id>:<index>`. Random, so that no two writers ever share one. */
  readonly id: string;
  readonly chunks: number;
}

export interface Manifest extends Version {
  /** Bytes of the whole value, and of every chunk but the last, before compression. */
  readonly size: number;
  readonly chunkBytes: number;
  /** The value itself, when it is small enough to need no chunks. */
  readonly inline: Buffer | undefined;
}

export function newId(): string {
  return randomBytes(12).toString('base64url');
}

/** No user key in it: braces there would put all chunks of a value on one shard. */
export function chunkKey(id: string, index: number): string {
  return `cc:${id}:${index}`;
}

export function encodeManifest(manifest: Manifest): Buffer {
  const { id, chunks, size, chunkBytes, inline } = manifest;
  const head = Buffer.from(`${JSON.stringify({ id, chunks, size, chunkBytes })}\n`);
  const parts: Buffer[] = [MAGIC, head];
  if (inline !== undefined) parts.push(inline, crcOf(inline));
  return Buffer.concat(parts);
}

/** Undefined: the key holds an ordinary value. */
export function decodeManifest(key: string, bytes: Buffer): Manifest | undefined {
  if (bytes.length < MAGIC.length || !bytes.subarray(0, MAGIC.length).equals(MAGIC))
    return undefined;
  const end = bytes.indexOf(10, MAGIC.length);
  const bad = (why: string): KitError =>
    new KitError(
      'ERR_CLIENT_CHUNK_FORMAT',
      `${key}: its manifest cannot be read (${why}); write it again or delete it`,
    );
  if (end < 0) throw bad('no end of its head');
  let head: Partial<Manifest>;
  try {
    head = JSON.parse(bytes.toString('utf8', MAGIC.length, end)) as Partial<Manifest>;
  } catch {
    throw bad('its head is no JSON');
  }
  const { id, chunks, size, chunkBytes } = head;
  if (!isVersionId(id)) throw bad('id');
  if (!isChunkCount(chunks)) throw bad('chunks');
  if (!whole(size) || !whole(chunkBytes) || chunkBytes === 0) throw bad('size');
  if (chunks > 0 && Math.ceil(size / chunkBytes) !== chunks) throw bad('size and chunks disagree');
  if (chunks > 0) return { id, chunks, size, chunkBytes, inline: undefined };
  const inline = bytes.subarray(end + 1, bytes.length - CRC_BYTES);
  if (inline.length !== size || bytes.length - end - 1 < CRC_BYTES)
    throw bad('the value in it has another length');
  if (bytes.readUInt32BE(bytes.length - CRC_BYTES) !== crc32(inline))
    throw bad('the value in it has another checksum');
  return { id, chunks, size, chunkBytes, inline };
}

export function isVersionId(id: unknown): id is string {
  return typeof id === 'string' && /^[\w-]{1,64}$/.test(id);
}

export function isChunkCount(chunks: unknown): chunks is number {
  return whole(chunks) && chunks <= CHUNKS_MAX;
}

/** Bytes that a chunk holds before compression. */
export function chunkLength(manifest: Manifest, index: number): number {
  const last = index === manifest.chunks - 1;
  return last ? manifest.size - index * manifest.chunkBytes : manifest.chunkBytes;
}

export async function packChunk(data: Buffer, compress: boolean): Promise<Buffer> {
  let flag = PLAIN;
  let body = data;
  if (compress) {
    const smaller = await deflate(data);
    if (smaller.length < data.length) {
      flag = DEFLATED;
      body = smaller;
    }
  }
  const packed = Buffer.allocUnsafe(FLAG_BYTES + body.length + CRC_BYTES);
  packed[0] = flag;
  body.copy(packed, FLAG_BYTES);
  const end = FLAG_BYTES + body.length;
  packed.writeUInt32BE(crc32(packed.subarray(0, end)), end);
  return packed;
}

/** Bytes as they were, or why not: a wrong checksum is never data. Without compression no copy is made. */
export function unpackChunk(packed: Buffer, length: number): Buffer | Promise<Buffer> | undefined {
  if (packed.length < FLAG_BYTES + CRC_BYTES) return undefined;
  const end = packed.length - CRC_BYTES;
  if (packed.readUInt32BE(end) !== crc32(packed.subarray(0, end))) return undefined;
  const body = packed.subarray(FLAG_BYTES, end);
  if (packed[0] === DEFLATED) return inflate(body, length);
  return body.length === length ? body : undefined;
}

function deflate(data: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    deflateRaw(data, { level: 1 }, (error, result) =>
      error === null ? resolve(result) : reject(error),
    );
  });
}

function inflate(data: Buffer, length: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    // The bound stops a chunk that was made to swell.
    inflateRaw(data, { maxOutputLength: length }, (error, result) =>
      error === null ? resolve(result) : reject(error),
    );
  });
}

function crcOf(data: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(crc32(data));
  return bytes;
}

function whole(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
