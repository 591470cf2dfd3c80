/**
 * The little of an ELF file that tells what it needs to run: its interpreter (the dynamic loader)
 * and the sonames it links to. Read from the file and not from `ldd`, which runs the program and
 * answers for the host's libraries.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { basename } from 'node:path';

export interface ElfNeeds {
  /** File name of the dynamic loader; null for libraries and static programs. */
  readonly interpreter: string | null;
  readonly needed: readonly string[];
}

const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const DT_NULL = 0;
const DT_NEEDED = 1;
const DT_STRTAB = 5;
const DT_STRSZ = 10;
const HEADER_BYTES = 64;
/** Program headers and string tables of real files are far smaller. */
const MAX_TABLE_BYTES = 16 * 1024 * 1024;

interface Segment {
  readonly type: number;
  readonly offset: number;
  readonly address: number;
  readonly bytes: number;
}

/** Null: no 64-bit little-endian ELF file (every architecture of Debian that we fetch for is one). */
export function readElf(path: string): ElfNeeds | null {
  const fd = openSync(path, 'r');
  try {
    const header = readAt(fd, 0, HEADER_BYTES);
    if (header.length < HEADER_BYTES || header.toString('latin1', 0, 4) !== '\x7fELF') return null;
    if (header[4] !== 2 || header[5] !== 1) return null;
    return needsOf(fd, segmentsOf(fd, header));
  } finally {
    closeSync(fd);
  }
}

function segmentsOf(fd: number, header: Buffer): Segment[] {
  const start = Number(header.readBigUInt64LE(32));
  const size = header.readUInt16LE(54);
  const count = header.readUInt16LE(56);
  const table = readAt(fd, start, size * count);
  const segments: Segment[] = [];
  for (let at = 0; size >= 56 && at + size <= table.length; at += size) {
    segments.push({
      type: table.readUInt32LE(at),
      offset: Number(table.readBigUInt64LE(at + 8)),
      address: Number(table.readBigUInt64LE(at + 16)),
      bytes: Number(table.readBigUInt64LE(at + 32)),
    });
  }
  return segments;
}

function needsOf(fd: number, segments: readonly Segment[]): ElfNeeds {
  const interp = segments.find((segment) => segment.type === PT_INTERP);
  const interpreter =
    interp === undefined ? null : basename(cString(readAt(fd, interp.offset, interp.bytes), 0));
  const dynamic = segments.find((segment) => segment.type === PT_DYNAMIC);
  if (dynamic === undefined) return { interpreter, needed: [] };

  const names: number[] = [];
  let tableAddress = -1;
  let tableBytes = 0;
  const entries = readAt(fd, dynamic.offset, dynamic.bytes);
  for (let at = 0; at + 16 <= entries.length; at += 16) {
    const tag = Number(entries.readBigInt64LE(at));
    const value = Number(entries.readBigUInt64LE(at + 8));
    if (tag === DT_NULL) break;
    if (tag === DT_NEEDED) names.push(value);
    if (tag === DT_STRTAB) tableAddress = value;
    if (tag === DT_STRSZ) tableBytes = value;
  }
  const home = segments.find(
    (each) =>
      each.type === PT_LOAD &&
      each.address <= tableAddress &&
      tableAddress < each.address + each.bytes,
  );
  if (home === undefined) return { interpreter, needed: [] };
  const table = readAt(fd, home.offset + tableAddress - home.address, tableBytes);
  return { interpreter, needed: names.map((name) => cString(table, name)) };
}

function readAt(fd: number, position: number, bytes: number): Buffer {
  if (!(bytes >= 0 && bytes <= MAX_TABLE_BYTES)) throw new Error('an ELF table of impossible size');
  const buffer = Buffer.alloc(bytes);
  return buffer.subarray(0, readSync(fd, buffer, 0, bytes, position));
}

function cString(bytes: Buffer, start: number): string {
  const end = bytes.indexOf(0, start);
  return bytes.toString('utf8', start, end < 0 ? bytes.length : end);
}
