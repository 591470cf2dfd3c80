/** `npm run soak`: real processes under load, faults and changes from a seed; and the long forms. */
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline/promises';
import { parseArgs } from 'node:util';
import { EFFECTS } from '../control/databases/failpoints.ts';
import { command, oneOf, say, WrongCall, wholeNumber } from './command.ts';
import { PARSERS } from './fuzz/parsers.ts';
import { fuzzLong } from './fuzz/run.ts';
import { place } from './harness/markdown.ts';
import { run } from './processes.ts';
import { crashMatrix, matrixSummary } from './soak/crash-matrix.ts';
import { LIFE_NAMES } from './soak/lives.ts';
import { type SoakResult, soak } from './soak/run.ts';
import { twoServers } from './soak/two-servers.ts';

const USAGE = `usage: npm run soak [-- --minutes n] [--seed s] [--steps n] [--pause] [--json] [--report]

Real processes, all policies, load on, random faults and management operations from the seed, every
write checked. The seed and the time line are printed.
  --minutes n       how long; 10 unless --steps is given
  --seed s          the same story again; --steps n: up to step n; --pause: Enter before each step
  --json            the result on standard output
  --report          the result into docs/benchmarks.md

The long forms, each with --seed and --report:
  --simulated n     n faults in the simulator
  --fuzz n          n inputs a parser (--only <name>: of this one)
  --dataset n       n bytes of the standard data set in two makes of engines, digests compared
  --crash-points    control crashes, hangs and fails at each step of each operation
                    (--effects crash,hang,fail  --life <name>  --side n services beside each other)

Examples: npm run soak -- --minutes 1
          npm run soak -- --seed 5 --steps 12 --pause
          npm run soak -- --crash-points --life stop --effects crash
Exit code: 0 clean, 1 something was found, 2 a wrong call, 3 it could not run.`;

const OPTIONS = {
  minutes: { type: 'string' },
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
  effects: { type: 'string', default: EFFECTS.join(',') },
  life: { type: 'string' },
  side: { type: 'string', default: '2' },
} as const;

const ROOT = path.join(import.meta.dirname, '..', '..');
const SIMULATED_STEPS = 2_500;
const DEFAULT_MINUTES = 10;
const MOST_MINUTES = 7 * 24 * 60;
const MOST_SEED = 2 ** 31 - 1;
const MOST_BESIDE = 16;
const INTERRUPTED = 130;

type Values = ReturnType<typeof words>;

function words() {
  return parseArgs({ options: OPTIONS }).values;
}

function seedOf(values: Values): number | null {
  return values.seed === undefined ? null : wholeNumber('--seed', values.seed, 0, MOST_SEED);
}

function count(option: string, text: string): number {
  return wholeNumber(option, text, 1, Number.MAX_SAFE_INTEGER);
}

/** Ctrl-C ends the children of it, too. Not for work without pauses, which would never hear of it. */
async function interruptible<T>(work: (stop: AbortSignal) => Promise<T>): Promise<T> {
  const stop = new AbortController();
  const end = (): void => {
    stop.abort();
    process.exit(INTERRUPTED);
  };
  const signals = ['SIGINT', 'SIGTERM'] as const;
  for (const name of signals) process.once(name, end);
  try {
    return await work(stop.signal);
  } finally {
    for (const name of signals) process.off(name, end);
  }
}

async function longForms(values: Values): Promise<number> {
  const seed = seedOf(values);
  const { simulated, dataset, fuzz, only } = values;
  // All words are looked at before hours are spent on the first.
  const faults = simulated === undefined ? 0 : count('--simulated', simulated);
  const bytes = dataset === undefined ? 0 : count('--dataset', dataset);
  const inputs = fuzz === undefined ? 0 : count('--fuzz', fuzz);
  const names = PARSERS.map(({ name }) => name);
  const chosen = only === undefined ? names : [oneOf('--only', only, names)];
  try {
    await longFormsOf({ faults, bytes, inputs, chosen, seed, report: values.report });
    return 0;
  } catch (error) {
    say(error instanceof Error ? (error.stack ?? error.message) : String(error));
    return 1;
  }
}

