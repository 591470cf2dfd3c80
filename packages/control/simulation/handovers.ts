/**
 * Slots in the simulator. An engine's log is its stream: writes, and between them marks that a batch
 * of slots came or went. What an engine holds is what its log amounts to, so copies, partial and full
 * ones, carry hand-overs as they carry writes.
 */
import type { SlotRange } from '../../engine/contract.ts';
import { SLOTS } from '../plan/slot-ranges.ts';

/** Spreads consecutive writes over all slots. */
const STRIDE = 5_147;

export function slotOf(value: number): number {
  return (value * STRIDE) % SLOTS;
}

export function holdsSlot(ranges: readonly SlotRange[], slot: number): boolean {
  return ranges.some(([first, last]) => first <= slot && slot <= last);
}

interface Batch {
  readonly ranges: readonly SlotRange[];
  readonly values: readonly number[];
}

export class Handovers {
  readonly #batches: Batch[] = [];
  readonly #known = new WeakMap<readonly number[], { upTo: number; data: Set<number> }>();

  /** Two marks for logs: what the target's stream and what the source's stream says of this batch. */
  marks(batch: Batch): { readonly came: number; readonly went: number } {
    const number = this.#batches.push(batch);
    return { came: -(2 * number), went: -(2 * number + 1) };
  }

  dataOf(log: readonly number[]): ReadonlySet<number> {
    let known = this.#known.get(log);
    if (known === undefined || known.upTo > log.length) known = { upTo: 0, data: new Set() };
    for (let i = known.upTo; i < log.length; i++) this.#apply(known.data, log[i] ?? 0);
    known.upTo = log.length;
    this.#known.set(log, known);
    return known.data;
  }

  /** Also of what is still in a socket: what it brings, if it brings anything. */
  broughtBy(entries: readonly number[]): number[] {
    return entries.flatMap((entry) => {
      if (entry > 0) return [entry];
      return entry % 2 === 0 ? [...(this.#batches[-entry / 2 - 1]?.values ?? [])] : [];
    });
  }

  #apply(data: Set<number>, entry: number): void {
    if (entry > 0) return void data.add(entry);
    const batch = this.#batches[Math.floor(-entry / 2) - 1];
    if (batch === undefined) return;
    if (entry % 2 === 0) for (const value of batch.values) data.add(value);
    else for (const value of data) if (holdsSlot(batch.ranges, slotOf(value))) data.delete(value);
  }
}
