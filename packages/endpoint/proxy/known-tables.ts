/**
 * What engines say of their commands, kept by engine for all databases of this worker. To read it
 * takes 12 to 50 ms of the one thread that serves everybody: a cache that is made would stop the
 * clients of all others for that long, on every core, whatever they wait for.
 */
import type { Reply } from '../../resp/index.ts';
import { type CommandSpec, CommandTable, readCommandSpecs } from '../../resp/table/index.ts';

const known = new Map<string, readonly CommandSpec[]>();
/** Versions of engines that run beside each other on one machine are few. */
const MOST_KNOWN = 16;

/** A table of its own for each caller: what is withheld from the short way is a database's affair. */
export function knownTable(engines: readonly string[]): CommandTable | null {
  const specs = known.get(only(engines));
  return specs === undefined ? null : new CommandTable(specs);
}

/** The reply of COMMAND by an engine of a database that runs these. */
export function tableFrom(engines: readonly string[], reply: Reply): CommandTable {
  const specs = readCommandSpecs(reply);
  // Of two versions nobody knows which one has answered.
  if (only(engines) !== '' && known.size < MOST_KNOWN) known.set(only(engines), specs);
  return new CommandTable(specs);
}

function only(engines: readonly string[]): string {
  return engines.length === 1 ? (engines[0] ?? '') : '';
}
