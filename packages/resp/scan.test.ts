/** The scanners against the parser, on every cut, and against noise. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodeCommand, parseReplies } from './index.ts';
import { splitInline } from './inline.ts';
import { ReplyScanner } from './scan-reply.ts';
import {
  FULL_BOUNDS,
  RequestScanner,
  SCAN_BROKEN,
  SCAN_COMMAND,
  SCAN_EMPTY,
  SCAN_INLINE,
  SCAN_MORE,
} from './scan-request.ts';

const RUNS = 2000;

const word = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes));
const command = fc.array(word, { minLength: 1, maxLength: 90 });

function found(scanner: RequestScanner, bytes: Buffer): Buffer[] {
  return Array.from({ length: scanner.count }, (_, i) =>
    bytes.subarray(scanner.starts[i], scanner.ends[i]),
  );
}

test('a command that comes in any pieces is found once, with its arguments', () => {
  fc.assert(
    fc.property(command, fc.array(fc.nat(), { maxLength: 8 }), (args, cuts) => {
      const bytes = encodeCommand(args);
      const scanner = new RequestScanner();
      const ends = cuts.map((cut) => cut % bytes.length).sort((a, b) => a - b);
      for (const end of ends) {
        assert.equal(scanner.scan(bytes, 0, end, FULL_BOUNDS), SCAN_MORE);
        assert.ok(scanner.needed > end);
      }
      assert.equal(scanner.scan(bytes, 0, bytes.length, FULL_BOUNDS), SCAN_COMMAND);
      assert.equal(scanner.end, bytes.length);
      assert.deepEqual(found(scanner, bytes), args);
    }),
    { numRuns: RUNS },
  );
});

test('commands one behind the other, from any offset', () => {
  fc.assert(
    fc.property(fc.array(command, { minLength: 1, maxLength: 5 }), fc.nat(50), (all, offset) => {
      const bytes = Buffer.concat([
        Buffer.alloc(offset, 42),
        ...all.map((args) => encodeCommand(args)),
      ]);
      const scanner = new RequestScanner();
      let at = offset;
      for (const args of all) {
        assert.equal(scanner.scan(bytes, at, bytes.length, FULL_BOUNDS), SCAN_COMMAND);
        assert.deepEqual(found(scanner, bytes), args);
        at = scanner.end;
      }
      assert.equal(at, bytes.length);
    }),
    { numRuns: 300 },
  );
});

/** Of few names and shapes, so that neighbours are often alike. */
const likely = fc.tuple(
  fc.constantFrom('GET', 'get', 'SET', 'GETEX'),
  fc.array(fc.oneof(word, fc.constantFrom('', 'k', 'x'.repeat(100))), { maxLength: 2 }),
);

test('what is called like the command before is what a scan finds there', () => {
  let alike = 0;
  const commands = fc.array(likely, { minLength: 2, maxLength: 6 });
  // A byte may be another, and the end may be missing.
  const damage = fc.option(fc.tuple(fc.nat(), fc.constantFrom(36, 42, 48, 49, 13, 10, 0)));
  fc.assert(
    fc.property(commands, damage, fc.nat(20), (all, broken, cut) => {
      const bytes = Buffer.concat(all.map(([name, args]) => encodeCommand([name, ...args])));
      if (broken !== null) bytes[broken[0] % bytes.length] = broken[1];
      const limit = bytes.length - (cut > 10 ? cut : 0);
      const short = new RequestScanner();
      const full = new RequestScanner();
      if (short.scan(bytes, 0, limit, FULL_BOUNDS) !== SCAN_COMMAND) return;
      for (let before = 0, at = short.end; at < limit; ) {
        const result = full.scan(bytes, at, limit, FULL_BOUNDS);
        if (short.again(bytes, before, at, limit)) {
          alike++;
          assert.equal(result, SCAN_COMMAND);
          assert.deepEqual(found(short, bytes), found(full, bytes));
          assert.equal(short.end, full.end);
        } else if (short.scan(bytes, at, limit, FULL_BOUNDS) !== SCAN_COMMAND) return;
        before = at;
        at = full.end;
      }
    }),
    { numRuns: RUNS * 5 },
  );
  assert.ok(alike > RUNS / 4, `${alike} were alike`);
});

/** Bytes that look like the protocol often enough to get deep into it. */
const noise = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        '*',
        '$',
        '\r\n',
        '\r',
        '\n',
        '-',
        '0',
        '1',
        '2',
        '9',
        '*1\r\n',
        '$3\r\nGET\r\n',
        '*2\r\n$3\r\nGET\r\n',
        '%',
        '~',
        '>',
        '_\r\n',
        ':',
        '=',
        '|1\r\n',
        '+OK\r\n',
      ),
      fc.string({ maxLength: 4 }),
    ),
    { maxLength: 40 },
  )
  .map((parts) => Buffer.from(parts.join(''), 'latin1'));

test('noise: the request scanner always ends, never goes back, and says what it found', () => {
  fc.assert(
    fc.property(noise, (bytes) => {
      const scanner = new RequestScanner();
      let at = 0;
      for (;;) {
        const result = scanner.scan(bytes, at, bytes.length, FULL_BOUNDS);
        if (result === SCAN_MORE) {
          assert.ok(scanner.needed > bytes.length);
          return;
        }
        if (result === SCAN_BROKEN) {
          assert.match(scanner.problem, /^Protocol error: /);
          return;
        }
        assert.ok(result === SCAN_COMMAND || result === SCAN_INLINE || result === SCAN_EMPTY);
        assert.ok(scanner.end > at && scanner.end <= bytes.length);
        if (result === SCAN_COMMAND) {
          // What goes on to an engine is exactly what was understood.
          assert.deepEqual(encodeCommand(found(scanner, bytes)), bytes.subarray(at, scanner.end));
        }
        at = scanner.end;
      }
    }),
    { numRuns: RUNS * 5 },
  );
});

