/** Arithmetic of slot ranges: sorted, inclusive, neither overlapping nor touching. Pure. */
import type { SlotRange } from '../../engine/contract.ts';

export type Ranges = readonly SlotRange[];

export const SLOTS = 16_384;

export function countSlots(ranges: Ranges): number {
  return ranges.reduce((sum, [first, last]) => sum + last - first + 1, 0);
}

/** Sorted and joined; slots that stand in several ranges count once. */
export function normal(ranges: Ranges): SlotRange[] {
  const joined: [number, number][] = [];
  for (const [first, last] of [...ranges].sort((a, b) => a[0] - b[0])) {
    const before = joined.at(-1);
    if (before !== undefined && first <= before[1] + 1) before[1] = Math.max(before[1], last);
    else joined.push([first, last]);
  }
  return joined;
}

export function union(a: Ranges, b: Ranges): SlotRange[] {
  return normal([...a, ...b]);
}

export function subtract(from: Ranges, what: Ranges): SlotRange[] {
  let left: SlotRange[] = normal(from);
  for (const [first, last] of what) {
    left = left.flatMap(([f, l]): SlotRange[] => {
      if (l < first || f > last) return [[f, l]];
      return [
        ...(f < first ? [[f, first - 1] as const] : []),
        ...(l > last ? [[last + 1, l] as const] : []),
      ];
    });
  }
  return left;
}

export function intersect(a: Ranges, b: Ranges): SlotRange[] {
  return subtract(a, subtract(a, b));
}

export function covers(ranges: Ranges, what: Ranges): boolean {
  return subtract(what, ranges).length === 0;
}

export function sameSlots(a: Ranges, b: Ranges): boolean {
  return covers(a, b) && covers(b, a);
}

/** The last `count` slots; fewer when there are not so many. */
export function takeLast(ranges: Ranges, count: number): SlotRange[] {
  const taken: SlotRange[] = [];
  let left = count;
  for (const [first, last] of normal(ranges).reverse()) {
    if (left <= 0) break;
    const from = Math.max(first, last - left + 1);
    taken.unshift([from, last]);
    left -= last - from + 1;
  }
  return taken;
}
