import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MAX_DEPTH, MAX_LINE_BYTES } from './limits.ts';
import { parseReplies, ReplyParser } from './parse.ts';
import {
  type Push,
  type Reply,
  RespError,
  RespMap,
  RespProtocolError,
  RespSet,
  Verbatim,
} from './types.ts';

/** The wire form of a value: the inverse of the parser, for round trips only. */
function wire(value: Reply): Buffer {
  const line = (text: string): Buffer => Buffer.from(`${text}\r\n`);
  const bulk = (kind: string, bytes: Buffer): Buffer =>
    Buffer.concat([line(`${kind}${bytes.length}`), bytes, line('')]);
  const many = (kind: string, count: number, items: readonly Reply[]): Buffer =>
    Buffer.concat([line(`${kind}${count}`), ...items.map(wire)]);
  if (value === null) return line('_');
  if (typeof value === 'string') return line(`+${value}`);
  if (typeof value === 'boolean') return line(value ? '#t' : '#f');
  if (typeof value === 'bigint') return line(`(${value}`);
  if (typeof value === 'number') {
    if (Number.isNaN(value)) return line(',nan');
    if (!Number.isFinite(value)) return line(value > 0 ? ',inf' : ',-inf');
    if (Object.is(value, -0)) return line(',-0'); // which JavaScript writes as 0
    return Number.isSafeInteger(value) ? line(`:${value}`) : line(`,${value}`);
  }
  if (Buffer.isBuffer(value)) return bulk('$', value);
  if (value instanceof RespError) {
    return /[\r\n]/.test(value.message)
      ? bulk('!', Buffer.from(value.message))
      : line(`-${value.message}`);
  }
  if (value instanceof Verbatim)
    return bulk('=', Buffer.concat([Buffer.from(`${value.format}:`), value.text]));
  if (value instanceof RespMap) return many('%', value.entries.length, value.entries.flat());
  if (value instanceof RespSet) return many('~', value.items.length, value.items);
  return many('*', value.length, value);
}

const { reply } = fc.letrec<{ reply: Reply }>((tie) => ({
  reply: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.string().map((s) => s.replace(/[\r\n]/g, '')),
    fc.uint8Array({ maxLength: 40 }).map((b) => Buffer.from(b)),
    fc.integer(),
    fc.maxSafeInteger(),
    fc.double(),
    fc.bigInt(),
    fc.boolean(),
    fc.constant(null),
    fc.string({ unit: 'binary' }).map((s) => new RespError(Buffer.from(`ERR ${s}`).toString())),
    fc.uint8Array({ maxLength: 9 }).map((b) => new Verbatim('txt', Buffer.from(b))),
    fc.array(tie('reply'), { maxLength: 6 }),
    fc.array(tie('reply'), { maxLength: 4 }).map((items) => new RespSet(items)),
    fc.array(fc.tuple(tie('reply'), tie('reply')), { maxLength: 4 }).map((e) => new RespMap(e)),
  ),
}));

function cut(bytes: Buffer, at: readonly number[]): Buffer[] {
  const points = [...new Set(at.map((p) => p % (bytes.length + 1)))].sort((a, b) => a - b);
  const chunks: Buffer[] = [];
  let from = 0;
  for (const point of [...points, bytes.length]) {
    chunks.push(Buffer.from(bytes.subarray(from, point)));
    from = point;
  }
  return chunks;
}

test('whatever was sent is parsed back, in any cut', () => {
  fc.assert(
    fc.property(
      fc.array(reply, { maxLength: 5 }),
      fc.array(fc.nat(), { maxLength: 30 }),
      (replies, at) => {
        const seen: Reply[] = [];
        const parser = new ReplyParser({ onReply: (value) => seen.push(value) });
        for (const chunk of cut(Buffer.concat(replies.map(wire)), at)) parser.push(chunk);
        assert.deepEqual(seen, replies);
        assert.equal(parser.idle, true);
      },
    ),
    { numRuns: 2000 },
  );
});

test('byte by byte gives the same as at once', () => {
  fc.assert(
    fc.property(reply, (value) => {
      const seen: Reply[] = [];
      const parser = new ReplyParser({ onReply: (v) => seen.push(v) });
      for (const byte of wire(value)) parser.push(Buffer.of(byte));
      assert.deepEqual(seen, [value]);
    }),
    { numRuns: 500 },
  );
});

test('garbage ends in a protocol error or waits; it never crashes or hangs', () => {
  const alphabet = fc.constantFrom(
    ...'*$+-:_#,(!=%~|>0123456789\r\nabt.:',
    '\r\n',
    '\r\n',
    '*2\r\n',
    '$3\r\n',
    '%1\r\n',
  );
  const noise = fc.oneof(
    fc.array(alphabet, { maxLength: 60 }).map((parts) => Buffer.from(parts.join(''))),
    fc.uint8Array({ maxLength: 200 }).map((b) => Buffer.from(b)),
  );
  let broken = 0;
  fc.assert(
    fc.property(noise, fc.array(fc.nat(), { maxLength: 8 }), (bytes, at) => {
      const run = (chunks: readonly Buffer[]): string => {
        const seen: Reply[] = [];
        const parser = new ReplyParser({ onReply: (value) => seen.push(value) });
        try {
          for (const chunk of chunks) parser.push(chunk);
          return JSON.stringify([seen.length, parser.idle]);
        } catch (error) {
          assert.ok(error instanceof RespProtocolError, String(error));
          assert.throws(() => parser.push(Buffer.from('+OK\r\n')), RespProtocolError);
          broken++;
          return JSON.stringify([seen.length, error.code]);
        }
      };
      assert.equal(run(cut(bytes, at)), run([bytes]));
    }),
    { numRuns: 5000 },
  );
  assert.ok(broken > 100, 'the generator makes broken streams');
});

