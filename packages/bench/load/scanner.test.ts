import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeReply } from './decode.ts';
import { NanoHistogram } from './histogram.ts';
import { ProtocolError, ReplyScanner } from './reply-scanner.ts';
import { slotOf } from './slots.ts';

type Made = { readonly bytes: Buffer };

const line = fc.string({ maxLength: 20 }).map((s) => s.replace(/[\r\n]/g, '_'));
const scalar: fc.Arbitrary<Made> = fc.oneof(
  line.map((s) => ({ bytes: Buffer.from(`+${s}\r\n`) })),
  line.map((s) => ({ bytes: Buffer.from(`-ERR ${s}\r\n`) })),
  fc.integer().map((n) => ({ bytes: Buffer.from(`:${n}\r\n`) })),
  fc.uint8Array({ maxLength: 400 }).map((b) => ({
    bytes: Buffer.concat([Buffer.from(`$${b.length}\r\n`), b, Buffer.from('\r\n')]),
  })),
  fc.constantFrom('$-1\r\n', '*-1\r\n', '_\r\n', '#t\r\n', ',1.5\r\n').map((s) => ({
    bytes: Buffer.from(s),
  })),
);
const reply: fc.Arbitrary<Made> = fc.letrec<{ value: Made }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    scalar,
    fc
      .tuple(fc.constantFrom('*', '~', '>'), fc.array(tie('value'), { maxLength: 4 }))
      .map(([type, items]) => ({
        bytes: Buffer.concat([
          Buffer.from(`${type}${items.length}\r\n`),
          ...items.map((i) => i.bytes),
        ]),
      })),
    fc.array(fc.tuple(tie('value'), tie('value')), { maxLength: 3 }).map((pairs) => ({
      bytes: Buffer.concat([
        Buffer.from(`%${pairs.length}\r\n`),
        ...pairs.flat().map((i) => i.bytes),
      ]),
    })),
  ),
})).value;

test('finds every end, however the stream is cut', () => {
  fc.assert(
    fc.property(
      fc.array(reply, { minLength: 1, maxLength: 8 }),
      fc.infiniteStream(fc.integer({ min: 1, max: 9 })),
      (replies, cuts) => {
        const stream = Buffer.concat(replies.map((r) => r.bytes));
        const ends: number[] = [];
        let base = 0;
        const scanner = new ReplyScanner((end) => ends.push(base + end));
        for (const size of cuts) {
          if (base >= stream.length) break;
          const chunk = stream.subarray(base, base + size);
          scanner.feed(chunk);
          base += chunk.length;
        }
        let total = 0;
        assert.deepEqual(
          ends,
          replies.map((r) => (total += r.bytes.length)),
        );
        for (const made of replies) decodeReply(made.bytes);
      },
    ),
  );
});

test('keeps the head of what it passes over', () => {
  const heads: string[] = [];
  const scanner = new ReplyScanner(() => heads.push(scanner.headText()));
  for (const byte of '-MOVED 12 h:1\r\n$5\r\nabcde\r\n*1\r\n+x\r\n:-42\r\n') {
    scanner.feed(Buffer.from(byte));
  }
  assert.deepEqual(heads, ['MOVED 12 h:1', 'abcde', '', '-42']);
  assert.equal(scanner.headInteger(), -42);
});

test('garbage is a protocol error or waits for more; it never hangs and never grows', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (garbage) => {
      const scanner = new ReplyScanner(() => undefined);
      try {
        scanner.feed(Buffer.from(garbage));
      } catch (error) {
        assert.ok(error instanceof ProtocolError, String(error));
      }
    }),
    { numRuns: 2_000 },
  );
  const endless = new ReplyScanner(() => undefined);
  assert.throws(() => endless.feed(Buffer.alloc(100_000, 0x61)), ProtocolError);
  const deep = new ReplyScanner(() => undefined);
  assert.throws(() => deep.feed(Buffer.from('*1\r\n'.repeat(100))), ProtocolError);
});

test('a histogram knows its values to half a percent, and adds up', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 2 ** 40 }), { minLength: 1, maxLength: 200 }),
      fc.double({ min: 0.01, max: 1, noNaN: true }),
      (values, q) => {
        const left = new NanoHistogram();
        const right = new NanoHistogram();
        for (const [i, v] of values.entries()) (i % 2 === 0 ? left : right).record(v);
        left.add(right);
        const sorted = [...values].sort((a, b) => a - b);
        const truth = sorted[Math.max(1, Math.ceil(q * sorted.length)) - 1] ?? 0;
        assert.ok(Math.abs(left.quantile(q) - truth) <= Math.max(1, truth * 0.005));
        assert.equal(left.count, values.length);
        assert.equal(left.max, Math.max(...values));
      },
    ),
  );
});

test('key slots are the engine’s', () => {
  // Values that `CLUSTER KEYSLOT` answers.
  assert.equal(slotOf(Buffer.from('123456789')), 12739);
  assert.equal(slotOf(Buffer.from('foo')), 12182);
  assert.equal(slotOf(Buffer.from('a{foo}b')), 12182);
  assert.equal(slotOf(Buffer.from('{}foo')), slotOf(Buffer.from('{}foo')));
  assert.notEqual(slotOf(Buffer.from('{}foo')), 12182);
});
