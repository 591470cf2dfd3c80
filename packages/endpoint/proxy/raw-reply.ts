/** Replies as bytes: taken apart and put together without making values. */
import { ReplyScanner } from '../../resp/scan-reply.ts';

/** The elements of an array, set or push, as views. A map gives keys and values in turn. */
export function splitArray(reply: Buffer): Buffer[] {
  const header = reply.indexOf(10) + 1;
  const items: Buffer[] = [];
  const scanner = new ReplyScanner();
  for (let at = header; at > 0 && at < reply.length; ) {
    const next = scanner.scan(reply, at, reply.length);
    if (!scanner.done || next <= at) break;
    items.push(reply.subarray(at, next));
    at = next;
  }
  return items;
}

/** Behind the reply (or push) that begins at `at`, or 0 when it is not all here. */
export function endOfReply(bytes: Buffer, at: number, end: number): number {
  const scanner = new ReplyScanner();
  const next = scanner.scan(bytes, at, end);
  return scanner.done ? next : 0;
}

/** The payload of a bulk or verbatim string; the text of a status; '' for null. */
export function payload(reply: Buffer): Buffer {
  const line = reply.indexOf(10) + 1;
  const kind = reply[0];
  if (kind === 36) return reply[1] === 45 ? EMPTY : reply.subarray(line, reply.length - 2);
  if (kind === 61) return reply.subarray(line + 4, reply.length - 2);
  return reply.subarray(1, reply.length - 2);
}

export function integer(reply: Buffer): number {
  return Number(reply.toString('latin1', 1, reply.length - 2));
}

export function bulk(value: string | Uint8Array): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value;
  return Buffer.concat([Buffer.from(`$${bytes.length}\r\n`), bytes, CRLF]);
}

export function array(items: readonly Buffer[], kind = '*'): Buffer {
  return Buffer.concat([Buffer.from(`${kind}${items.length}\r\n`), ...items]);
}

export function nullReply(protocol: 2 | 3): Buffer {
  return protocol === 3 ? NULL3 : NULL2;
}

const EMPTY = Buffer.alloc(0);
const CRLF = Buffer.from('\r\n');
const NULL2 = Buffer.from('$-1\r\n');
const NULL3 = Buffer.from('_\r\n');
