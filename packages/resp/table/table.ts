/**
 * The command table: name to fate, fast.
 *
 * A lookup happens for every command of every client, so it works on the bytes as they came: a hash
 * over the lower-cased name, open addressing, one comparison. Commands get small numbers (`id`), so
 * that counters are arrays. The table is built from what the running engine says about itself and
 * from our overrides; what is in neither is `refused` by name.
 */
import type { Fate } from './fate.ts';
import { OVERRIDES } from './overrides.ts';
import type { CommandSpec, KeySpec } from './spec.ts';

export interface Command {
  /** Position in the table; dense from 0. */
  readonly id: number;
  readonly name: string;
  readonly arity: number;
  readonly fate: Fate;
  readonly write: boolean;
  readonly readonly: boolean;
  /** Administers: MONITOR does not show it. */
  readonly admin: boolean;
  readonly fast: boolean;
  /** May be queued in a MULTI (the engine's `no_multi` says not). */
  readonly noMulti: boolean;
  readonly keys: readonly KeySpec[];
  /** Argument index of the first key where that never depends on the arguments; else 0. */
  readonly firstKey: number;
  /**
   * True: forwarded to the shard of `firstKey` with nothing to decide. The hot path. Not while it is
   * withheld from it (`CommandTable.withhold`).
   */
  readonly plain: boolean;
  readonly subcommands: NameIndex | null;
  readonly why: string;
}

export class CommandTable {
  readonly commands: readonly Command[];
  readonly #names: NameIndex;

  constructor(specs: readonly CommandSpec[]) {
    const commands: Command[] = [];
    const add = (spec: CommandSpec): Command => {
      const children = spec.subcommands.map(add);
      const command = makeCommand(spec, commands.length, children);
      commands.push(command);
      return command;
    };
    const roots = specs.map(add);
    this.commands = commands.sort((a, b) => a.id - b.id);
    this.#names = new NameIndex(roots.map((command) => [command.name, command]));
  }

  /** The command named by these bytes, containers not resolved. */
  find(bytes: Uint8Array, start: number, end: number): Command | null {
    return this.#names.find(bytes, start, end);
  }

  /**
   * These commands are looked at one by one from now on, all others are not: so that a rule for one
   * command costs the others nothing.
   */
  withhold(names: ReadonlySet<string>): void {
    for (const command of this.commands as readonly {
      -readonly [K in keyof Command]: Command[K];
    }[]) {
      command.plain = isPlain(command) && !names.has(command.name);
    }
  }

  /** By full name, e.g. 'config|get'. */
  named(name: string): Command | null {
    return this.commands.find((command) => command.name === name) ?? null;
  }
}

/** From lower-cased names to commands, looked up by bytes of any case. */
export class NameIndex {
  readonly #slots: (Command | null)[];
  readonly #keys: (Uint8Array | null)[];
  readonly #mask: number;

  constructor(entries: readonly (readonly [name: string, command: Command])[]) {
    let size = 64;
    while (size < entries.length * 4) size *= 2;
    this.#mask = size - 1;
    this.#slots = new Array<Command | null>(size).fill(null);
    this.#keys = new Array<Uint8Array | null>(size).fill(null);
    for (const [name, command] of entries) {
      const key = Buffer.from(name.slice(name.indexOf('|') + 1));
      let at = hashOf(key, 0, key.length) & this.#mask;
      while (this.#keys[at] !== null) at = (at + 1) & this.#mask;
      this.#keys[at] = key;
      this.#slots[at] = command;
    }
  }

  find(bytes: Uint8Array, start: number, end: number): Command | null {
    let at = hashOf(bytes, start, end) & this.#mask;
    for (;;) {
      const key = this.#keys[at];
      if (key === null || key === undefined) return null;
      if (key.length === end - start && same(key, bytes, start)) return this.#slots[at] ?? null;
      at = (at + 1) & this.#mask;
    }
  }
}

function hashOf(bytes: Uint8Array, start: number, end: number): number {
  let hash = end - start;
  for (let i = start; i < end; i++) hash = (Math.imul(hash, 31) + ((bytes[i] ?? 0) | 32)) | 0;
  return hash ^ (hash >>> 15);
}

function same(lower: Uint8Array, bytes: Uint8Array, start: number): boolean {
  for (let i = 0; i < lower.length; i++) {
    const byte = bytes[start + i] ?? 0;
    const folded = byte >= 65 && byte <= 90 ? byte + 32 : byte;
    if (folded !== lower[i]) return false;
  }
  return true;
}

function makeCommand(spec: CommandSpec, id: number, children: readonly Command[]): Command {
  const [fate, why] = fateOf(spec, children);
  const begin = spec.keys[0]?.begin;
  const find = spec.keys[0]?.find;
  const firstKey = begin?.by === 'index' && find?.by === 'range' ? begin.index : 0;
  return {
    id,
    name: spec.name,
    arity: spec.arity,
    fate,
    write: spec.flags.has('write'),
    readonly: spec.flags.has('readonly'),
    admin: spec.flags.has('admin'),
    fast: spec.flags.has('fast') || spec.categories.has('@fast'),
    noMulti: spec.flags.has('no_multi'),
    keys: spec.keys,
    firstKey,
    plain: isPlain({ fate, firstKey }),
    subcommands:
      children.length === 0 ? null : new NameIndex(children.map((child) => [child.name, child])),
    why,
  };
}

function isPlain({ fate, firstKey }: Pick<Command, 'fate' | 'firstKey'>): boolean {
  return fate.kind === 'keyed' && firstKey > 0;
}

function fateOf(spec: CommandSpec, children: readonly Command[]): [fate: Fate, why: string] {
  const override = OVERRIDES.get(spec.name);
  if (override !== undefined) return [override.fate, override.why];
  if (children.length > 0) return [{ kind: 'refused', text: 'subcommand' }, 'names a subcommand'];
  if (spec.keys.length > 0) return [{ kind: 'keyed' }, 'its key specs'];
  return [{ kind: 'refused', text: 'unknown' }, UNKNOWN];
}

/** A command of an engine newer than the overrides. */
export const UNKNOWN = 'no keys and no override: not known to this version';
