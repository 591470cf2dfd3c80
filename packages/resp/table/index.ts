/** The command table: what the engine says, our overrides, and what follows for a router. */
export { type ArgumentSpec, type ArgumentSpecs, readArgumentSpecs } from './arguments.ts';
export { AZURE_SETTINGS, readSettings } from './azure-config.ts';
export { EXPENSIVE, EXPENSIVE_NAMES, type Expensive } from './expensive.ts';
export type { Fate, Merge, Override } from './fate.ts';
export { type ArgumentRanges, decimal, isWord, keyArguments } from './keys.ts';
export { type NewerOptions, newerOption, newerOptions } from './newer.ts';
export { AZURE_BLOCKED, OVERRIDES } from './overrides.ts';
export { type CommandSpec, type KeySpec, readCommandSpecs } from './spec.ts';
export { type Command, CommandTable, NameIndex, UNKNOWN } from './table.ts';
