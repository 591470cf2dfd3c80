/** From a command's bytes to its slot. Cold paths parse again; the hot path knows its argument ranges. */
import { slotOfRange } from '../../resp/index.ts';
import { FULL_BOUNDS, RequestScanner, SCAN_COMMAND } from '../../resp/scan-request.ts';
import {
  type ArgumentRanges,
  type Command,
  decimal,
  isWord,
  keyArguments,
} from '../../resp/table/index.ts';
import { LOCAL_ARGUMENT_BYTES } from './limits.ts';

const scanner = new RequestScanner();

/** Slot of the first key of one whole command; `keyless` when it has none. */
export function slotOfCommand(command: Command, bytes: Buffer, keyless = 0): number {
  if (scanner.scan(bytes, 0, bytes.length, FULL_BOUNDS) !== SCAN_COMMAND) return keyless;
  const slot = firstSlot(command, bytes, scanner);
  return slot < 0 ? keyless : slot;
}

/** A guarded command travels as a script (guarded.ts): its keys stand behind the body and their number. */
export const WRAPPED_KEY = 3;

export function isWrapped(command: Command, bytes: Buffer, args: ArgumentRanges): boolean {
  if (command.fate.kind === 'script') return false;
  const start = args.starts[0] ?? 0;
  const end = args.ends[0] ?? 0;
  return isWord('eval_ro', bytes, start, end) || isWord('eval', bytes, start, end);
}

/** Slot of the first key among these arguments; -1 when there is none. */
export function firstSlot(command: Command, bytes: Buffer, args: ArgumentRanges): number {
  if (command.firstKey > 0) {
    const index = isWrapped(command, bytes, args) ? WRAPPED_KEY : command.firstKey;
    if (index >= args.count) return -1;
    return slotOfRange(bytes, args.starts[index] ?? 0, args.ends[index] ?? 0);
  }
  const [index] = keysOf(command, bytes, args);
  if (index === undefined) return -1;
  return slotOfRange(bytes, args.starts[index] ?? 0, args.ends[index] ?? 0);
}

/** The arguments of one whole command as text. */
export function wordsOf(bytes: Buffer): string[] {
  if (scanner.scan(bytes, 0, bytes.length, FULL_BOUNDS) !== SCAN_COMMAND) return [];
  return argumentsOf(bytes, scanner).map((word) => word.toString('latin1'));
}

/** What a node of a cluster is asked about: the one slot of keys or of a sharded channel; else negative. */
export function nodeSlot(command: Command, bytes: Buffer, args: ArgumentRanges): number {
  const sharded = command.name === 'ssubscribe' || command.name === 'spublish';
  if (!sharded) return onlySlot(command, bytes, args);
  return args.count < 2 ? -1 : slotOfRange(bytes, args.starts[1] ?? 0, args.ends[1] ?? 0);
}

/** Slots of all keys: -1 none, -2 several. */
export function onlySlot(command: Command, bytes: Buffer, args: ArgumentRanges): number {
  let slot = -1;
  for (const index of keysOf(command, bytes, args)) {
    const next = slotOfRange(bytes, args.starts[index] ?? 0, args.ends[index] ?? 0);
    if (slot === -1) slot = next;
    else if (slot !== next) return -2;
  }
  return slot;
}

function keysOf(command: Command, bytes: Buffer, args: ArgumentRanges): number[] {
  if (!isWrapped(command, bytes, args)) return keyArguments(command, bytes, args);
  const count = decimal(bytes, args.starts[2] ?? 0, args.ends[2] ?? 0);
  return Array.from({ length: count }, (_, i) => WRAPPED_KEY + i);
}

/** The text of one argument; of a very long one, which has no meaning here, its beginning. */
export function textOf(bytes: Buffer, args: ArgumentRanges, index: number): string {
  const start = args.starts[index] ?? 0;
  const end = Math.min(args.ends[index] ?? 0, start + LOCAL_ARGUMENT_BYTES);
  return bytes.toString('utf8', start, end);
}

/** A whole number as the engine reads one: no blanks, no plus, no zero before others. Null: it is none. */
export function integerOf(text: string): number | null {
  return /^(0|-?[1-9]\d{0,18})$/.test(text) ? Number(text) : null;
}

/** One argument as bytes, a view. */
export function bytesOf(bytes: Buffer, args: ArgumentRanges, index: number): Buffer {
  return bytes.subarray(args.starts[index] ?? 0, args.ends[index] ?? 0);
}

/** A whole command as its arguments, copied. */
export function argumentsOf(bytes: Buffer, args: ArgumentRanges): Buffer[] {
  const all: Buffer[] = [];
  for (let i = 0; i < args.count; i++) all.push(Buffer.from(bytesOf(bytes, args, i)));
  return all;
}
