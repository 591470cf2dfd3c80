/** One command: reads the line, runs one command, says how it ended by the exit code. */
import { CommanderError } from 'commander';
import { versionText } from './commands/version.ts';
import { CliError } from './errors.ts';
import { EXIT } from './exit-codes.ts';
import { Output } from './output/output.ts';
import { buildProgram } from './program.ts';

export async function main(argv: readonly string[]): Promise<void> {
  // A reader that went away (`cinnabar list | head -1`) is no error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    process.exit(error.code === 'EPIPE' ? EXIT.ok : EXIT.failed);
  });
  const json = argv.includes('--json');
  const output = new Output(process.stdout, process.stderr, process.env, json);
  try {
    if (argv[0] === '--version' || argv[0] === '-V') {
      output.line(await versionText());
      return;
    }
    await buildProgram(output).parseAsync(helpOfAll(argv), { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? EXIT.ok : EXIT.usage;
      return;
    }
    const known = error instanceof CliError ? error : output.unexpected(error);
    output.error(known);
    process.exitCode = EXIT[known.exit];
  }
}

/** `help keys list` is `keys list --help`; commander looks at the first word alone, and would show the help of `keys`. */
function helpOfAll(argv: readonly string[]): string[] {
  const [first, ...words] = argv;
  return first === 'help' && words.length > 1 ? [...words, '--help'] : [...argv];
}
