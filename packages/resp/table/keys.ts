/**
 * Where the keys of a command lie, from the engine's key specs. Works on argument ranges, so nothing
 * is copied. Answers argument indexes; an argument may be named twice (SORT ... STORE the same key).
 */
import type { KeySpec } from './spec.ts';
import type { Command } from './table.ts';

export interface ArgumentRanges {
  readonly count: number;
  readonly starts: Int32Array;
  readonly ends: Int32Array;
}

/** The indexes of all key arguments; empty when the arguments do not fit the specs. */
export function keyArguments(command: Command, bytes: Uint8Array, args: ArgumentRanges): number[] {
  const found: number[] = [];
  for (const spec of command.keys) {
    const begin = beginOf(spec, bytes, args);
    if (begin > 0 && begin < args.count) addKeys(spec, begin, bytes, args, found);
  }
  return found;
}

function beginOf(spec: KeySpec, bytes: Uint8Array, args: ArgumentRanges): number {
  const { begin } = spec;
  if (begin.by === 'index') return begin.index;
  if (begin.by === 'unknown') return 0;
  const backwards = begin.from < 0;
  const step = backwards ? -1 : 1;
  const first = backwards ? args.count + begin.from : begin.from;
  for (let i = first; i > 0 && i < args.count; i += step) {
    if (isWord(begin.keyword, bytes, args.starts[i] ?? 0, args.ends[i] ?? 0)) return i + 1;
  }
  return 0;
}

function addKeys(
  spec: KeySpec,
  begin: number,
  bytes: Uint8Array,
  args: ArgumentRanges,
  found: number[],
): void {
  const { find } = spec;
  if (find.by === 'range') {
    let last = find.last >= 0 ? begin + find.last : args.count + find.last;
    if (find.last === -1 && find.limit > 1) {
      last = begin + Math.floor((args.count - begin) / find.limit) - 1;
    }
    for (let i = begin; i <= last && i < args.count; i += Math.max(1, find.step)) found.push(i);
  } else if (find.by === 'keynum') {
    const at = begin + find.countAt;
    const keys = at < args.count ? decimal(bytes, args.starts[at] ?? 0, args.ends[at] ?? 0) : 0;
    let next = begin + find.firstAt;
    for (let i = 0; i < keys && next < args.count; i++, next += Math.max(1, find.step)) {
      found.push(next);
    }
  }
}

/** Whether an argument is this word, in any case. The word is lower case. */
export function isWord(word: string, bytes: Uint8Array, start: number, end: number): boolean {
  if (word.length !== end - start) return false;
  for (let i = 0; i < word.length; i++) {
    const byte = bytes[start + i] ?? 0;
    const folded = byte >= 65 && byte <= 90 ? byte + 32 : byte;
    if (folded !== word.charCodeAt(i)) return false;
  }
  return true;
}

/** A small non-negative decimal number; 0 for anything else. */
export function decimal(bytes: Uint8Array, start: number, end: number): number {
  if (end <= start || end - start > 7) return 0;
  let value = 0;
  for (let i = start; i < end; i++) {
    const digit = (bytes[i] ?? 0) - 48;
    if (digit < 0 || digit > 9) return 0;
    value = value * 10 + digit;
  }
  return value;
}
