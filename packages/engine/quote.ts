/**
 * One value as one token of valkey.conf: blanks separate, double quotes hold together, backslash
 * escapes inside of them.
 */
import { EngineError } from './errors.ts';

const PLAIN = /^[A-Za-z0-9_.:/@%+,*~&|=^<>()[\]{}!?$#-]+$/;
const QUOTE = 34;
const BACKSLASH = 92;

export function quote(value: string): string {
  if (value.includes('\0')) {
    throw new EngineError('bad-setting', 'a value for the engine contains a zero byte');
  }
  if (PLAIN.test(value)) return value;
  let out = '"';
  for (const byte of Buffer.from(value)) {
    if (byte === QUOTE || byte === BACKSLASH) out += `\\${String.fromCharCode(byte)}`;
    else if (byte >= 32 && byte < 127) out += String.fromCharCode(byte);
    else out += `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return `${out}"`;
}
