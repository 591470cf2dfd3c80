/**
 * `npm run -s bench -- <name> [--quick] [--json] [--report|--no-report]`
 *
 * --quick    fewer and shorter rounds; the page is left alone unless --report is given
 * --json     the report as JSON on standard output, and nothing else there
 *
 * Exit code: 0 when every judged metric is met, 1 when one is not, 2 for a wrong call, 3 when the
 * benchmark could not run.
 */
import path from 'node:path';
import { parseArgs } from 'node:util';
import { BENCHES } from './benches/table.ts';
import { section } from './harness/markdown.ts';
import { runBench } from './harness/run.ts';

const say = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

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
  const load = name === undefined ? undefined : BENCHES[name];
  if (name === undefined || load === undefined || rest.length > 0) {
    say(`usage: npm run -s bench -- <${Object.keys(BENCHES).join('|')}> [--quick] [--json]`);
    return 2;
  }
  const bench = await load();
  const write = (values.report ?? !values.quick) && !values['no-report'];
  const docs = write ? path.join(import.meta.dirname, '..', '..', 'docs') : null;
  const report = await runBench(bench, { quick: values.quick, docs, say });
  if (values.json) process.stdout.write(`${JSON.stringify(report)}\n`);
  else process.stdout.write(section(report, bench.about, []));
  return report.results.every((r) => r.met !== false) ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  say(error instanceof Error ? (error.stack ?? error.message) : String(error));
  process.exitCode = (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS') ? 2 : 3;
}
