/**
 * An incremental reply parser for RESP2 and RESP3.
 *
 * A reply may arrive in any cut: in the middle of a header, of a number, of the CR LF. The obvious
 * parser tries from the start of the reply on each new chunk; that is quadratic for a large array
 * and wrong to bound. This one never looks at a byte twice: what is half done stands in an explicit
 * stack of open aggregates, the parts of one unfinished string, and at most one unfinished line.
 *
 * Nothing is reserved because a header announces it: memory follows the bytes that really came.
 * Depth, line length, string length and the cost of a whole reply are bounded. A violation throws
 * RespProtocolError; after that the parser refuses everything, as the stream has lost its frame.
 */
import {
  ELEMENT_COST_BYTES,
  MAX_BULK_BYTES,
  MAX_DEPTH,
  MAX_LINE_BYTES,
  MAX_REPLY_BYTES,
  VIEW_BYTES,
} from './limits.ts';
import { bigNumber, boolean, count, double, fault, integer } from './scalars.ts';
import {
  type Push,
  type Reply,
  RespError,
  RespMap,
  RespProtocolError,
  RespSet,
  Verbatim,
} from './types.ts';

export interface ReplyHandlers {
  readonly onReply: (reply: Reply) => void;
  /** RESP3 pushes. Without a handler they are dropped. */
  readonly onPush?: (push: Push) => void;
  /** RESP3 attributes, before the reply they belong to. Without a handler they are dropped. */
  readonly onAttribute?: (attribute: RespMap) => void;
}

export interface ReplyBounds {
  readonly maxBulkBytes?: number;
  readonly maxReplyBytes?: number;
  readonly maxDepth?: number;
}

type AggregateKind = 'array' | 'set' | 'map' | 'push' | 'attribute';
type BulkKind = 'bulk' | 'error' | 'verbatim';

/** An aggregate that still misses `missing` items; a map counts keys and values. */
interface Frame {
  readonly kind: AggregateKind;
  missing: number;
  readonly items: Reply[];
}

/** A string of which `filled` of `total` bytes are here, the CR LF behind it included. */
interface OpenBulk {
  readonly kind: BulkKind;
  readonly total: number;
  bytes: Buffer;
  filled: number;
}

export class ReplyParser {
  readonly #handlers: ReplyHandlers;
  readonly #maxBulk: number;
  readonly #maxReply: number;
  readonly #maxDepth: number;
  readonly #stack: Frame[] = [];
  #bulk: OpenBulk | null = null;
  #line: Buffer[] = [];
  #lineBytes = 0;
  #cost = 0;
  #broken: RespProtocolError | null = null;

  constructor(handlers: ReplyHandlers, bounds: ReplyBounds = {}) {
    this.#handlers = handlers;
    this.#maxBulk = bounds.maxBulkBytes ?? MAX_BULK_BYTES;
    this.#maxReply = bounds.maxReplyBytes ?? MAX_REPLY_BYTES;
    this.#maxDepth = bounds.maxDepth ?? MAX_DEPTH;
  }

  /** True when the next byte begins a new reply: an end of stream here loses nothing. */
  get idle(): boolean {
    return this.#stack.length === 0 && this.#bulk === null && this.#lineBytes === 0;
  }

  /** Takes the next bytes and calls the handlers for all that became complete. */
  push(chunk: Buffer): void {
    if (this.#broken !== null) throw this.#broken;
    try {
      this.#consume(chunk);
    } catch (error) {
      if (error instanceof RespProtocolError) {
        this.#broken = error;
        this.#stack.length = 0;
        this.#bulk = null;
        this.#line = [];
      }
      throw error;
    }
  }

  #consume(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#bulk !== null) {
        at = this.#fillBulk(this.#bulk, chunk, at);
        continue;
      }
      const lf = chunk.indexOf(10, at);
      const length = this.#lineBytes + (lf < 0 ? chunk.length : lf + 1) - at;
      if (length > MAX_LINE_BYTES) {
        throw fault('line-too-long', `a line of the reply is longer than ${MAX_LINE_BYTES} bytes`);
      }
      if (lf < 0) {
        // A copy: a peer that sends byte by byte must not keep a whole chunk alive for each.
        this.#line.push(Buffer.from(chunk.subarray(at)));
        this.#lineBytes = length;
        return;
      }
      if (this.#lineBytes === 0) {
        at = this.#takeLine(chunk, at, lf);
        continue;
      }
      const line = Buffer.concat([...this.#line, chunk.subarray(at, lf + 1)]);
      this.#line = [];
      this.#lineBytes = 0;
      this.#takeLine(line, 0, line.length - 1);
      at = lf + 1;
    }
  }

