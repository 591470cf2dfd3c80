/**
 * Splits an inline command ("SET a 'hello world'") as the engine does: blanks between arguments,
 * double quotes with escapes, single quotes with \' only, wherever in an argument. Null: quotes that
 * do not close.
 */
export function splitInline(line: Uint8Array): Buffer[] | null {
  const args: Buffer[] = [];
  let at = 0;
  for (;;) {
    while (at < line.length && isSpace(line[at] ?? 0)) at++;
    if (at >= line.length) return args;
    const out: number[] = [];
    let quote = 0;
    for (;;) {
      const byte = line[at];
      if (quote === DOUBLE) {
        if (byte === undefined) return null;
        if (byte === BACKSLASH && line[at + 1] === LETTER_X && isHexPair(line, at + 2)) {
          out.push(Number.parseInt(String.fromCharCode(line[at + 2] ?? 0, line[at + 3] ?? 0), 16));
          at += 4;
        } else if (byte === BACKSLASH && at + 1 < line.length) {
          out.push(escaped(line[at + 1] ?? 0));
          at += 2;
        } else if (byte === DOUBLE) {
          quote = 0;
          at++;
        } else {
          out.push(byte);
          at++;
        }
      } else if (quote === SINGLE) {
        if (byte === undefined) return null;
        if (byte === BACKSLASH && line[at + 1] === SINGLE) {
          out.push(SINGLE);
          at += 2;
        } else if (byte === SINGLE) {
          quote = 0;
          at++;
        } else {
          out.push(byte);
          at++;
        }
      } else if (byte === undefined || endsArgument(byte)) {
        break;
      } else if (byte === DOUBLE || byte === SINGLE) {
        quote = byte;
        at++;
      } else {
        out.push(byte);
        at++;
      }
    }
    args.push(Buffer.from(out));
    if (line[at] === 0) return args;
  }
}

const DOUBLE = 34;
const SINGLE = 39;
const BACKSLASH = 92;
const LETTER_X = 120;

function isSpace(byte: number): boolean {
  return byte === 32 || (byte >= 9 && byte <= 13);
}

/** Less than what may stand between two of them: not the vertical ones. */
function endsArgument(byte: number): boolean {
  return byte === 32 || byte === 9 || byte === 10 || byte === 13 || byte === 0;
}

function isHexPair(line: Uint8Array, at: number): boolean {
  return isHex(line[at] ?? 0) && isHex(line[at + 1] ?? 0);
}

function isHex(byte: number): boolean {
  return (byte >= 48 && byte <= 57) || (byte >= 65 && byte <= 70) || (byte >= 97 && byte <= 102);
}

function escaped(byte: number): number {
  if (byte === 110) return 10;
  if (byte === 114) return 13;
  if (byte === 116) return 9;
  if (byte === 98) return 8;
  if (byte === 97) return 7;
  return byte;
}
