/**
 * Finds where replies end in a stream of RESP2 or RESP3 bytes, however it is cut, without building
 * values: a load generator must not spend its time on what it throws away. Of each top-level reply
 * it keeps the type and the first bytes, enough for an error line or a version number.
 *
 * It is the judge's own scanner on purpose: a mistake shared with the product's parser would hide.
 */
import {
  MAX_REPLY_BYTES,
  MAX_REPLY_DEPTH,
  MAX_REPLY_LINE_BYTES,
  REPLY_HEAD_BYTES,
} from '../limits.ts';

const CR = 13;
const LF = 10;
export const TYPE = {
  simple: 0x2b,
  error: 0x2d,
  integer: 0x3a,
  bulk: 0x24,
  array: 0x2a,
  null: 0x5f,
  bool: 0x23,
  double: 0x2c,
  bigNumber: 0x28,
  bulkError: 0x21,
  verbatim: 0x3d,
  map: 0x25,
  set: 0x7e,
  push: 0x3e,
  attribute: 0x7c,
} as const;

export class ProtocolError extends Error {
  override readonly name = 'ProtocolError';
  readonly code = 'reply-malformed';
}

export class ReplyScanner {
  /** Type byte of the reply just ended. */
  type = 0;
  isNull = false;
  private readonly head = Buffer.allocUnsafe(REPLY_HEAD_BYTES);
  private headLength = 0;
  private headWanted = 0;
  private bulkLeft = 0;
  private depth = 0;
  private readonly left = new Float64Array(MAX_REPLY_DEPTH);
  private readonly isAttribute = new Uint8Array(MAX_REPLY_DEPTH);
  private carry: Buffer = Buffer.alloc(0);
  private readonly onReply: (end: number) => void;

  /** `onReply(end)`: a top-level reply (or push) ended just before byte `end` of the chunk fed. */
  constructor(onReply: (end: number) => void) {
    this.onReply = onReply;
  }

  /** The first bytes of the reply: a line without its type, or the beginning of a bulk. */
  headText(): string {
    return this.head.toString('latin1', 0, this.headLength);
  }

  headInteger(): number {
    let value = 0;
    let i = this.head[0] === 0x2d ? 1 : 0;
    for (; i < this.headLength; i += 1) {
      const digit = (this.head[i] ?? 0) - 48;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
    }
    return this.head[0] === 0x2d ? -value : value;
  }

  feed(chunk: Buffer, length = chunk.length): void {
    let pos = 0;
    while (pos < length) {
      if (this.bulkLeft > 0) {
        const take = Math.min(this.bulkLeft, length - pos);
        this.keep(chunk, pos, take);
        this.bulkLeft -= take;
        pos += take;
        if (this.bulkLeft === 0) this.endValue(pos);
        continue;
      }
      const lf = chunk.indexOf(LF, pos);
      if (lf < 0 || lf >= length) {
        this.carry = Buffer.concat([this.carry, chunk.subarray(pos, length)]);
        if (this.carry.length > MAX_REPLY_LINE_BYTES) {
          throw new ProtocolError(`a reply line of more than ${MAX_REPLY_LINE_BYTES} bytes`);
        }
        return;
      }
      if (this.carry.length > 0) {
        const line = Buffer.concat([this.carry, chunk.subarray(pos, lf + 1)]);
        this.carry = Buffer.alloc(0);
        this.line(line, 0, line.length - 1, lf + 1);
      } else {
        this.line(chunk, pos, lf, lf + 1);
      }
      pos = lf + 1;
    }
  }

  /** buf[start] is the type, buf[lf] the line feed; `end` is where the chunk goes on. */
  private line(buf: Buffer, start: number, lf: number, end: number): void {
    const stop = lf - 1;
    if (stop <= start || buf[stop] !== CR) throw new ProtocolError('a line without CR LF');
    const type = buf[start] ?? 0;
    const top = this.depth === 0;
    if (top && type !== TYPE.attribute) this.begin(type);
    switch (type) {
      case TYPE.simple:
      case TYPE.error:
      case TYPE.integer:
      case TYPE.bool:
      case TYPE.double:
      case TYPE.bigNumber:
      case TYPE.null:
        if (top) {
          this.isNull = type === TYPE.null;
          this.headWanted = REPLY_HEAD_BYTES;
          this.keep(buf, start + 1, stop - start - 1);
        }
        this.endValue(end);
        return;
      case TYPE.bulk:
      case TYPE.bulkError:
      case TYPE.verbatim: {
        const size = lengthOf(buf, start + 1, stop);
        if (size < 0) {
          if (top) this.isNull = true;
          this.endValue(end);
          return;
        }
        if (top) this.headWanted = Math.min(size, REPLY_HEAD_BYTES);
        this.bulkLeft = size + 2;
        return;
      }
      case TYPE.array:
      case TYPE.set:
      case TYPE.push:
      case TYPE.map:
      case TYPE.attribute: {
        const pairs = type === TYPE.map || type === TYPE.attribute;
        const size = lengthOf(buf, start + 1, stop) * (pairs ? 2 : 1);
        if (size < 0 && top) this.isNull = true;
        if (size > 0) this.open(size, type === TYPE.attribute);
        else if (type !== TYPE.attribute) this.endValue(end);
        return;
      }
      default:
        throw new ProtocolError(`a reply that begins with byte 0x${type.toString(16)}`);
    }
  }

  private begin(type: number): void {
    this.type = type;
    this.isNull = false;
    this.headLength = 0;
    this.headWanted = 0;
  }

  private keep(buf: Buffer, from: number, length: number): void {
    if (this.depth > 0) return;
    const take = Math.min(length, this.headWanted - this.headLength);
    if (take <= 0) return;
    buf.copy(this.head, this.headLength, from, from + take);
    this.headLength += take;
  }

  private open(size: number, attribute: boolean): void {
    if (this.depth === MAX_REPLY_DEPTH) {
      throw new ProtocolError(`a reply nested deeper than ${MAX_REPLY_DEPTH}`);
    }
    this.left[this.depth] = size;
    this.isAttribute[this.depth] = attribute ? 1 : 0;
    this.depth += 1;
  }

  private endValue(end: number): void {
    while (this.depth > 0) {
      const level = this.depth - 1;
      const left = (this.left[level] ?? 0) - 1;
      this.left[level] = left;
      if (left > 0) return;
      this.depth = level;
      // An attribute describes the value that follows it; it is none itself.
      if (this.isAttribute[level] === 1) return;
    }
    this.onReply(end);
  }
}

function lengthOf(buf: Buffer, start: number, stop: number): number {
  const negative = buf[start] === 0x2d;
  let i = negative ? start + 1 : start;
  if (i >= stop) throw new ProtocolError('a length without digits');
  let value = 0;
  for (; i < stop; i += 1) {
    const digit = (buf[i] ?? 0) - 48;
    if (digit < 0 || digit > 9) throw new ProtocolError('a length that is no number');
    value = value * 10 + digit;
  }
  if (value > MAX_REPLY_BYTES) throw new ProtocolError(`a reply of ${value} bytes or elements`);
  if (negative && value !== 1) throw new ProtocolError(`a length of -${value}`);
  return negative ? -1 : value;
}
