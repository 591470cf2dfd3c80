/** What the running engine says about its commands: the reply of COMMAND, as typed records. */
import { type Reply, RespMap, RespSet } from '../types.ts';

export interface KeySpec {
  readonly flags: ReadonlySet<string>;
  readonly begin:
    | { readonly by: 'index'; readonly index: number }
    | { readonly by: 'keyword'; readonly keyword: string; readonly from: number }
    | { readonly by: 'unknown' };
  readonly find:
    | {
        readonly by: 'range';
        readonly last: number;
        readonly step: number;
        readonly limit: number;
      }
    | {
        readonly by: 'keynum';
        readonly countAt: number;
        readonly firstAt: number;
        readonly step: number;
      }
    | { readonly by: 'unknown' };
}

export interface CommandSpec {
  /** Lower case; a subcommand as 'config|get'. */
  readonly name: string;
  /** Name included; negative: at least so many. */
  readonly arity: number;
  readonly flags: ReadonlySet<string>;
  readonly categories: ReadonlySet<string>;
  readonly tips: ReadonlyMap<string, string>;
  readonly keys: readonly KeySpec[];
  readonly subcommands: readonly CommandSpec[];
}

/** Reads the reply of COMMAND (or COMMAND INFO), of either protocol. Entries that are null are left out. */
export function readCommandSpecs(reply: Reply): CommandSpec[] {
  return list(reply).flatMap((entry) => (entry === null ? [] : [readSpec(entry)]));
}

function readSpec(entry: Reply): CommandSpec {
  const fields = list(entry);
  const tips = new Map<string, string>();
  for (const tip of list(fields[7] ?? [])) {
    const [name, value = ''] = text(tip).split(':');
    if (name !== undefined) tips.set(name, value);
  }
  return {
    name: text(fields[0]).toLowerCase(),
    arity: number(fields[1]),
    flags: words(fields[2]),
    categories: words(fields[6]),
    tips,
    keys: list(fields[8] ?? []).map(readKeySpec),
    subcommands: readCommandSpecs(fields[9] ?? []),
  };
}

function readKeySpec(reply: Reply): KeySpec {
  const begin = field(reply, 'begin_search');
  const find = field(reply, 'find_keys');
  const beginSpec = field(begin, 'spec');
  const findSpec = field(find, 'spec');
  const beginBy = text(field(begin, 'type'));
  const findBy = text(field(find, 'type'));
  return {
    flags: words(field(reply, 'flags')),
    begin:
      beginBy === 'index'
        ? { by: 'index', index: number(field(beginSpec, 'index')) }
        : beginBy === 'keyword'
          ? {
              by: 'keyword',
              keyword: text(field(beginSpec, 'keyword')).toLowerCase(),
              from: number(field(beginSpec, 'startfrom')),
            }
          : { by: 'unknown' },
    find:
      findBy === 'range'
        ? {
            by: 'range',
            last: number(field(findSpec, 'lastkey')),
            step: number(field(findSpec, 'keystep')),
            limit: number(field(findSpec, 'limit')),
          }
        : findBy === 'keynum'
          ? {
              by: 'keynum',
              countAt: number(field(findSpec, 'keynumidx')),
              firstAt: number(field(findSpec, 'firstkey')),
              step: number(field(findSpec, 'keystep')),
            }
          : { by: 'unknown' },
  };
}

export function list(reply: Reply | undefined): readonly Reply[] {
  if (Array.isArray(reply)) return reply;
  if (reply instanceof RespSet) return reply.items;
  if (reply === null || reply === undefined) return [];
  throw new TypeError('COMMAND: a list was expected');
}

export function words(reply: Reply | undefined): ReadonlySet<string> {
  return new Set(list(reply).map((word) => text(word).toLowerCase()));
}

/** Of a map, which RESP2 sends as a flat list. */
export function pairs(reply: Reply): readonly (readonly [name: Reply, value: Reply])[] {
  if (reply instanceof RespMap) return reply.entries;
  const items = list(reply);
  return items.flatMap((name, i) => (i % 2 === 0 ? [[name, items[i + 1] ?? null] as const] : []));
}

/** A field of a map, which RESP2 sends as a flat list. */
export function field(reply: Reply | undefined, name: string): Reply | undefined {
  if (reply instanceof RespMap) return reply.get(name);
  const items = list(reply);
  for (let i = 0; i + 1 < items.length; i += 2) if (text(items[i]) === name) return items[i + 1];
  return undefined;
}

export function text(reply: Reply | undefined): string {
  if (typeof reply === 'string') return reply;
  if (Buffer.isBuffer(reply)) return reply.toString();
  if (typeof reply === 'number') return String(reply);
  return '';
}

function number(reply: Reply | undefined): number {
  const value = Number(typeof reply === 'number' ? reply : text(reply));
  return Number.isFinite(value) ? value : 0;
}
