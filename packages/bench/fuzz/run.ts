/** Runs one parser or all on many inputs from a seed. Throws with the smallest input that fails. */
import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { cut, cuts, Draw, drawInput, inputs } from './inputs.ts';
import type { Fuzzed } from './parsers.ts';
import { KEPT_INPUTS } from './seeds.ts';

type Answer = { readonly value: unknown } | { readonly error: string };

function answer(parser: Fuzzed, pieces: readonly Buffer[]): Answer {
  try {
    return { value: parser.run(pieces) };
  } catch (error) {
    if (parser.throws.some((type) => error instanceof type)) return { error: String(error) };
    throw error;
  }
}

/** One input, whole and in pieces. A stream that breaks may answer fewer values before it does. */
export function tryInput(parser: Fuzzed, bytes: Buffer, where: readonly number[]): void {
  const whole = answer(parser, [Buffer.from(bytes)]);
  if (!parser.streams) return;
  const inPieces = answer(parser, cut(Buffer.from(bytes), where));
  // The quick comparison first: this runs millions of times.
  if (!isDeepStrictEqual(inPieces, whole)) assert.deepEqual(inPieces, whole);
}

export function fuzz(parser: Fuzzed, runs: number, seed: number): string {
  const began = performance.now();
  for (const [name, input] of KEPT_INPUTS) {
    if (name === parser.name) tryInput(parser, Buffer.from(input, 'latin1'), [0.3, 0.6]);
  }
  fc.assert(
    fc.property(inputs(parser.grammar), cuts, (bytes, where) => {
      tryInput(parser, bytes, where);
    }),
    { numRuns: runs, seed },
  );
  const seconds = (performance.now() - began) / 1000;
  return `${parser.name}: ${runs} inputs from seed ${seed} in ${seconds.toFixed(1)} s, nothing found`;
}

/**
 * The long form: inputs by the million from a seed, without the shrinking that makes each of them
 * dear. What fails is printed whole; it is small, and belongs into `seeds.ts`.
 */
export function fuzzLong(parser: Fuzzed, runs: number, seed: number): string {
  const began = performance.now();
  const draw = new Draw(seed);
  for (let i = 0; i < runs; i += 1) {
    const bytes = drawInput(draw, parser.grammar);
    const where = [draw.below(100) / 100, draw.below(100) / 100];
    try {
      tryInput(parser, bytes, where);
    } catch (error) {
      const input = JSON.stringify(bytes.toString('latin1'));
      throw new Error(
        `${parser.name}: input ${i} of seed ${seed}: ${input}, cut at ${where.join(', ')}`,
        {
          cause: error,
        },
      );
    }
  }
  const seconds = (performance.now() - began) / 1000;
  return `${parser.name}: ${runs} inputs from seed ${seed} in ${seconds.toFixed(1)} s, nothing found`;
}
