/**
 * Keys of a command, its size, and the argument that makes XREAD a blocking one. Arguments are those
 * after the command's name. No command is refused here: odd arguments give no keys, and the server
 * says what is wrong with them.
 */
import { type CommandFacts, factsOf, type Place } from './table.ts';

export type Argument = string | Buffer | number | object;

/** Keys as strings that identify them: text as it is, bytes as latin1 behind a NUL. */
export function keyText(key: unknown): string {
  if (typeof key === 'string') return key;
  if (key instanceof Uint8Array) {
    const buffer = Buffer.from(key.buffer, key.byteOffset, key.byteLength);
    const text = buffer.toString('utf8');
    // Bytes that are valid text must be the same key as that text.
    return text.includes('\uFFFD') ? `\0${buffer.toString('latin1')}` : text;
  }
  return String(key);
}

/** Every key of a command. `from` is where the arguments begin in `args` (1 when the name is args[0]). */
export function keysOf(facts: CommandFacts, args: readonly unknown[], from: number): string[] {
  const count = args.length - from;
  if (count <= 0) return [];
  switch (facts.keys) {
    case 'none':
      return [];
    case 'one':
      return [keyText(args[from])];
    case 'second':
      return count > 1 ? [keyText(args[from + 1])] : [];
    case 'two':
      return take(args, from, Math.min(2, count), 1);
    case 'all':
      return take(args, from, count, 1);
    case 'allButLast':
      return take(args, from, count - 1, 1);
    case 'pairs':
      return take(args, from, Math.ceil(count / 2), 2);
    case 'afterFirst':
      return take(args, from + 1, count - 1, 1);
    case 'numkeys0':
      return counted(args, from);
    case 'numkeys1':
      return counted(args, from + 1);
    case 'storeNumkeys':
      return [keyText(args[from]), ...counted(args, from + 1)];
    case 'numpairs': {
      const pairs = Number(args[from]);
      return Number.isInteger(pairs) && pairs > 0 ? take(args, from + 1, pairs, 2) : [];
    }
    case 'store': {
      const at = Math.max(wordAt(args, from, 'STORE'), wordAt(args, from, 'STOREDIST'));
      return take(args, from, at > from && at + 1 < args.length ? 2 : 1, at + 1 - from);
    }
    case 'streams': {
      const at = wordAt(args, from, 'STREAMS');
      if (at < 0) return [];
      return take(args, at + 1, (args.length - at - 1) >> 1, 1);
    }
  }
}

/** The first key only: what routing needs for nearly every command. */
export function firstKey(facts: CommandFacts, args: readonly unknown[], from: number): unknown {
  if (
    facts.keys === 'one' ||
    facts.keys === 'all' ||
    facts.keys === 'two' ||
    facts.keys === 'store'
  )
    return args[from];
  if (facts.keys === 'none') return undefined;
  return keysOf(facts, args, from)[0];
}

/** Where this very command belongs: XREAD only blocks with BLOCK, CLIENT has two kinds of children. */
export function placeOf(
  name: string,
  facts: CommandFacts,
  args: readonly unknown[],
  from: number,
): Place {
  if (name === 'xread' || name === 'xreadgroup') {
    return wordAt(args, from, 'BLOCK') >= 0 ? 'blocking' : 'data';
  }
  if (name === 'client') {
    const sub = String(args[from] ?? '').toLowerCase();
    // What the server then sends, or leaves out, would be another caller's reply.
    if (sub === 'reply' || sub === 'tracking' || sub === 'caching') return 'refused';
    return sub === 'setname' || sub === 'setinfo' || sub === 'no-evict' || sub === 'no-touch'
      ? 'everywhere'
      : 'free';
  }
  return facts.place;
}

/** The server's own waiting time of a blocking command in ms; Infinity: it waits for ever. */
export function blockingMs(name: string, args: readonly unknown[], from: number): number {
  if (name === 'xread' || name === 'xreadgroup') {
    const at = wordAt(args, from, 'BLOCK');
    return at < 0 ? 0 : zeroIsForever(Number(args[at + 1]));
  }
  if (name === 'wait' || name === 'waitaof') return zeroIsForever(Number(args[args.length - 1]));
  const first = name === 'blmpop' || name === 'bzmpop';
  return zeroIsForever(Number(args[first ? from : args.length - 1]) * 1000);
}

function zeroIsForever(ms: number): number {
  return ms > 0 ? ms : Number.POSITIVE_INFINITY;
}

/** Bytes of a request on the wire; text counts as Latin-1, which UTF-8 may exceed. */
export function requestBytes(name: string, args: readonly unknown[], from: number): number {
  let bytes = 3 + digits(args.length - from + 1) + framed(name.length);
  for (let i = from; i < args.length; i += 1) bytes += framed(lengthOf(args[i]));
  return bytes;
}

/** `$`, the length, a line end, the bytes, a line end. */
function framed(length: number): number {
  return 5 + digits(length) + length;
}

function lengthOf(arg: unknown): number {
  if (typeof arg === 'string' || arg instanceof Uint8Array) return arg.length;
  return typeof arg === 'number' ? String(arg).length : OTHER_BYTES;
}

/** Of what is neither text, bytes nor a number: its library says what it becomes. */
const OTHER_BYTES = 16;

function digits(n: number): number {
  let count = 1;
  for (let bound = 10; n >= bound; bound *= 10) count += 1;
  return count;
}

function take(args: readonly unknown[], from: number, count: number, step: number): string[] {
  const keys: string[] = [];
  for (let i = 0; i < count; i += 1) {
    const at = from + i * step;
    if (at < args.length) keys.push(keyText(args[at]));
  }
  return keys;
}

function counted(args: readonly unknown[], at: number): string[] {
  const count = Number(args[at]);
  return Number.isInteger(count) && count > 0 ? take(args, at + 1, count, 1) : [];
}

function wordAt(args: readonly unknown[], from: number, word: string): number {
  for (let i = from; i < args.length; i += 1) {
    const arg = args[i];
    if (typeof arg === 'string' && arg.length === word.length && arg.toUpperCase() === word)
      return i;
  }
  return -1;
}

export { factsOf };
