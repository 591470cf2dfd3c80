/**
 * What can be answered before any engine was asked for its commands: a client that connects while
 * its shard is still starting can log in, say who it is, and leave. Everything else waits.
 */
import { type CommandSpec, CommandTable } from '../../resp/table/index.ts';

const ARITIES: readonly (readonly [name: string, arity: number])[] = [
  ['auth', -2],
  ['echo', 2],
  ['ping', -1],
  ['quit', -1],
  ['reset', 1],
];

export const EARLY_TABLE = new CommandTable(
  ARITIES.map(
    ([name, arity]): CommandSpec => ({
      name,
      arity,
      flags: new Set(),
      categories: new Set(),
      tips: new Map(),
      keys: [],
      subcommands: [],
    }),
  ),
);
