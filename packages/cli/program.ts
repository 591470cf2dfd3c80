/** The tree of commands. Each file under commands/ makes one branch. */
import { Command, type Option } from 'commander';
import { certificateCommand } from './commands/certificate.ts';
import { deleteCommand, flushCommand, updateCommand } from './commands/change.ts';
import { completionCommand } from './commands/completion.ts';
import { connectCommand } from './commands/connect.ts';
import { createCommand } from './commands/create.ts';
import { doctorCommand } from './commands/doctor.ts';
import { downCommand } from './commands/down.ts';
import { endpointCommand } from './commands/endpoint.ts';
import { engineCommand } from './commands/engine.ts';
import { failoverCommand } from './commands/failover.ts';
import { faultCommand } from './commands/fault.ts';
import { guardCommand } from './commands/guard.ts';
import { eventsCommand, operationsCommand } from './commands/history.ts';
import { keysCommand } from './commands/keys.ts';
import { logsCommand } from './commands/logs.ts';
import { maintainCommand } from './commands/maintain.ts';
import { serviceCommand } from './commands/service.ts';
import { listCommand, showCommand } from './commands/show.ts';
import { skuCommand } from './commands/sku.ts';
import { statusCommand } from './commands/status.ts';
import { uninstallCommand } from './commands/uninstall.ts';
import { upgradeCommand } from './commands/upgrade.ts';
import { clientsCommand, largeCommand, slowlogCommand, statsCommand } from './commands/watch.ts';
import { pathOf } from './context.ts';
import { CliError } from './errors.ts';
import type { Output } from './output/output.ts';
import { upCommand } from './up/command.ts';

const GROUPS: readonly (readonly [string, () => Command[]])[] = [
  ['Start and stop:', () => [upCommand(), downCommand(), statusCommand()]],
  [
    'Caches:',
    () => [
      createCommand(),
      listCommand(),
      showCommand(),
      updateCommand(),
      deleteCommand(),
      flushCommand(),
      keysCommand(),
      certificateCommand(),
      failoverCommand(),
      maintainCommand(),
      upgradeCommand(),
      guardCommand(),
      skuCommand(),
      connectCommand(),
    ],
  ],
  [
    'What happens:',
    () => [
      statsCommand(),
      largeCommand(),
      clientsCommand(),
      slowlogCommand(),
      operationsCommand(),
      eventsCommand(),
      logsCommand(),
      doctorCommand(),
      faultCommand(),
    ],
  ],
  [
    'This installation:',
    () => [
      engineCommand(),
      endpointCommand(),
      serviceCommand(),
      uninstallCommand(),
      completionCommand(),
    ],
  ],
];

export function buildProgram(output: Output): Command {
  const program = new Command('cinnabar')
    .description('Azure Managed Redis that you run yourself.')
    .option('--home <folder>', 'data folder (default: $CINNABAR_HOME, ~/.local/share/cinnabar)')
    .option('--json', 'machine-readable results and errors')
    .option('-V, --version', 'build, Node and engine')
    .addHelpText(
      'after',
      `
Examples:
  cinnabar up --quickstart      a running cache in a minute
  cinnabar create sessions      another one
  cinnabar connect sessions     a prompt on it
Exit codes: docs/exit-codes.md`,
    );
  for (const [title, commands] of GROUPS) {
    for (const command of commands()) program.addCommand(command.helpGroup(title));
  }
  // With the others: it would have a heading of its own.
  program.commandsGroup(GROUPS.at(-1)?.[0] ?? '');
  program.helpCommand('help [command]', 'the help of a command');
  configure(program, output);
  return program;
}

/** What commander says of a mistake: in a line of its own, what was meant perhaps. */
const MISTAKE = /^(?:error: )?(.*?)(?:\n\((Did you mean [^\n]*\?)\))?\n?$/s;

/** Of an argument that has choices: `command-argument` is no word of the reader's. */
const WRONG_ARGUMENT = /^command-argument value ('.*') is invalid for argument '(\w+)'\./s;

/** What is looked for under a name that it does not have here. */
const MEANT: Readonly<Record<string, string>> = {
  "unknown option '--shards'":
    'How many shards a cache has follows from its SKU: --sku, see: cinnabar sku list.',
  "unknown command 'start'": 'Did you mean up?',
  "unknown command 'stop'": 'Did you mean down?',
  "unknown command 'restart'": 'Did you mean down, then up? One process after the other: maintain.',
  "unknown command 'rm'": 'Did you mean delete?',
  "unknown command 'scale'": 'Did you mean update, with --sku?',
};

function sentence(summary: string): string {
  return summary === '' ? '' : `${summary.charAt(0).toUpperCase()}${summary.slice(1)}.`;
}

/** The same manners for each command: errors in our form, help after a mistake, nothing ignored. */
function configure(command: Command, output: Output): void {
  command
    .exitOverride()
    .allowExcessArguments(false)
    .showSuggestionAfterError(true)
    .configureHelp({
      helpWidth: 80,
      showGlobalOptions: true,
      // Whose summary says all has no description of its own: its help still begins with what it does.
      commandDescription: (of) => of.description() || sentence(of.summary()),
    })
    .configureOutput({
      writeOut: (text) => output.out.write(output.typed(text)),
      outputError: (text) => {
        const [, said = text, hint = ''] = MISTAKE.exec(text) ?? [];
        const message = said.replace(WRONG_ARGUMENT, '$1 is no <$2> of this command.');
        const remedy = `${MEANT[message] ?? hint} See: ${pathOf(command)} --help`.trim();
        output.error(new CliError('usage', 'bad-usage', message, remedy));
      },
    });
  for (const option of command.options) takeAnyCase(option);
  for (const child of command.commands) configure(child, output);
}

/** Azure's API does not mind capitals in names of policies and the like; here neither: `--policy osscluster`. */
function takeAnyCase(option: Option): void {
  const { argChoices: choices, parseArg: strict } = option;
  if (choices === undefined || strict === undefined) return;
  option.argParser((value: string, previous: unknown) => {
    const meant = choices.find((choice) => choice.toLowerCase() === value.toLowerCase());
    return strict(meant ?? value, previous);
  });
}
