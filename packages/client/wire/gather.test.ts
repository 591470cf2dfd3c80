import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { GATHER_BYTES_MIN } from '../limits.ts';
import { receivedInPieces, sent, text } from '../testing/wire.ts';
import { type Sent, Wire } from './wire.ts';

const large = fc
  .integer({ min: GATHER_BYTES_MIN - 40, max: GATHER_BYTES_MIN + 100_000 })
  .map((length) => Buffer.alloc(length, 'abcdefg\r\n$9'));
const small = fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes));
const reply = fc.oneof(
  { weight: 3, arbitrary: large.map(text) },
  { weight: 3, arbitrary: small.map(text) },
  large.map((payload) => Buffer.concat([Buffer.from('*2\r\n:1\r\n'), text(payload)])),
  large.map((payload) => Buffer.concat([Buffer.from('>2\r\n+message\r\n'), text(payload)])),
  fc.constantFrom('$-1\r\n', '+OK\r\n', '-ERR no\r\n').map((line) => Buffer.from(line)),
);

test('every byte reaches the library in order, a large string in one piece, however the stream is cut', () => {
  fc.assert(
    fc.property(
      fc.array(reply, { minLength: 1, maxLength: 5 }),
      fc.array(fc.integer({ min: 1, max: 100_000 }), { minLength: 1, maxLength: 8 }),
      fc.boolean(),
      (replies, cuts, diverted) => {
        const sizes: number[] = [];
        const wire = new Wire<Sent>('test', {
          answered: (item) => sizes.push(item.bytesIn),
          large: () => {},
        });
        const asked = replies.filter((bytes) => bytes[0] !== 62);
        for (const _ of asked) wire.sent(sent(), 1);
        // Somebody behind them wants his reply elsewhere.
        const place = { begin() {}, write() {}, end() {} };
        if (diverted) wire.sent(sent(place), 1);
        const stream = Buffer.concat(replies);
        const heard = receivedInPieces(wire, stream, cuts);
        assert.ok(Buffer.concat(heard).equals(stream));
        assert.deepEqual(
          sizes,
          asked.map((bytes) => bytes.length),
        );
        if (diverted) return;
        for (const piece of heard) assert.ok(piece.length > 0);
        const most = Math.max(...cuts);
        const pieces = new Set(heard.filter((piece) => piece.length > most).map((p) => p.length));
        for (const bytes of pieces) assert.ok(asked.some((one) => one.length === bytes));
        // Cut nowhere in its header: it must have come whole.
        if (
          most < 100_000 &&
          Math.min(...cuts) > 20 &&
          replies.length === 1 &&
          asked.length === 1
        ) {
          const [only] = asked;
          if (only?.[0] === 36 && only.length > GATHER_BYTES_MIN) assert.equal(heard.length, 1);
        }
      },
    ),
    { numRuns: 80 },
  );
});

test('a connection that ends in the middle of a large string leaves nothing behind', () => {
  const wire = new Wire<Sent>('test', { answered: () => {}, large: () => {} });
  const heard: string[] = [];
  const hear = (piece: Buffer): void => void heard.push(piece.toString());
  wire.sent(sent(), 1);
  wire.received(Buffer.from(`$${GATHER_BYTES_MIN}\r\nabc`), hear);
  assert.deepEqual(heard, []);
  wire.reset();
  wire.sent(sent(), 1);
  wire.received(Buffer.from('+OK\r\n'), hear);
  assert.deepEqual(heard, ['+OK\r\n']);
  assert.equal(wire.pending, 0);
});
