/** One whole reply from bytes to a value. Bulks stay bytes: data sets hold binary. */
import { ProtocolError, TYPE } from './reply-scanner.ts';

export type Reply = null | boolean | number | bigint | string | Buffer | Error | Reply[];

/** An error that the server answered, with its first word as code. */
export class ServerError extends Error {
  override readonly name = 'ServerError';
  readonly code: string;

  constructor(line: string) {
    super(line);
    this.code = line.split(' ', 1)[0] ?? 'ERR';
  }
}

/** Maps become flat arrays of keys and values, attributes are dropped. */
export function decodeReply(bytes: Buffer): Reply {
  const cursor = { at: 0 };
  const value = read(bytes, cursor);
  if (cursor.at !== bytes.length) throw new ProtocolError('bytes after the end of a reply');
  return value;
}

function read(bytes: Buffer, cursor: { at: number }): Reply {
  const type = bytes[cursor.at] ?? 0;
  const lf = bytes.indexOf(10, cursor.at);
  if (lf < 0) throw new ProtocolError('a reply that ends inside a line');
  const line = bytes.toString('latin1', cursor.at + 1, lf - 1);
  cursor.at = lf + 1;
  switch (type) {
    case TYPE.simple:
      return line;
    case TYPE.error:
      return new ServerError(line);
    case TYPE.integer:
    case TYPE.double:
      return line === 'inf' ? Infinity : line === '-inf' ? -Infinity : Number(line);
    case TYPE.bigNumber:
      return BigInt(line);
    case TYPE.bool:
      return line === 't';
    case TYPE.null:
      return null;
    case TYPE.bulk:
    case TYPE.bulkError:
    case TYPE.verbatim: {
      const size = Number(line);
      if (size < 0) return null;
      const body = bytes.subarray(cursor.at, cursor.at + size);
      cursor.at += size + 2;
      return type === TYPE.bulkError ? new ServerError(body.toString('latin1')) : body;
    }
    case TYPE.attribute:
      for (let i = 0; i < Number(line) * 2; i += 1) read(bytes, cursor);
      return read(bytes, cursor);
    default: {
      if (Number(line) < 0) return null;
      const items: Reply[] = [];
      const size = Number(line) * (type === TYPE.map ? 2 : 1);
      for (let i = 0; i < size; i += 1) items.push(read(bytes, cursor));
      return items;
    }
  }
}
