/**
 * The hot path of a lane: measures plain replies (strings, statuses, numbers, nulls) that are whole in
 * the chunk, one header each. Stops at anything else. The results are in `found` and `end`, so that
 * nothing is allocated.
 */
import type { CommandMeter } from './meter.ts';

const CR = 13;
const LF = 10;

export const whole = { found: 0, end: 0 };

export function measureWhole(
  chunk: Buffer,
  from: number,
  end: number,
  most: number,
  meter: CommandMeter | null,
): void {
  let at = from;
  let found = 0;
  // Neighbours are mostly of one size, and counted together.
  let size = 0;
  let times = 0;
  while (found < most && at < end) {
    const kind = chunk[at];
    let next: number;
    if (kind === 36) {
      let length = 0;
      let i = at + 1;
      let byte = chunk[i] ?? 0;
      if (byte === 45) {
        next = at + 5;
      } else {
        while (byte >= 48 && byte <= 57) {
          length = length * 10 + byte - 48;
          byte = chunk[++i] ?? 0;
        }
        next = i + 2 + length + 2;
      }
      if (next > end || i + 1 >= end) break;
    } else if (kind === 43 || kind === 58 || kind === 95 || kind === 35 || kind === 44) {
      let i = at + 2;
      while (i < end && chunk[i] !== LF) i++;
      if (i >= end || chunk[i - 1] !== CR) break;
      next = i + 1;
    } else {
      break;
    }
    if (next - at !== size) {
      if (times > 0) meter?.replyBytes.add(size, times);
      size = next - at;
      times = 0;
    }
    times++;
    at = next;
    found++;
  }
  if (times > 0) meter?.replyBytes.add(size, times);
  whole.found = found;
  whole.end = at;
}
