/**
 * What an engine can do, read from the engine itself: the names of its settings and commands.
 * Version strings lie (builds without TLS, distributions with patches, renamed settings); a name
 * that `CONFIG GET *` answers can be written into a configuration file.
 */
import { type Reply, RespError } from '../resp/index.ts';

export interface EngineCapabilities {
  readonly name: 'valkey' | 'redis';
  readonly version: string;
  readonly settings: ReadonlySet<string>;
  /** Lower case; subcommands as 'config|get'. */
  readonly commands: ReadonlySet<string>;
  /** ACL categories without the '@'. */
  readonly categories: ReadonlySet<string>;
}

/** As kept in a file. */
export interface StoredCapabilities {
  readonly name: 'valkey' | 'redis';
  readonly version: string;
  readonly settings: readonly string[];
  readonly commands: readonly string[];
  readonly categories: readonly string[];
}

export function fromStored(stored: StoredCapabilities): EngineCapabilities {
  return {
    name: stored.name,
    version: stored.version,
    settings: new Set(stored.settings),
    commands: new Set(stored.commands),
    categories: new Set(stored.categories),
  };
}

/** The commands that `fromReplies` needs, in its order. */
export const CAPABILITY_COMMANDS = [
  ['INFO', 'server'],
  ['CONFIG', 'GET', '*'],
  ['COMMAND'],
  ['ACL', 'CAT'],
] as const;

export function fromReplies(replies: readonly Reply[]): StoredCapabilities {
  const [info, settings, commands, categories] = replies;
  return {
    ...productOf(text(info)),
    settings: everySecond(list(settings)).map(text).sort(),
    commands: list(commands).flatMap(commandNames).sort(),
    categories: list(categories).map(text).sort(),
  };
}

/** Name and version from INFO's server section. Valkey also names a Redis version that it resembles. */
export function productOf(info: string): { name: 'valkey' | 'redis'; version: string } {
  const valkey = /^valkey_version:(\S+)/m.exec(info)?.[1];
  if (valkey !== undefined) return { name: 'valkey', version: valkey };
  return { name: 'redis', version: /^redis_version:(\S+)/m.exec(info)?.[1] ?? 'unknown' };
}

/**
 * ACL rules without the names this engine does not know: one unknown name fails the whole user.
 * Dropping is safe in both directions, since a command that does not exist can be neither used nor
 * misused.
 */
export function knownRules(
  rules: readonly string[],
  capabilities: Pick<EngineCapabilities, 'commands' | 'categories'>,
): string[] {
  return rules.filter((rule) => {
    const match = /^[+-](@?)(.+)$/.exec(rule);
    if (match === null) return true;
    const name = (match[2] ?? '').toLowerCase();
    if (match[1] === '@') return name === 'all' || capabilities.categories.has(name);
    if (capabilities.commands.has(name)) return true;
    // `+select|0`: a first argument of a command without subcommands. Whether the engine takes it is its own to say.
    const container = name.split('|')[0] ?? '';
    const prefix = `${container}|`;
    if (!name.includes('|') || !capabilities.commands.has(container)) return false;
    for (const command of capabilities.commands) if (command.startsWith(prefix)) return false;
    return true;
  });
}

/** Compares 'a.b.c' versions by number; what is not a number counts as 0. */
export function versionAtLeast(version: string, major: number, minor = 0): boolean {
  const [a = 0, b = 0] = version.split('.').map((part) => Number.parseInt(part, 10) || 0);
  return a > major || (a === major && b >= minor);
}

function commandNames(entry: Reply): string[] {
  const fields = list(entry);
  const name = text(fields[0]).toLowerCase();
  // Field 10 of a COMMAND entry holds the subcommands, each in the same form.
  return [name, ...list(fields[9]).flatMap(commandNames)];
}

function text(reply: Reply | undefined): string {
  if (reply instanceof RespError) throw new Error(`the engine refuses to tell: ${reply.message}`);
  return reply === undefined || reply === null ? '' : String(reply);
}

function list(reply: Reply | undefined): readonly Reply[] {
  if (reply instanceof RespError) throw new Error(`the engine refuses to tell: ${reply.message}`);
  return Array.isArray(reply) ? reply : [];
}

function everySecond(items: readonly Reply[]): Reply[] {
  return items.filter((_, index) => index % 2 === 0);
}
