/**
 * `npm run mutants [-- --only <name>] [--side 2] [--json]`: plants the classic mistakes one by one in
 * copies of the tree; the tests must catch each. Exit code 1 when one survives, 3 when the tests fail anyway.
 */
import { parseArgs } from 'node:util';
import { Copy, type Outcome } from './mutants/run.ts';
import { type CheckName, MUTANTS, type Mutant } from './mutants/table.ts';

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    side: { type: 'string', default: '2' },
    json: { type: 'boolean', default: false },
  },
});
/** Checks start real engines: more of them than cores only makes each slower. */
const MOST_BESIDE = 16;
const say = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

async function main(): Promise<number> {
  const chosen = MUTANTS.filter((m) => values.only === undefined || m.name === values.only);
  if (chosen.length === 0) {
    say(`no mutant is called ${values.only}; there are: ${MUTANTS.map((m) => m.name).join(', ')}`);
    return 2;
  }
  const side = Number(values.side);
  if (!(Number.isInteger(side) && side >= 1 && side <= MOST_BESIDE)) {
    say(`--side is 1 to ${MOST_BESIDE}`);
    return 2;
  }
  const copies = await Promise.all(Array.from({ length: side }, () => Copy.make()));
  const remove = async (): Promise<void> => {
    await Promise.all(copies.map((copy) => copy.remove()));
  };
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.once(name, () => void remove().finally(() => process.exit(130)));
  }
  try {
    return await judge(copies, chosen);
  } finally {
    await remove();
  }
}

/** Copies of the tree beside each other; each takes the next mutant when it is done with one. */
async function judge(copies: readonly Copy[], chosen: readonly Mutant[]): Promise<number> {
  const broken: string[] = [];
  await inTurn(
    copies,
    [...new Set<CheckName>(chosen.flatMap((m) => m.caughtBy))],
    async (copy, name) => {
      const failure = await copy.check(name);
      if (failure !== null) broken.push(`${name} fails without any mutant: ${failure}`);
    },
  );
  for (const line of broken) say(line);
  if (broken.length > 0) return 3;
  const outcomes: Outcome[] = [];
  await inTurn(copies, chosen, async (copy, mutant) => {
    const outcome = await copy.plant(mutant);
    outcomes.push(outcome);
    const took = `${outcome.seconds.toFixed(1)} s`;
    say(`${outcome.verdict.padEnd(8)} ${outcome.mutant} (${took}): ${outcome.by}`);
  });
  if (values.json) process.stdout.write(`${JSON.stringify(outcomes)}\n`);
  const bad = outcomes.filter((o) => o.verdict !== 'caught');
  say(`${outcomes.length - bad.length} of ${outcomes.length} caught`);
  return bad.length === 0 ? 0 : 1;
}

async function inTurn<T>(
  copies: readonly Copy[],
  work: readonly T[],
  each: (copy: Copy, item: T) => Promise<void>,
): Promise<void> {
  const queue = [...work];
  await Promise.all(
    copies.map(async (copy) => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift())
        await each(copy, next);
    }),
  );
}

process.exitCode = await main();
