import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ReplyScanner } from './scanner.ts';

type Reply = { bytes: Buffer; push: boolean };

const line = fc.stringMatching(/^[a-zA-Z0-9 .:-]{0,20}$/);
const payload = fc.uint8Array({ maxLength: 300 }).map((b) => Buffer.from(b));

const bulk = fc
  .tuple(fc.constantFrom('$', '=', '!'), payload)
  .map(([t, p]) => Buffer.concat([Buffer.from(`${t}${p.length}\r\n`), p, Buffer.from('\r\n')]));
const simple = fc
  .tuple(fc.constantFrom('+', '-', ',', '('), line)
  .map(([t, s]) => Buffer.from(`${t}${s}\r\n`));
const nothing = fc.constantFrom(
  '$-1\r\n',
  '*-1\r\n',
  '_\r\n',
  '#t\r\n',
  ':-42\r\n',
  '*0\r\n',
  '%0\r\n',
);

const { element } = fc.letrec<{ element: Buffer; array: Buffer; map: Buffer }>((tie) => ({
  element: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    bulk,
    simple,
    nothing.map((s) => Buffer.from(s)),
    tie('array'),
    tie('map'),
  ),
  array: fc
    .tuple(fc.constantFrom('*', '~'), fc.array(tie('element'), { maxLength: 5 }))
    .map(([t, items]) => Buffer.concat([Buffer.from(`${t}${items.length}\r\n`), ...items])),
  map: fc
    .array(fc.tuple(tie('element'), tie('element')), { maxLength: 3 })
    .map((pairs) => Buffer.concat([Buffer.from(`%${pairs.length}\r\n`), ...pairs.flat()])),
}));

const attribute = fc
  .array(fc.tuple(bulk, bulk), { maxLength: 2 })
  .map((pairs) => Buffer.concat([Buffer.from(`|${pairs.length}\r\n`), ...pairs.flat()]));

const reply: fc.Arbitrary<Reply> = fc.oneof(
  { weight: 6, arbitrary: element.map((bytes) => ({ bytes, push: false })) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(attribute, element)
      .map(([a, e]) => ({ bytes: Buffer.concat([a, e]), push: false })),
  },
  {
    weight: 1,
    arbitrary: fc.array(bulk, { minLength: 1, maxLength: 3 }).map((items) => ({
      bytes: Buffer.concat([Buffer.from(`>${items.length}\r\n`), ...items]),
      push: true,
    })),
  },
);

test('finds every reply with its size, however the stream is cut', () => {
  fc.assert(
    fc.property(
      fc.array(reply, { maxLength: 8 }),
      fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 20 }),
      (replies, cuts) => {
        const seen: number[] = [];
        let largest = 0;
        const scanner = new ReplyScanner({
          reply: (bytes) => {
            assert.ok(bytes >= largest, 'announced more than came');
            largest = 0;
            seen.push(bytes);
          },
          announced: (bytes) => {
            largest = Math.max(largest, bytes);
          },
        });
        const stream = Buffer.concat(replies.map((r) => r.bytes));
        for (let at = 0, i = 0; at < stream.length; i += 1) {
          const step = cuts[i % cuts.length] as number;
          scanner.feed(stream.subarray(at, at + step));
          at += step;
        }
        assert.deepEqual(
          seen,
          replies.filter((r) => !r.push).map((r) => r.bytes.length),
        );
        assert.equal(scanner.partial, 0);
        assert.equal(scanner.lost, false);
      },
    ),
    { numRuns: 400 },
  );
});

test('says how large a reply will be at its header', () => {
  const announced: number[] = [];
  const scanner = new ReplyScanner({ reply: () => {}, announced: (n) => announced.push(n) });
  scanner.feed(Buffer.from('$10485760\r\nx'));
  assert.deepEqual(announced, [10485760 + 2 + 11]);
  assert.equal(scanner.partial, 12);
});

test('stops, and says so, when the stream is no RESP', () => {
  let replies = 0;
  const scanner = new ReplyScanner({ reply: () => replies++, announced: () => {} });
  scanner.feed(Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'));
  assert.equal(scanner.lost, true);
  assert.equal(replies, 0);
  scanner.reset();
  scanner.feed(Buffer.from('+OK\r\n'));
  assert.equal(replies, 1);
});
