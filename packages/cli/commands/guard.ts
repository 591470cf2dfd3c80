/** `cinnabar guard`: rules for expensive commands. */
import { Argument, Command, Option } from 'commander';
import type { ExpensiveStats, GuardRule } from '../../control/observe/contract.ts';
import { waitFor } from '../api/operations.ts';
import { noDatabase } from '../api/refusal.ts';
import type { Context } from '../context.ts';
import { action } from '../context.ts';
import { CliError } from '../errors.ts';
import type { Column } from '../output/table.ts';
import { whole } from '../up/options.ts';
import { type WaitFlags, waitFlags, waitOptions } from './options.ts';

const MOST_ABOVE = 2 ** 32;
const ACTIONS = ['allow', 'warn', 'refuse'] as const;

interface SetFlags extends WaitFlags {
  readonly action?: GuardRule['action'];
  readonly above?: string;
}

const COLUMNS: readonly Column<ExpensiveStats>[] = [
  { title: 'COMMAND', value: (e) => e.command.toUpperCase() },
  { title: 'ACTION', value: (e) => e.rule?.action ?? 'allow' },
  { title: 'ABOVE', value: (e) => String(e.rule?.above || '-'), align: 'right' },
  { title: 'CALLS', value: (e) => String(e.calls), align: 'right' },
  { title: 'WARNED', value: (e) => String(e.warned), align: 'right' },
  { title: 'REFUSED', value: (e) => String(e.refused), align: 'right' },
];

export function guardCommand(): Command {
  const command = new Command('guard')
    .summary('allow, warn of or refuse expensive commands')
    .description(
      'Shows the rules and the expensive commands that were seen; sets or removes a rule.',
    )
    .argument('<name>')
    .addArgument(new Argument('[verb]', 'what to do; absent: show').choices(['set', 'unset']))
    .argument('[command]', 'of the rule: KEYS, HGETALL, SMEMBERS, ...')
    .addOption(new Option('--action <action>', 'what happens').choices([...ACTIONS]))
    .option('--above <n>', 'only where more than so many fields or elements are concerned');
  return waitFlags(command)
    .addHelpText(
      'after',
      `
Examples:
  cinnabar guard sessions
  cinnabar guard sessions set KEYS --action refuse
  cinnabar guard sessions set HGETALL --above 10000 --action refuse
  cinnabar guard sessions unset HGETALL
What each rule means: docs/guard.md`,
    )
    .action(action(guard));
}

function guard(
  context: Context,
  name: string,
  verb: 'set' | 'unset' | undefined,
  command: string | undefined,
  flags: SetFlags,
): Promise<void> {
  if (verb === undefined) return show(context, name);
  if (command === undefined) {
    throw new CliError(
      'usage',
      'no-command',
      `Which command is the rule for?`,
      `For example: cinnabar guard ${name} ${verb} KEYS`,
    );
  }
  const wanted = command.toLowerCase();
  if (verb === 'set') {
    if (flags.action === undefined) {
      throw new CliError(
        'usage',
        'no-action',
        'What happens with it?',
        `For example: cinnabar guard ${name} set ${command} --action refuse`,
      );
    }
    const above = flags.above === undefined ? 0 : whole('--above', flags.above, 0, MOST_ABOVE);
    const rule = { command: wanted, action: flags.action, above };
    return change(context, name, flags, (rules) => [
      ...rules.filter((each) => each.command !== wanted),
      rule,
    ]);
  }
  return change(context, name, flags, (rules) => {
    const left = rules.filter((each) => each.command !== wanted);
    if (left.length < rules.length) return left;
    throw new CliError(
      'notFound',
      'no-such-rule',
      `'${name}' has no rule for ${command.toUpperCase()}.`,
      `See: cinnabar guard ${name}`,
    );
  });
}

async function show(context: Context, name: string): Promise<void> {
  const report = await context.api().stats(name, null);
  const { expensive, note } = report;
  context.output.rows(
    expensive,
    COLUMNS,
    `No rule, and no expensive command was seen. For example: cinnabar guard ${name} set KEYS --action refuse`,
    { value: expensive, note },
  );
  if (note !== null && !context.output.json) context.output.note(note);
}

async function change(
  context: Context,
  name: string,
  flags: WaitFlags,
  next: (rules: readonly GuardRule[]) => readonly GuardRule[],
): Promise<void> {
  const api = context.api();
  const { database } = await api.cache(name);
  if (database === null) throw noDatabase(name);
  const guard = next(database.properties.cinnabar?.guard ?? []);
  const accepted = await api.patchDatabase(name, { properties: { cinnabar: { guard } } });
  const wait = waitOptions(flags);
  await waitFor(api, context.output, accepted.operation, wait);
  if (wait.wait) await show(context, name);
}
