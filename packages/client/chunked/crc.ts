/** CRC-32 by zlib where Node has it (20.15 and later), else by table. */
import * as zlib from 'node:zlib';

/** `before`: the checksum of what stands in front of `data`. */
type Crc = (data: Uint8Array, before?: number) => number;

function byTable(): Crc {
  const table = new Uint32Array(256);
  for (let n = 0; n < 256; n += 1) {
    let c = n;
    for (let k = 0; k < 8; k += 1) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
    table[n] = c;
  }
  return (data, before = 0) => {
    let crc = before ^ 0xffffffff;
    for (const byte of data) crc = (table[(crc ^ byte) & 0xff] as number) ^ (crc >>> 8);
    return (crc ^ 0xffffffff) >>> 0;
  };
}

const native: unknown = Reflect.get(zlib, 'crc32');

export const slowCrc32: Crc = byTable();
export const crc32: Crc = typeof native === 'function' ? (native as Crc) : slowCrc32;