test('a header announces nothing that is believed', () => {
  const scanner = new RequestScanner();
  const bytes = Buffer.from('*1048576\r\n$536870912\r\n');
  assert.equal(scanner.scan(bytes, 0, bytes.length, FULL_BOUNDS), SCAN_MORE);
  assert.ok(scanner.starts.length <= 64);
  for (const bad of [
    '*1048577\r\n',
    '*1\r\n$536870913\r\n',
    '*1\r\n$-1\r\n',
    '*01\r\n',
    '*1\r\n$03\r\n',
    '*+1\r\n',
    '*1\r\n+1\r\n',
    '*1\r\n$1\r\naXY',
    '*99999999999999999999999999999999999\r\n',
  ]) {
    scanner.reset();
    assert.equal(scanner.scan(Buffer.from(bad), 0, bad.length, FULL_BOUNDS), SCAN_BROKEN, bad);
  }
  scanner.reset();
  const before = { maxArguments: 10, maxBulkBytes: 16384 };
  assert.equal(scanner.scan(Buffer.from('*11\r\n'), 0, 5, before), SCAN_BROKEN);
  assert.equal(scanner.problem, 'Protocol error: unauthenticated multibulk length');
  const long = Buffer.alloc(70_000, 120);
  assert.equal(scanner.scan(long, 0, long.length, FULL_BOUNDS), SCAN_BROKEN);
});

const reply: fc.Arbitrary<string> = fc.letrec<{ reply: string }>((tie) => ({
  reply: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(
      '+OK\r\n',
      '-ERR no\r\n',
      ':-12\r\n',
      '_\r\n',
      '#t\r\n',
      ',1.5\r\n',
      '(123456789012345678901\r\n',
      '$-1\r\n',
      '*-1\r\n',
      '$0\r\n\r\n',
      '*0\r\n',
      '%0\r\n',
      '=7\r\ntxt:abc\r\n',
      '!5\r\nERR x\r\n',
    ),
    fc.string({ maxLength: 60 }).map((text) => `$${Buffer.byteLength(text)}\r\n${text}\r\n`),
    fc
      .array(tie('reply'), { maxLength: 4 })
      .map((items) => `*${items.length}\r\n${items.join('')}`),
    fc
      .array(tie('reply'), { maxLength: 4 })
      .map((items) => `~${items.length}\r\n${items.join('')}`),
    fc
      .array(fc.tuple(tie('reply'), tie('reply')), { maxLength: 3 })
      .map((pairs) => `%${pairs.length}\r\n${pairs.flat().join('')}`),
  ),
})).reply;

test('replies: the scanner ends where the parser ends, in any cut', () => {
  fc.assert(
    fc.property(
      fc.array(reply, { minLength: 1, maxLength: 4 }),
      fc.integer({ min: 1, max: 30 }),
      (replies, step) => {
        const bytes = Buffer.from(replies.join(''));
        assert.equal(parseReplies(bytes).length, replies.length);
        const scanner = new ReplyScanner();
        const ends: number[] = [];
        let at = 0;
        for (let limit = step; ; limit += step) {
          const end = Math.min(limit, bytes.length);
          for (;;) {
            const next = scanner.scan(bytes, at, end);
            assert.ok(next >= at && !scanner.broken);
            at = next;
            if (!scanner.done) break;
            ends.push(at);
            if (at === end) break;
          }
          if (end === bytes.length) break;
        }
        let expected = 0;
        assert.deepEqual(
          ends,
          replies.map((text) => (expected += Buffer.byteLength(text))),
        );
        assert.ok(scanner.idle);
      },
    ),
    { numRuns: RUNS },
  );
});

test('noise: the reply scanner always ends', () => {
  fc.assert(
    fc.property(noise, (bytes) => {
      const scanner = new ReplyScanner();
      let at = 0;
      for (let i = 0; i <= bytes.length; i++) {
        const next = scanner.scan(bytes, at, bytes.length);
        assert.ok(next >= at && next <= bytes.length);
        if (scanner.broken || !scanner.done) return;
        at = next;
      }
    }),
    { numRuns: RUNS * 5 },
  );
});

test('inline commands are split as the engine does', () => {
  const split = (line: string): string[] | null =>
    splitInline(Buffer.from(line, 'latin1'))?.map((arg) => arg.toString('latin1')) ?? null;
  assert.deepEqual(split('  SET a   b '), ['SET', 'a', 'b']);
  assert.deepEqual(split('SET a "b \\"c\\" \\x41\\n"'), ['SET', 'a', 'b "c" A\n']);
  assert.deepEqual(split("SET a 'it\\'s'"), ['SET', 'a', "it's"]);
  assert.deepEqual(split('SET ""'), ['SET', '']);
  assert.deepEqual(split('a"b c"d \'e\'"f"'), ['ab cd', 'ef']);
  for (const bad of ['"open', "'open", '"a"\'b', 'a"b']) assert.equal(split(bad), null, bad);
});
