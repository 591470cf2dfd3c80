/** The command table: what the engine says, our overrides, and what follows for a router. */
export { AZURE_SETTINGS, readSettings } from './azure-config.ts';
export { EXPENSIVE, EXPENSIVE_NAMES, type Expensive } from './expensive.ts';
export type { Fate, Merge, Override } from './fate.ts';
export { type ArgumentRanges, decimal, isWord, keyArguments } from './keys.ts';
export { AZURE_BLOCKED, OVERRIDES } from './overrides.ts';
export { type CommandSpec, type KeySpec, readCommandSpecs } from './spec.ts';
export { type Command, CommandTable, NameIndex, UNKNOWN } from './table.ts';