  /** Handles the line at [start, lf]; answers where to go on (behind the string of a header, if it is there whole). */
  #takeLine(chunk: Buffer, start: number, lf: number): number {
    const after = lf + 1;
    const from = start + 1;
    const to = lf - 1;
    if (to < from || chunk[to] !== 13) {
      throw fault('bad-line', 'a line of the reply does not end in CR LF');
    }
    this.#charge(to - from);
    switch (chunk[start]) {
      case 43: // +
        this.#value(chunk.toString('utf8', from, to));
        return after;
      case 45: // -
        this.#value(new RespError(chunk.toString('utf8', from, to)));
        return after;
      case 58: // :
        this.#value(integer(chunk, from, to));
        return after;
      case 36: // $
        return this.#openBulk('bulk', chunk, from, to, after);
      case 42: // *
        this.#open('array', chunk, from, to);
        return after;
      case 95: // _
        if (from !== to) throw fault('bad-null', 'a null of the reply carries a value');
        this.#value(null);
        return after;
      case 35: // #
        this.#value(boolean(chunk, from, to));
        return after;
      case 44: // ,
        this.#value(double(chunk.toString('latin1', from, to)));
        return after;
      case 40: // (
        this.#value(bigNumber(chunk.toString('latin1', from, to)));
        return after;
      case 33: // !
        return this.#openBulk('error', chunk, from, to, after);
      case 61: // =
        return this.#openBulk('verbatim', chunk, from, to, after);
      case 37: // %
        this.#open('map', chunk, from, to);
        return after;
      case 126: // ~
        this.#open('set', chunk, from, to);
        return after;
      case 124: // |
        this.#open('attribute', chunk, from, to);
        return after;
      case 62: // >
        this.#open('push', chunk, from, to);
        return after;
      default:
        throw fault('bad-type', `a reply cannot begin with byte ${chunk[start]}`);
    }
  }

  #openBulk(kind: BulkKind, chunk: Buffer, from: number, to: number, after: number): number {
    const length = count(chunk, from, to, kind === 'bulk');
    if (length === -1) {
      this.#value(null);
      return after;
    }
    if (length > this.#maxBulk) {
      throw fault(
        'bulk-too-long',
        `a string of ${length} bytes; at most ${this.#maxBulk} are taken`,
      );
    }
    this.#charge(length);
    if (chunk.length - after >= length + 2) {
      const bytes = chunk.subarray(after, after + length);
      checkEnd(chunk, after + length);
      this.#value(bulkValue(kind, length >= VIEW_BYTES ? bytes : Buffer.from(bytes)));
      return after + length + 2;
    }
    this.#bulk = { kind, total: length + 2, bytes: Buffer.alloc(0), filled: 0 };
    return after;
  }

  #fillBulk(bulk: OpenBulk, chunk: Buffer, at: number): number {
    const taken = Math.min(bulk.total - bulk.filled, chunk.length - at);
    const filled = bulk.filled + taken;
    if (filled > bulk.bytes.length) {
      // Grows with what came, not with what was announced; doubling keeps the copies linear.
      const larger = Buffer.allocUnsafe(Math.min(bulk.total, Math.max(filled * 2, VIEW_BYTES)));
      bulk.bytes.copy(larger, 0, 0, bulk.filled);
      bulk.bytes = larger;
    }
    chunk.copy(bulk.bytes, bulk.filled, at, at + taken);
    bulk.filled = filled;
    if (filled === bulk.total) {
      checkEnd(bulk.bytes, filled - 2);
      this.#bulk = null;
      this.#value(bulkValue(bulk.kind, bulk.bytes.subarray(0, filled - 2)));
    }
    return at + taken;
  }

  #open(kind: AggregateKind, chunk: Buffer, from: number, to: number): void {
    const length = count(chunk, from, to, kind === 'array');
    if (length === -1) {
      this.#value(null);
      return;
    }
    if (kind === 'push') {
      if (this.#stack.length > 0) throw fault('nested-push', 'a push inside of a reply');
      if (length === 0) throw fault('empty-push', 'a push without a kind');
    }
    if (this.#stack.length >= this.#maxDepth) {
      throw fault('too-deep', `a reply nested deeper than ${this.#maxDepth} levels`);
    }
    const missing = kind === 'map' || kind === 'attribute' ? length * 2 : length;
    this.#stack.push({ kind, missing, items: [] });
    if (missing === 0) this.#close();
  }

  /** A value is complete: it fills the innermost open aggregate, or is a whole reply. */
  #value(value: Reply): void {
    const frame = this.#stack.at(-1);
    if (frame === undefined) {
      this.#cost = 0;
      this.#handlers.onReply(value);
      return;
    }
    frame.items.push(value);
    frame.missing--;
    if (frame.missing === 0) this.#close();
  }

  /** Closes the innermost aggregate; its value may complete the one around it, and so on. */
  #close(): void {
    const frame = this.#stack.pop();
    if (frame === undefined) return;
    switch (frame.kind) {
      case 'array':
        this.#value(frame.items);
        return;
      case 'set':
        this.#value(new RespSet(frame.items));
        return;
      case 'map':
        this.#value(new RespMap(pairs(frame.items)));
        return;
      case 'attribute':
        // Belongs to the value that follows and fills no place itself.
        if (this.#stack.length === 0) this.#cost = 0;
        this.#handlers.onAttribute?.(new RespMap(pairs(frame.items)));
        return;
      case 'push': {
        this.#cost = 0;
        const kind = frame.items[0] ?? null;
        const items = frame.items.slice(1);
        this.#handlers.onPush?.({ kind: String(kind), items });
        return;
      }
    }
  }

  #charge(bytes: number): void {
    this.#cost += bytes + ELEMENT_COST_BYTES;
    if (this.#cost > this.#maxReply) {
      throw fault('reply-too-large', `a reply of more than ${this.#maxReply} bytes`);
    }
  }
}

