/** Key slots and the slot map of a Valkey Cluster, as a cluster-aware client keeps them. */
import type { Reply } from './decode.ts';

export const SLOTS = 16_384;
const POLYNOMIAL = 0x1021;

const TABLE = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8;
  for (let bit = 0; bit < 8; bit += 1) {
    crc = crc & 0x8000 ? ((crc << 1) ^ POLYNOMIAL) & 0xffff : (crc << 1) & 0xffff;
  }
  return crc;
});

/** CRC16 (XMODEM) of the key, or of what stands between its first `{` and the next `}`. */
export function slotOf(key: Buffer): number {
  let from = 0;
  let to = key.length;
  const open = key.indexOf(0x7b);
  if (open >= 0) {
    const close = key.indexOf(0x7d, open + 1);
    if (close > open + 1) {
      from = open + 1;
      to = close;
    }
  }
  let crc = 0;
  for (let i = from; i < to; i += 1) {
    crc = ((crc << 8) & 0xffff) ^ (TABLE[(crc >> 8) ^ (key[i] ?? 0)] ?? 0);
  }
  return crc % SLOTS;
}

/** 'host:port' of each slot's primary, from CLUSTER SLOTS. '' where nobody serves. */
export function slotMap(reply: Reply, fallbackHost: string): string[] {
  const map = new Array<string>(SLOTS).fill('');
  if (!Array.isArray(reply)) return map;
  for (const range of reply) {
    if (!Array.isArray(range)) continue;
    const [first, last, primary] = range;
    if (!Array.isArray(primary)) continue;
    const host = textOf(primary[0]);
    const address = `${host === '' || host === '?' ? fallbackHost : host}:${Number(primary[1])}`;
    for (let slot = Number(first); slot <= Number(last); slot += 1) map[slot] = address;
  }
  return map;
}

function textOf(reply: Reply | undefined): string {
  return Buffer.isBuffer(reply) ? reply.toString('latin1') : String(reply ?? '');
}
