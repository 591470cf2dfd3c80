/**
 * Which of the 16,384 hash slots a key belongs to: CRC16 (polynomial 0x1021, start 0, not
 * reflected) of the key, or of its hash tag: what stands between the first `{` and the next `}`,
 * if that is not empty.
 */
export const SLOTS = 16384;

const TABLE = new Uint16Array(256);
for (let byte = 0; byte < 256; byte++) {
  let crc = byte << 8;
  for (let bit = 0; bit < 8; bit++) crc = (crc << 1) ^ (crc & 0x8000 ? 0x1021 : 0);
  TABLE[byte] = crc;
}

const OPEN = 123;
const CLOSE = 125;

export function keySlot(key: string | Uint8Array): number {
  const bytes = typeof key === 'string' ? Buffer.from(key) : key;
  return slotOfRange(bytes, 0, bytes.length);
}

/** The slot of the key that lies at [start, end) of a larger buffer, without a copy. */
export function slotOfRange(bytes: Uint8Array, start: number, end: number): number {
  for (let i = start; i < end; i++) {
    if (bytes[i] !== OPEN) continue;
    for (let j = i + 1; j < end; j++) {
      if (bytes[j] !== CLOSE) continue;
      if (j === i + 1) break;
      return crc16(bytes, i + 1, j) & (SLOTS - 1);
    }
    break;
  }
  return crc16(bytes, start, end) & (SLOTS - 1);
}

export function crc16(bytes: Uint8Array, start: number, end: number): number {
  let crc = 0;
  for (let i = start; i < end; i++) {
    crc = ((crc << 8) & 0xffff) ^ (TABLE[((crc >> 8) ^ (bytes[i] ?? 0)) & 0xff] ?? 0);
  }
  return crc;
}