/** Parses a buffer that holds whole replies; throws when something is left over. For tools and tests. */
export function parseReplies(bytes: Buffer, bounds: ReplyBounds = {}): Reply[] {
  const replies: Reply[] = [];
  const parser = new ReplyParser({ onReply: (reply) => replies.push(reply) }, bounds);
  parser.push(bytes);
  if (!parser.idle) throw fault('unfinished', 'the bytes end in the middle of a reply');
  return replies;
}

function checkEnd(bytes: Buffer, at: number): void {
  if (bytes[at] !== 13 || bytes[at + 1] !== 10) {
    throw fault('bad-bulk-end', 'a string of the reply is not followed by CR LF');
  }
}

function bulkValue(kind: BulkKind, bytes: Buffer): Reply {
  if (kind === 'bulk') return bytes;
  if (kind === 'error') return new RespError(bytes.toString());
  if (bytes.length < 4 || bytes[3] !== 58) {
    throw fault('bad-verbatim', 'a verbatim string without its format');
  }
  return new Verbatim(bytes.toString('latin1', 0, 3), bytes.subarray(4));
}

function pairs(items: readonly Reply[]): [Reply, Reply][] {
  const entries: [Reply, Reply][] = [];
  for (let i = 0; i + 1 < items.length; i += 2)
    entries.push([items[i] ?? null, items[i + 1] ?? null]);
  return entries;
}
