/**
 * A command as bytes: one allocation, whatever the number of arguments. Lengths are measured
 * first, then everything is written in place.
 */
export type Argument = string | Uint8Array | number | bigint;

const CR = 13;
const LF = 10;

export function encodeCommand(args: readonly Argument[]): Buffer {
  return encodeCommands([args]);
}

/** Several commands in one buffer, to be written at once. */
export function encodeCommands(commands: readonly (readonly Argument[])[]): Buffer {
  const texts: (string | Uint8Array)[] = [];
  const lengths: number[] = [];
  let total = 0;
  for (const args of commands) {
    if (args.length === 0) throw new TypeError('a command needs at least its name');
    total += headerBytes(args.length);
    for (const argument of args) {
      const text = typeof argument === 'object' ? argument : String(argument);
      const length = typeof text === 'string' ? Buffer.byteLength(text) : text.byteLength;
      texts.push(text);
      lengths.push(length);
      total += headerBytes(length) + length + 2;
    }
  }

  const out = Buffer.allocUnsafe(total);
  let at = 0;
  let next = 0;
  for (const args of commands) {
    at = writeHeader(out, at, 42, args.length);
    for (let i = 0; i < args.length; i++, next++) {
      const text = texts[next] ?? '';
      const length = lengths[next] ?? 0;
      at = writeHeader(out, at, 36, length);
      if (typeof text === 'string') out.write(text, at, length, 'utf8');
      else out.set(text, at);
      at += length;
      out[at++] = CR;
      out[at++] = LF;
    }
  }
  return out;
}

function headerBytes(value: number): number {
  return 3 + digits(value);
}

function digits(value: number): number {
  let count = 1;
  for (let rest = value; rest >= 10; rest = Math.floor(rest / 10)) count++;
  return count;
}

function writeHeader(out: Buffer, start: number, kind: number, value: number): number {
  const count = digits(value);
  out[start] = kind;
  let rest = value;
  for (let i = start + count; i > start; i--) {
    out[i] = 48 + (rest % 10);
    rest = Math.floor(rest / 10);
  }
  const at = start + count + 1;
  out[at] = CR;
  out[at + 1] = LF;
  return at + 2;
}
