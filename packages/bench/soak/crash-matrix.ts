/** Plays the whole crash matrix, or a part of it, on a few services beside each other. */
import { ALL_STEPS, EFFECTS, type FailpointEffect } from '../../control/databases/failpoints.ts';
import { OurService } from '../benches/our-service.ts';
import { allPlays, type Play, play } from './crash-points.ts';

export interface MatrixOutcome {
  readonly plays: number;
  readonly seconds: number;
  readonly problems: readonly string[];
  readonly notPassed: readonly string[];
  readonly byEffect: Readonly<Record<string, number>>;
}

export interface MatrixOptions {
  readonly effects: readonly string[];
  /** Null: all of them. */
  readonly life: string | null;
  readonly side: number;
  readonly say: (line: string) => void;
}

export async function crashMatrix(options: MatrixOptions): Promise<MatrixOutcome> {
  const began = performance.now();
  const effects = EFFECTS.filter((each) => options.effects.includes(each));
  const plays = allPlays(effects).filter(
    (each) => options.life === null || each.life === options.life,
  );
  const queue = [...plays];
  const problems: string[] = [];
  const notPassed: string[] = [];
  const count = new Map<FailpointEffect, number>();
  const worker = async (): Promise<void> => {
    let service = await OurService.make();
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const name = nameOf(next);
      const start = performance.now();
      try {
        const passed = await play(service, next);
        if (passed) count.set(next.effect, (count.get(next.effect) ?? 0) + 1);
        else notPassed.push(name);
        const took = ((performance.now() - start) / 1000).toFixed(1);
        options.say(`${name}: ${passed ? 'finished' : 'not passed'} (${took} s)`);
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        problems.push(`${name}: ${why.split('\n')[0]}`);
        options.say(`${name}: PROBLEM ${why}\n${service.logs.slice(-8).join('').trim()}`);
        await service.destroy();
        service = await OurService.make();
      }
    }
    await service.destroy();
  };
  await Promise.all(Array.from({ length: options.side }, worker));
  return {
    plays: plays.length,
    seconds: Math.round((performance.now() - began) / 1000),
    problems,
    notPassed,
    byEffect: Object.fromEntries(count),
  };
}

function nameOf({ life, point, effect }: Play): string {
  return `${life} ${point}=${effect}`;
}

export function matrixSummary(outcome: MatrixOutcome): string {
  const rare = Object.entries(ALL_STEPS).filter(([, life]) => life === 'rare');
  const { plays, seconds, problems, notPassed } = outcome;
  return [
    `${plays} plays of ${Object.keys(ALL_STEPS).length - rare.length} steps in ${seconds} s: ${problems.length} problems, ${notPassed.length} not passed. ${JSON.stringify(outcome.byEffect)}`,
    '',
    `Steps that an ordinary life does not pass (the simulator does): ${rare.map(([step]) => step).join(', ')}.`,
    ...notPassed.map((name) => `- not passed: ${name}`),
    ...problems.map((problem) => `- problem: ${problem}`),
  ].join('\n');
}
