/**
 * `npm run soak [-- --minutes n] [--seed s] [--steps n] [--pause] [--json] [--report]`
 *
 * Real processes, all policies, load on, random faults and management operations from the seed,
 * invariants checked after each. The seed and the time line are printed; `--seed s --steps n`
 * tells the same story up to step n, `--pause` waits for Enter before each.
 *
 * The long forms: `--simulated n` lets the simulator go through n faults, `--fuzz n` n inputs a parser
 * (`--only <name>`: of one), `--dataset n` puts n bytes of the standard data set into two makes of
 * engines, all with `--report` into docs/benchmarks.md,
 * `--crash-points` crashes, hangs and fails the control process at each step of each operation
 * (`--effects crash,hang,fail`, `--life failover`, `--side 2` services beside each other).
 */
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline/promises';
import { parseArgs } from 'node:util';
import { PARSERS } from './fuzz/parsers.ts';
import { fuzzLong } from './fuzz/run.ts';
import { place } from './harness/markdown.ts';
import { run } from './processes.ts';
import { crashMatrix, matrixSummary } from './soak/crash-matrix.ts';
import { type SoakResult, soak } from './soak/run.ts';
import { twoServers } from './soak/two-servers.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string' },
    steps: { type: 'string' },
    pause: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    report: { type: 'boolean', default: false },
    simulated: { type: 'string' },
    fuzz: { type: 'string' },
    dataset: { type: 'string' },
    only: { type: 'string' },
    'crash-points': { type: 'boolean', default: false },
    effects: { type: 'string', default: 'crash,hang,fail' },
    life: { type: 'string' },
    side: { type: 'string', default: '2' },
  },
});
const ROOT = path.join(import.meta.dirname, '..', '..');
const SIMULATED_STEPS = 2_500;

const say = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

async function longForms(): Promise<void> {
  if (values.simulated !== undefined) {
    const program = path.join(ROOT, 'packages', 'control', 'simulation', 'main.ts');
    const args = [program, '--faults', values.simulated, '--steps', String(SIMULATED_STEPS)];
    args.push('--focus', 'storm');
    if (values.seed !== undefined) args.push('--seed', values.seed);
    const text = (await run(process.execPath, args)).trim();
    say(text);
    if (values.report) await report('simulated', `--simulated ${values.simulated}`, text);
  }
  if (values.dataset !== undefined) {
    const text = await twoServers(Number(values.dataset), Number(values.seed ?? 1));
    say(text);
    if (values.report) await report('dataset', `--dataset ${values.dataset}`, text);
  }
  if (values.fuzz !== undefined) {
    const seed = values.seed === undefined ? Date.now() % 2 ** 31 : Number(values.seed);
    const chosen = PARSERS.filter((each) => values.only === undefined || each.name === values.only);
    if (chosen.length === 0) say(`there are: ${PARSERS.map((each) => each.name).join('; ')}`);
    const lines: string[] = [];
    for (const parser of chosen) {
      lines.push(`- ${fuzzLong(parser, Number(values.fuzz), seed)}`);
      say(lines.at(-1) ?? '');
      // After each: a run of hours that is interrupted has something to say.
      if (values.report)
        await report('fuzz', `--fuzz ${values.fuzz} --seed ${seed}`, lines.join('\n'));
    }
  }
}

async function crashPoints(): Promise<number> {
  const { effects, life } = values;
  const outcome = await crashMatrix({
    effects: effects.split(','),
    life: life ?? null,
    side: Number(values.side),
    say,
  });
  const text = matrixSummary(outcome);
  say(text);
  if (values.report) await report('crash-points', `--crash-points --effects ${effects}`, text);
  return outcome.problems.length === 0 ? 0 : 1;
}

async function main(): Promise<number> {
  if (values['crash-points']) return crashPoints();
  if ([values.simulated, values.fuzz, values.dataset].some((value) => value !== undefined)) {
    await longForms();
    return 0;
  }
  const seed =
    values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
  const steps = values.steps === undefined ? Number.POSITIVE_INFINITY : Number(values.steps);
  const minutes = Number(values.minutes);
  if (!(minutes > 0) || Number.isNaN(steps) || !Number.isSafeInteger(seed)) {
    say('minutes and steps are positive numbers, the seed is an integer');
    return 2;
  }
  const pause = async (step: number, name: string): Promise<void> => {
    if (!values.pause) return;
    const terminal = createInterface({ input: process.stdin, output: process.stderr });
    await terminal.question(`next: step ${step} ${name} (Enter) `);
    terminal.close();
  };
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => stop.abort());
  const result = await soak({ seed, minutes, steps, say, pause, stop: stop.signal });
  if (values.json) process.stdout.write(`${JSON.stringify(result)}\n`);
  else say(summary(result));
  if (values.report) {
    await report('soak', `--minutes ${values.minutes} --seed ${result.seed}`, summary(result));
  }
  return result.problems.length === 0 ? 0 : 1;
}

function summary(result: SoakResult): string {
  const loads = Object.entries(result.loads).map(
    ([name, l]) =>
      `- ${name}: ${l.acknowledged} writes acknowledged, ${l.lost} lost, ${l.duplicated} duplicated, ${l.reordered} reordered, ${l.unknown} unknown outcomes; longest gap of one connection ${l.longestGapMs} ms`,
  );
  const verdict = result.problems.length === 0 ? 'clean' : `${result.problems.length} problems`;
  return [
    `Seed ${result.seed}: ${result.steps} steps in ${result.seconds} s, ${verdict}.`,
    '',
    ...loads,
    `- before: ${JSON.stringify(result.before)}`,
    `- after: ${JSON.stringify(result.after)}`,
    ...result.problems.map((problem) => `- problem: ${problem}`),
  ].join('\n');
}

async function report(name: string, args: string, text: string): Promise<void> {
  const file = path.join(ROOT, 'docs', 'benchmarks.md');
  const page = await readFile(file, 'utf8').catch(() => '');
  const command = `\`npm run soak -- ${args}\`, ${new Date().toISOString()}`;
  await writeFile(file, place(page, name, `## ${name}\n\n${command}\n\n${text}`));
}

process.exitCode = await main();
