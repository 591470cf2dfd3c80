/** Runs one benchmark: measures, judges, writes the page, and undoes all it deferred. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { GOALS } from '../goals.ts';
import { drawChart } from './chart.ts';
import { judge } from './judge.ts';
import { place, section } from './markdown.ts';
import type { Bench, BenchReport, Chart } from './result.ts';

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
  const unwind = async (): Promise<void> => {
    for (let step = undo.pop(); step !== undefined; step = undo.pop()) {
      try {
        await step();
      } catch (error) {
        // The others must still be undone; what failed is said.
        options.say(`while cleaning up: ${String(error)}`);
      }
    }
  };
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
    });
    const report: BenchReport = {
      name: bench.name,
      at: new Date().toISOString(),
      quick: options.quick,
      host: { cores: availableParallelism(), node: process.versions.node, engine },
      results: judge(measured, GOALS[bench.name] ?? {}, !options.quick),
    };
    if (options.docs !== null) await publish(options.docs, report, bench.about, charts);
    return report;
  } finally {
    process.off('SIGINT', interrupted);
    process.off('SIGTERM', interrupted);
    await unwind();
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
