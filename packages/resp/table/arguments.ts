/**
 * What a command's arguments may be, as the engine documents it (COMMAND DOCS), and whether given ones
 * fit.
 *
 * Asked of an *older* engine's documents, about commands that name an option of a newer one: does the
 * older one understand this? Looking for the option's word alone would refuse a value that happens to
 * be the same word (SET key IFEQ), so the arguments are read in earnest: by all ways at once, as sets of
 * positions, because a word can be a value or an option and only the rest tells which.
 *
 * Documents are less strict than they look: what begins with a word of its own may stand in any order
 * among its neighbours, numbers of keys are not counted, and what must not come twice may. So too much
 * fits rather than too little: the engine itself refuses what is wrong.
 */
import type { Reply } from '../types.ts';
import { field, list, pairs, text, words } from './spec.ts';

export interface ArgumentSpec {
  /** As the engine says it: 'key', 'string', 'integer', 'oneof', 'block', 'pure-token', ... */
  readonly type: string;
  /** Upper case; the word that comes before the value, or is the argument. */
  readonly token?: string;
  readonly optional?: true;
  readonly multiple?: true;
  /** Each value has the token before it. */
  readonly multipleToken?: true;
  /** Of a block, one after the other; of a oneof, the choices. */
  readonly arguments?: readonly ArgumentSpec[];
}

/** By full name, e.g. 'config|get'. */
export type ArgumentSpecs = Readonly<Record<string, readonly ArgumentSpec[]>>;

/** Reads the reply of COMMAND DOCS, of either protocol. Commands without arguments are left out. */
export function readArgumentSpecs(reply: Reply): ArgumentSpecs {
  const all: Record<string, readonly ArgumentSpec[]> = {};
  for (const [name, docs] of pairs(reply)) {
    const specs = list(field(docs, 'arguments') ?? []).map(readArgument);
    if (specs.length > 0) all[text(name).toLowerCase()] = specs;
    Object.assign(all, readArgumentSpecs(field(docs, 'subcommands') ?? []));
  }
  return all;
}

function readArgument(reply: Reply): ArgumentSpec {
  const flags = words(field(reply, 'flags') ?? []);
  const token = field(reply, 'token');
  const inner = list(field(reply, 'arguments') ?? []).map(readArgument);
  return {
    type: text(field(reply, 'type')),
    ...(token === undefined ? {} : { token: text(token).toUpperCase() }),
    ...(flags.has('optional') ? { optional: true } : {}),
    ...(flags.has('multiple') ? { multiple: true } : {}),
    ...(flags.has('multiple_token') ? { multipleToken: true } : {}),
    ...(inner.length > 0 ? { arguments: inner } : {}),
  };
}

/** Every word that is an option's name in these. */
export function tokensOf(specs: readonly ArgumentSpec[]): Set<string> {
  const all = new Set<string>();
  for (const spec of specs) {
    if (spec.token !== undefined) all.add(spec.token);
    for (const token of tokensOf(spec.arguments ?? [])) all.add(token);
  }
  return all;
}

/** Whether these words, the command's name not among them, can be read by the specs. */
export function fits(specs: readonly ArgumentSpec[], given: readonly string[]): boolean {
  return sequence(specs, given, new Set([0])).has(given.length);
}

type Places = ReadonlySet<number>;

function sequence(specs: readonly ArgumentSpec[], given: readonly string[], from: Places): Places {
  let at = from;
  for (let i = 0; i < specs.length && at.size > 0; ) {
    const end = endOfFree(specs, i);
    const spec = specs[i];
    if (end > i) at = inAnyOrder(specs.slice(i, end), given, at);
    else if (spec !== undefined) at = one(spec, given, at);
    i = Math.max(end, i + 1);
  }
  return at;
}

/** Neighbours that may come in any order, or not at all. */
function endOfFree(specs: readonly ArgumentSpec[], from: number): number {
  let end = from;
  for (let spec = specs[end]; spec !== undefined && isFree(spec); spec = specs[end]) end++;
  return end;
}

function isFree(spec: ArgumentSpec): boolean {
  return spec.optional === true || beginsWithWord(spec);
}

function beginsWithWord({ type, token, arguments: inner = [] }: ArgumentSpec): boolean {
  if (token !== undefined) return true;
  if (type === 'oneof') return inner.every(beginsWithWord);
  return type === 'block' && inner[0] !== undefined && beginsWithWord(inner[0]);
}

function inAnyOrder(
  specs: readonly ArgumentSpec[],
  given: readonly string[],
  from: Places,
): Places {
  const seen = new Set(from);
  for (let next: Places = from; next.size > 0; ) {
    const found = new Set<number>();
    for (const spec of specs) {
      for (const end of one(spec, given, next)) {
        if (!seen.has(end)) found.add(end);
        seen.add(end);
      }
    }
    next = found;
  }
  return seen;
}

function one(spec: ArgumentSpec, given: readonly string[], from: Places): Places {
  const first = value(spec, given, afterToken(spec, given, from));
  if (spec.multiple !== true) return first;
  const seen = new Set(first);
  for (let next = first; next.size > 0; ) {
    const again = spec.multipleToken === true ? afterToken(spec, given, next) : next;
    const found = new Set([...value(spec, given, again)].filter((end) => !seen.has(end)));
    for (const end of found) seen.add(end);
    next = found;
  }
  return seen;
}

function afterToken({ token }: ArgumentSpec, given: readonly string[], from: Places): Places {
  if (token === undefined) return from;
  // The engine documents an empty word as two quotes.
  const word = token === '""' ? '' : token;
  return new Set([...from].filter((at) => given[at]?.toUpperCase() === word).map((at) => at + 1));
}

function value(spec: ArgumentSpec, given: readonly string[], from: Places): Places {
  const { type, arguments: inner = [] } = spec;
  if (type === 'pure-token') return from;
  if (type === 'block') return sequence(inner, given, from);
  if (type === 'oneof') {
    return new Set(inner.flatMap((choice) => [...one(choice, given, from)]));
  }
  return new Set([...from].filter((at) => isValue(type, given[at])).map((at) => at + 1));
}

function isValue(type: string, word: string | undefined): boolean {
  if (word === undefined) return false;
  if (type === 'integer' || type === 'unix-time') return /^[-+]?\d+$/.test(word);
  if (type === 'double') return /^[-+(]?(\d|\.|inf|nan|0x)/i.test(word);
  return true;
}
