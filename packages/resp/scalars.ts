/** Lengths, numbers and booleans of a reply, from bytes; what is malformed is a RespProtocolError. */
import { RespProtocolError } from './types.ts';

export function fault(code: string, message: string): RespProtocolError {
  return new RespProtocolError(code, message);
}

/** A length: decimal digits, or -1 where RESP2 says null so. */
export function count(bytes: Buffer, from: number, to: number, nullable: boolean): number {
  if (nullable && to - from === 2 && bytes[from] === 45 && bytes[from + 1] === 49) return -1;
  if (to === from || to - from > 15) throw fault('bad-length', 'a length that is not a number');
  let value = 0;
  for (let i = from; i < to; i++) {
    const digit = (bytes[i] ?? 0) - 48;
    if (digit < 0 || digit > 9) throw fault('bad-length', 'a length that is not a number');
    value = value * 10 + digit;
  }
  return value;
}

/** 64-bit integers: a number while it is exact, a bigint beyond. */
export function integer(bytes: Buffer, from: number, to: number): number | bigint {
  let at = from;
  const negative = bytes[at] === 45;
  if (negative || bytes[at] === 43) at++;
  if (at === to || to - at > 19) throw fault('bad-integer', 'an integer that is not a number');
  if (to - at > 15) {
    const value = bigNumber(bytes.toString('latin1', bytes[from] === 43 ? at : from, to));
    const small = Number(value);
    return Number.isSafeInteger(small) ? small : value;
  }
  let value = 0;
  for (; at < to; at++) {
    const digit = (bytes[at] ?? 0) - 48;
    if (digit < 0 || digit > 9) throw fault('bad-integer', 'an integer that is not a number');
    value = value * 10 + digit;
  }
  return negative && value !== 0 ? -value : value;
}

export function boolean(bytes: Buffer, from: number, to: number): boolean {
  const letter = to - from === 1 ? bytes[from] : 0;
  if (letter === 116) return true;
  if (letter === 102) return false;
  throw fault('bad-boolean', 'a boolean that is neither t nor f');
}

export function double(text: string): number {
  if (/^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/.test(text)) return Number(text);
  switch (text.toLowerCase()) {
    case 'inf':
    case '+inf':
      return Number.POSITIVE_INFINITY;
    case '-inf':
      return Number.NEGATIVE_INFINITY;
    case 'nan':
    case '-nan':
      return Number.NaN;
    default:
      throw fault('bad-double', 'a double that is not a number');
  }
}

/** Digits are converted in quadratic time, so the length is bounded well below a line's. */
const MAX_BIG_DIGITS = 4096;

export function bigNumber(text: string): bigint {
  if (text.length > MAX_BIG_DIGITS || !/^[+-]?\d+$/.test(text)) {
    throw fault('bad-big-number', 'a big number that is not a number');
  }
  return BigInt(text.startsWith('+') ? text.slice(1) : text);
}
