/** `npm run mutants`: plants the classic mistakes one by one in copies of the tree; the tests must catch each. */
import { parseArgs } from 'node:util';
import { command, oneOf, say, wholeNumber } from './command.ts';
import { Copy, type Outcome } from './mutants/run.ts';
import { type CheckName, MUTANTS, type Mutant } from './mutants/table.ts';

const USAGE = `usage: npm run mutants [-- --only <name>] [--list] [--side 2] [--json]

Plants the classic mistakes one by one in copies of the tree; a test must catch each.
  --only <name>     this one alone; --list prints their names
  --side n          so many copies beside each other
  --json            the outcomes on standard output
Exit code: 0 all caught, 1 one survived, 2 a wrong call, 3 the tests fail without any mutant.`;

const OPTIONS = {
  only: { type: 'string' },
  list: { type: 'boolean', default: false },
  side: { type: 'string', default: '2' },
  json: { type: 'boolean', default: false },
} as const;
/** Checks start real engines: more of them than cores only makes each slower. */
const MOST_BESIDE = 16;

async function main(): Promise<number> {
  const { values } = parseArgs({ options: OPTIONS });
  const names = MUTANTS.map(({ name }) => name);
  if (values.list) {
    process.stdout.write(`${names.join('\n')}\n`);
    return 0;
  }
  const only = values.only === undefined ? null : oneOf('--only', values.only, names);
  const chosen = MUTANTS.filter(({ name }) => only === null || name === only);
  const side = Math.min(wholeNumber('--side', values.side, 1, MOST_BESIDE), chosen.length);
  const copies = await Promise.all(Array.from({ length: side }, () => Copy.make()));
  const remove = async (): Promise<void> => {
    await Promise.all(copies.map((copy) => copy.remove()));
  };
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.once(name, () => void remove().finally(() => process.exit(130)));
  }
  try {
    return await judge(copies, chosen, values.json);
  } finally {
    await remove();
  }
}

/** Copies of the tree beside each other; each takes the next mutant when it is done with one. */
async function judge(
  copies: readonly Copy[],
  chosen: readonly Mutant[],
  json: boolean,
): Promise<number> {
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
  if (json) process.stdout.write(`${JSON.stringify(outcomes)}\n`);
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

await command(USAGE, main);
