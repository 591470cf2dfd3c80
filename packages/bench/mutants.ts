/**
 * `npm run mutants [-- --only <name>] [--json]`: plants the classic mistakes one by one in a copy of
 * the tree; the tests must catch each. Exit code 1 when one survives, 3 when the tests fail anyway.
 */
import { parseArgs } from 'node:util';
import { Copy, type Outcome } from './mutants/run.ts';
import { type CheckName, MUTANTS } from './mutants/table.ts';

const { values } = parseArgs({
  options: { only: { type: 'string' }, json: { type: 'boolean', default: false } },
});
const say = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

async function main(): Promise<number> {
  const chosen = MUTANTS.filter((m) => values.only === undefined || m.name === values.only);
  if (chosen.length === 0) {
    say(`no mutant is called ${values.only}; there are: ${MUTANTS.map((m) => m.name).join(', ')}`);
    return 2;
  }
  const copy = await Copy.make();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.once(name, () => void copy.remove().finally(() => process.exit(130)));
  }
  try {
    const checks = new Set<CheckName>(chosen.flatMap((m) => m.caughtBy));
    for (const name of checks) {
      const failure = await copy.check(name);
      if (failure === null) continue;
      say(`${name} fails without any mutant: ${failure}`);
      return 3;
    }
    const outcomes: Outcome[] = [];
    for (const mutant of chosen) {
      const outcome = await copy.plant(mutant);
      outcomes.push(outcome);
      const took = `${outcome.seconds.toFixed(1)} s`;
      say(`${outcome.verdict.padEnd(8)} ${outcome.mutant} (${took}): ${outcome.by}`);
    }
    if (values.json) process.stdout.write(`${JSON.stringify(outcomes)}\n`);
    const bad = outcomes.filter((o) => o.verdict !== 'caught');
    say(`${outcomes.length - bad.length} of ${outcomes.length} caught`);
    return bad.length === 0 ? 0 : 1;
  } finally {
    await copy.remove();
  }
}

process.exitCode = await main();