interface LongForms {
  readonly faults: number;
  readonly bytes: number;
  readonly inputs: number;
  readonly chosen: readonly string[];
  readonly seed: number | null;
  readonly report: boolean;
}

/** Throws what was found. */
async function longFormsOf(asked: LongForms): Promise<void> {
  const { faults, bytes, inputs, chosen, seed } = asked;
  if (faults > 0) {
    const program = path.join(ROOT, 'packages', 'control', 'simulation', 'main.ts');
    const args = [program, '--faults', String(faults), '--steps', String(SIMULATED_STEPS)];
    args.push('--focus', 'storm');
    if (seed !== null) args.push('--seed', String(seed));
    const text = (await interruptible((signal) => run(process.execPath, args, { signal }))).trim();
    say(text);
    if (asked.report) await report('simulated', `--simulated ${faults}`, text);
  }
  if (bytes > 0) {
    const text = await interruptible(() => twoServers(bytes, seed ?? 1));
    say(text);
    if (asked.report) await report('dataset', `--dataset ${bytes}`, text);
  }
  if (inputs > 0) {
    const from = seed ?? Date.now() % 2 ** 31;
    const lines: string[] = [];
    for (const parser of PARSERS.filter(({ name }) => chosen.includes(name))) {
      lines.push(`- ${fuzzLong(parser, inputs, from)}`);
      say(lines.at(-1) ?? '');
      // After each: a run of hours that is interrupted has something to say.
      if (asked.report) await report('fuzz', `--fuzz ${inputs} --seed ${from}`, lines.join('\n'));
    }
  }
}

async function crashPoints(values: Values): Promise<number> {
  const { life } = values;
  const effects = values.effects.split(',').map((word) => oneOf('--effects', word, EFFECTS));
  const options = {
    effects,
    life: life === undefined ? null : oneOf('--life', life, LIFE_NAMES),
    side: wholeNumber('--side', values.side, 1, MOST_BESIDE),
    say,
  };
  const outcome = await interruptible(() => crashMatrix(options));
  const text = matrixSummary(outcome);
  say(text);
  if (values.report) await report('crash-points', `--crash-points --effects ${effects}`, text);
  return outcome.problems.length === 0 ? 0 : 1;
}

async function main(): Promise<number> {
  const values = words();
  if (values['crash-points']) return crashPoints(values);
  if ([values.simulated, values.fuzz, values.dataset].some((value) => value !== undefined)) {
    return longForms(values);
  }
  if (values.only !== undefined || values.life !== undefined) {
    throw new WrongCall('--only belongs to --fuzz, --life to --crash-points');
  }
  return story(values);
}

async function story(values: Values): Promise<number> {
  const seed = seedOf(values) ?? Math.floor(Math.random() * MOST_SEED);
  const steps =
    values.steps === undefined ? Number.POSITIVE_INFINITY : count('--steps', values.steps);
  const minutes = minutesOf(values);
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
  if (values.report) await report('soak', `--minutes ${minutes} --seed ${seed}`, summary(result));
  return result.problems.length === 0 ? 0 : 1;
}

/** A replay goes to its last step, however long the steps take and whoever thinks before Enter. */
function minutesOf({ minutes, steps }: Values): number {
  if (minutes === undefined)
    return steps === undefined ? DEFAULT_MINUTES : Number.POSITIVE_INFINITY;
  const value = /^\d+(\.\d+)?$/.test(minutes) ? Number(minutes) : Number.NaN;
  if (value > 0 && value <= MOST_MINUTES) return value;
  throw new WrongCall(`--minutes: '${minutes}' is not a number up to ${MOST_MINUTES}`);
}

function summary(result: SoakResult): string {
  const loads = Object.entries(result.loads).map(
    ([name, l]) =>
      `- ${name}: ${l.acknowledged} writes acknowledged, ${l.lost} lost, ${l.duplicated} duplicated, ${l.reordered} reordered, ${l.unknown} unknown outcomes, errors ${JSON.stringify(l.errors)}, ${l.shed} not sent; longest gap of one connection ${l.longestGapMs} ms, from +${l.longestGapAtS} s on`,
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

await command(USAGE, main);
