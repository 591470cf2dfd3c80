/** What goes out on a node-redis connection: commands as RESP, and what a piece of the library's own is. */
import { factsOf, firstKey, keyText } from '../commands/keys.ts';
import { BATCH_BYTES_MAX } from '../limits.ts';
import { notOurs, type Sent } from '../wire/wire.ts';

/** RESP of a command: text as one string, else its parts; an Error for what is no argument. */
export function encode(args: readonly unknown[]): string | Error | (string | Buffer)[] {
  // The server answers nothing to it: every later reply would go to the one before.
  if (args.length === 0) return new TypeError('A command has at least a name.');
  let text = `*${args.length}\r\n`;
  let parts: (string | Buffer)[] | undefined;
  for (let i = 0; i < args.length; i += 1) {
    const arg = args[i];
    if (typeof arg === 'string') text += `$${Buffer.byteLength(arg)}\r\n${arg}\r\n`;
    else if (arg instanceof Buffer) {
      parts ??= [];
      parts.push(`${text}$${arg.length}\r\n`, arg);
      text = '\r\n';
    } else {
      return new TypeError(
        `"arguments[${i}]" must be of type "string | Buffer", got ${typeof arg} instead.`,
      );
    }
  }
  if (parts === undefined) return text;
  parts.push(text);
  return parts;
}

/** RESP of several commands in one piece, of parts where there are bytes among them or it is long. */
export function encodeAll(
  commands: readonly { readonly args: readonly unknown[] }[],
): string | Error | (string | Buffer)[] {
  const pieces: (string | Buffer)[] = [];
  let text = '';
  for (const { args } of commands) {
    const encoded = encode(args);
    if (encoded instanceof Error) return encoded;
    for (const part of typeof encoded === 'string' ? [encoded] : encoded) {
      if (typeof part === 'string' && text.length < BATCH_BYTES_MAX) text += part;
      else {
        pieces.push(text);
        text = '';
        if (typeof part === 'string') text = part;
        else pieces.push(part);
      }
    }
  }
  if (pieces.length === 0) return text;
  pieces.push(text);
  return pieces;
}

/** Commands of the library itself: told from the encoded text, `*2\r\n$3\r\nGET\r\n$1\r\nk\r\n`. */
export function anonymous(encoded: readonly (string | Buffer)[]): Sent {
  let bytes = 0;
  for (const part of encoded) bytes += part.length;
  const first = encoded[0];
  const parts = typeof first === 'string' ? first.slice(0, 200).split('\r\n') : [];
  const facts = factsOf(parts[2] ?? '?');
  const key = firstKey(facts, parts.slice(4, 5), 0);
  return notOurs(facts.name, key === undefined ? undefined : keyText(key), bytes);
}
