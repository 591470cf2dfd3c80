/**
 * Interleaved rounds. Two cores are shared by engine, rival and load, and the machine drifts: a
 * side measured in the first minute and another in the second compare minutes. So every round
 * measures each side once, and the order turns by one each round, so that nobody always follows
 * the same neighbour.
 */
import { RIVAL_SHARE } from '../goals.ts';
import { VOID_ATTEMPTS, VOID_BELOW } from '../limits.ts';
import { median } from './stats.ts';

export interface Side {
  readonly name: string;
  measure(): Promise<number>;
}

export type Samples = Record<string, number[]>;

export async function interleave(sides: readonly Side[], rounds: number): Promise<Samples> {
  const samples: Samples = Object.fromEntries(sides.map((side) => [side.name, []]));
  for (let round = 0; round < rounds; round += 1) {
    for (let i = 0; i < sides.length; i += 1) {
      const side = sides[(i + round) % sides.length];
      if (side !== undefined) samples[side.name]?.push(await side.measure());
    }
  }
  return samples;
}

/**
 * Why a run says nothing, or undefined. A rival well under its known share of `direct` was
 * disturbed: beating it then is luck. `cell` names a row of RIVAL_SHARE.
 */
export function voidReason(cell: string, samples: Samples): string | undefined {
  const direct = median(samples['direct'] ?? []);
  for (const [rival, share] of Object.entries(RIVAL_SHARE[cell] ?? {})) {
    const values = samples[rival];
    if (values === undefined || values.length === 0) continue;
    const measured = median(values) / direct;
    if (!(measured >= VOID_BELOW * share)) {
      return `${rival} reached ${measured.toFixed(2)} of direct, known share ${share.toFixed(2)}: disturbed run`;
    }
  }
  return undefined;
}

/** Measures a cell, once more when the first run is void, and says so when it stays void. */
export async function measureCell(
  cell: string,
  sides: readonly Side[],
  rounds: number,
): Promise<{ samples: Samples; void?: string }> {
  let last: { samples: Samples; void?: string } | undefined;
  for (let attempt = 0; attempt < VOID_ATTEMPTS; attempt += 1) {
    const samples = await interleave(sides, rounds);
    const reason = voidReason(cell, samples);
    if (reason === undefined) return { samples };
    last = { samples, void: reason };
  }
  if (last === undefined) throw new Error('VOID_ATTEMPTS must be at least 1');
  return last;
}