test('announced sizes reserve nothing, and every bound is a named error', () => {
  const code = (bytes: Buffer | string, bounds = {}): string => {
    try {
      parseReplies(Buffer.from(bytes), bounds);
    } catch (error) {
      if (error instanceof RespProtocolError) return error.code;
      throw error;
    }
    return 'none';
  };
  const before = process.memoryUsage().rss;
  const parser = new ReplyParser({ onReply: () => assert.fail('nothing is complete') });
  parser.push(Buffer.from('*999999999\r\n$536870912\r\nabc'));
  assert.ok(process.memoryUsage().rss - before < 64 * 1024 * 1024);

  assert.equal(code('$536870913\r\n'), 'bulk-too-long');
  assert.equal(code('*1\r\n'.repeat(MAX_DEPTH + 1)), 'too-deep');
  assert.equal(code('*1\r\n'.repeat(MAX_DEPTH)), 'unfinished');
  assert.equal(code(`+${'x'.repeat(MAX_LINE_BYTES)}\r\n`), 'line-too-long');
  assert.equal(code(Buffer.alloc(MAX_LINE_BYTES + 1, 'x')), 'line-too-long');
  assert.equal(code('*9\r\n$-1\r\n*1\r\n>1\r\n'), 'nested-push');
  assert.equal(
    code(`*1000\r\n${':1\r\n'.repeat(1000)}`, { maxReplyBytes: 4096 }),
    'reply-too-large',
  );
  assert.equal(code('$3\r\nabcd\r\n'), 'bad-bulk-end');
  assert.equal(code('*0123456789012345\r\n'), 'bad-length');
  assert.equal(code('$-2\r\n'), 'bad-length');
  assert.equal(code('HTTP/1.1 400 Bad Request\r\n'), 'bad-type');
  assert.equal(code(':1\n'), 'bad-line');
  assert.equal(code(`(${'9'.repeat(5000)}\r\n`), 'bad-big-number');
});

test('both protocols: nulls, numbers, pushes and attributes', () => {
  assert.deepEqual(parseReplies(Buffer.from('$-1\r\n*-1\r\n_\r\n')), [null, null, null]);
  assert.deepEqual(
    parseReplies(Buffer.from(':9007199254740991\r\n:9223372036854775807\r\n:-7\r\n:+5\r\n')),
    [9007199254740991, 9223372036854775807n, -7, 5],
  );
  assert.deepEqual(
    parseReplies(Buffer.from(',1.5\r\n,inf\r\n,-inf\r\n,1e3\r\n(12345678901234567890123\r\n')),
    [1.5, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1000, 12345678901234567890123n],
  );
  const pushes: Push[] = [];
  const attributes: RespMap[] = [];
  const seen: Reply[] = [];
  const parser = new ReplyParser({
    onReply: (value) => seen.push(value),
    onPush: (push) => pushes.push(push),
    onAttribute: (attribute) => attributes.push(attribute),
  });
  parser.push(Buffer.from('>2\r\n$10\r\ninvalidate\r\n_\r\n+OK\r\n'));
  parser.push(Buffer.from('*2\r\n|1\r\n+ttl\r\n:3\r\n:1\r\n:2\r\n'));
  assert.deepEqual(pushes, [{ kind: 'invalidate', items: [null] }]);
  assert.deepEqual(seen, ['OK', [1, 2]]);
  assert.equal(attributes[0]?.get('ttl'), 3);
});

test('error replies are values with a code', () => {
  const [moved, plain, odd] = parseReplies(
    Buffer.from('-MOVED 1 a:2\r\n-BUSY\r\n-oops it broke\r\n'),
  );
  assert.ok(moved instanceof RespError && plain instanceof RespError && odd instanceof RespError);
  assert.deepEqual([moved.code, plain.code, odd.code], ['MOVED', 'BUSY', '']);
  assert.equal(moved.message, 'MOVED 1 a:2');
});

test('a large string in small chunks costs its size, not its square', () => {
  const size = 8 * 1024 * 1024;
  const bytes = Buffer.concat([
    Buffer.from(`$${size}\r\n`),
    Buffer.alloc(size, 'v'),
    Buffer.from('\r\n'),
  ]);
  let got: Reply = null;
  const parser = new ReplyParser({ onReply: (value) => (got = value) });
  const started = performance.now();
  for (let at = 0; at < bytes.length; at += 64) parser.push(bytes.subarray(at, at + 64));
  assert.ok(Buffer.isBuffer(got) && (got as Buffer).length === size);
  assert.ok(performance.now() - started < 3000);
});
