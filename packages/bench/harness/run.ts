/**
 * Runs one benchmark: measures, judges, writes the page, and undoes all it deferred. One that breaks off
 * after half an hour still answers what it has measured until then; the page keeps the last whole run.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { GOALS } from '../goals.ts';
import { UNDO_MS } from '../limits.ts';
import { drawChart } from './chart.ts';
import { judge } from './judge.ts';
import { place, section } from './markdown.ts';
import type { Bench, BenchReport, Chart, Measured } from './result.ts';

export interface RunOptions {
  readonly quick: boolean;
  /** Folder of the page, or null: nothing is written. */
  readonly docs: string | null;
  readonly say: (line: string) => void;
}

export async function runBench(bench: Bench, options: RunOptions): Promise<BenchReport> {
  const undo: (() => Promise<void> | void)[] = [];
  const charts: Chart[] = [];
  let engine = 'none';
  let soFar = (): readonly Measured[] => [];
  const unwind = async (): Promise<void> => {
    for (let step = undo.pop(); step !== undefined; step = undo.pop()) {
      try {
        await within(step);
      } catch (error) {
        // The others must still be undone; what failed is said.
        options.say(`while cleaning up: ${String(error)}`);
      }
    }
  };
  const reportOf = (measured: readonly Measured[]): BenchReport => ({
    name: bench.name,
    at: new Date().toISOString(),
    quick: options.quick,
    host: { cores: availableParallelism(), node: process.versions.node, engine },
    results: judge(measured, GOALS[bench.name] ?? {}, !options.quick),
  });
  const interrupted = (): void => {
    void unwind().finally(() => process.exit(130));
  };
  process.once('SIGINT', interrupted);
  process.once('SIGTERM', interrupted);
  try {
    const measured = await bench.run({
      quick: options.quick,
      say: options.say,
      defer: (step) => undo.push(step),
      chart: (chart) => charts.push(chart),
      engine: (name) => {
        engine = name;
      },
      soFar: (how) => {
        soFar = how;
      },
    });
    const report = reportOf(measured);
    if (options.docs !== null) await publish(options.docs, report, bench.about, charts);
    return report;
  } catch (error) {
    options.say(error instanceof Error ? (error.stack ?? error.message) : String(error));
    const brokenOff = error instanceof Error ? error.message : String(error);
    return { ...reportOf(soFar()), brokenOff };
  } finally {
    process.off('SIGINT', interrupted);
    process.off('SIGTERM', interrupted);
    await unwind();
  }
}

/** What cannot be undone must not keep the rest, nor the process, for ever. */
async function within(step: () => Promise<void> | void): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('not done in time')), UNDO_MS);
  });
  try {
    await Promise.race([Promise.resolve(step()), late]);
  } finally {
    clearTimeout(timer);
  }
}

async function publish(
  docs: string,
  report: BenchReport,
  about: string,
  charts: readonly Chart[],
): Promise<void> {
  await mkdir(docs, { recursive: true });
  const file = path.join(docs, 'benchmarks.md');
  const page = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  for (const chart of charts) {
    const target = path.join(docs, chart.file);
    await mkdir(path.dirname(target), { recursive: true });
    await writeFile(target, drawChart(chart));
  }
  await writeFile(file, place(page, report.name, section(report, about, charts)));
}
