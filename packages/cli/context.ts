/** What every command gets: where things are, how to write, and the API when it is asked for. */
import type { Command } from 'commander';
import { ApiClient } from './api/client.ts';
import { CliError } from './errors.ts';
import type { Folders } from './folders.ts';
import { foldersFrom } from './folders.ts';
import { Output } from './output/output.ts';

export interface Context {
  readonly env: NodeJS.ProcessEnv;
  readonly folders: Folders;
  readonly output: Output;
  api(): ApiClient;
}

/** Global options, merged from wherever on the line they stood. */
export function contextOf(command: Command): Context {
  const options = command.optsWithGlobals<{ home?: string; json?: boolean }>();
  const folders = foldersFrom(process.env, options.home);
  return {
    env: process.env,
    folders,
    output: new Output(process.stdout, process.stderr, process.env, options.json === true),
    api: () => ApiClient.forHome(folders.home),
  };
}

/** Wraps an action: `this` options typed by the command, and the context. */
export function action<A extends unknown[]>(
  run: (context: Context, ...args: A) => Promise<void> | void,
): (...args: unknown[]) => Promise<void> {
  return async (...args: unknown[]) => {
    const command = args.at(-1) as Command;
    try {
      await run(contextOf(command), ...(args.slice(0, -1) as A));
    } catch (error) {
      throw error instanceof CliError ? withHelp(error, command) : error;
    }
  };
}

/** What it could have been told instead is in its help. */
function withHelp(error: CliError, command: Command): CliError {
  if (error.remedy !== '' || (error.exit !== 'usage' && error.exit !== 'refused')) return error;
  return new CliError(error.exit, error.code, error.message, `See: ${pathOf(command)} --help`);
}

/** As it is typed: `cinnabar sku list`. */
export function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}
