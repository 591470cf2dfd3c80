/** `npm run -s bench`: one benchmark, judged by the goals. */
import path from 'node:path';
import { parseArgs } from 'node:util';
import { BENCHES } from './benches/table.ts';
import { BROKE_OFF, command, oneOf, say, WrongCall } from './command.ts';
import { section } from './harness/markdown.ts';
import { runBench } from './harness/run.ts';

const NAMES = Object.keys(BENCHES);
const USAGE = `usage: npm run -s bench -- <name> [--quick] [--json] [--report|--no-report]

  <name>            ${NAMES.join(', ')}
  --quick           fewer and shorter rounds; docs/benchmarks.md is left alone unless --report is given
  --json            the report as JSON on standard output, and nothing else there
Exit code: 0 every goal met, 1 one is not, 2 a wrong call, 3 it could not run.`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      quick: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      report: { type: 'boolean' },
      'no-report': { type: 'boolean', default: false },
    },
  });
  const [name, ...rest] = positionals;
  if (name === undefined || rest.length > 0)
    throw new WrongCall('which benchmark? One name, please');
  const bench = await BENCHES[oneOf('benchmark', name, NAMES)]?.();
  if (bench === undefined) throw new Error(`${name} could not be loaded`);
  const write = (values.report ?? !values.quick) && !values['no-report'];
  const docs = write ? path.join(import.meta.dirname, '..', '..', 'docs') : null;
  const report = await runBench(bench, { quick: values.quick, docs, say });
  if (report.brokenOff !== undefined) say(`${name} broke off: ${report.brokenOff}`);
  if (values.json) process.stdout.write(`${JSON.stringify(report)}\n`);
  else process.stdout.write(section(report, bench.about, []));
  if (report.brokenOff !== undefined) return BROKE_OFF;
  return report.results.every((r) => r.met !== false) ? 0 : 1;
}

await command(USAGE, main);
