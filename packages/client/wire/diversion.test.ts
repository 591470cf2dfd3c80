import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { receivedInPieces, sent, text } from '../testing/wire.ts';
import type { ReplyInto } from './diversion.ts';
import { type Sent, Wire } from './wire.ts';

class Collected implements ReplyInto {
  parts: Buffer[] = [];
  announced = -1;
  ends = 0;
  begin(bytes: number): void {
    this.announced = bytes;
    this.parts = [];
  }
  write(chunk: Buffer, from: number, to: number): void {
    this.parts.push(Buffer.from(chunk.subarray(from, to)));
  }
  end(): void {
    this.ends += 1;
  }
}

const payload = fc.uint8Array({ maxLength: 200 });
/** A reply as on the wire, and its payload where it is one string. */
const reply = fc.oneof(
  { weight: 4, arbitrary: payload.map((p) => ({ bytes: text(p), string: Buffer.from(p) })) },
  fc
    .constantFrom('$-1\r\n', '_\r\n', '+OK\r\n', '-MOVED 1 a:1\r\n', ':7\r\n', '*0\r\n')
    .map((s) => ({ bytes: Buffer.from(s), string: undefined })),
  fc.array(payload, { minLength: 1, maxLength: 3 }).map((items) => ({
    bytes: Buffer.concat([Buffer.from(`*${items.length}\r\n`), ...items.map(text)]),
    string: undefined,
  })),
);

test('what is diverted arrives in its place, the rest reaches the library, however the stream is cut', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(reply, fc.boolean()), { maxLength: 12 }),
      fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 20 }),
      (replies, cuts) => {
        const answered: number[] = [];
        const wire = new Wire<Sent>('test', {
          answered: (item) => answered.push(item.bytesIn),
          large: () => {},
        });
        const places = replies.map(([, wanted]) => (wanted ? new Collected() : undefined));
        for (const place of places) wire.sent(sent(place), 1);
        const stream = Buffer.concat(replies.map(([r]) => r.bytes));
        const heard = receivedInPieces(wire, stream, cuts);
        const expected = replies.map(([r, wanted]) =>
          wanted && r.string !== undefined ? Buffer.from('$0\r\n\r\n') : r.bytes,
        );
        assert.deepEqual(Buffer.concat(heard), Buffer.concat(expected));
        assert.deepEqual(
          answered,
          replies.map(([r]) => r.bytes.length),
        );
        for (const [index, [r, wanted]] of replies.entries()) {
          const place = places[index];
          if (!wanted || place === undefined) continue;
          assert.equal(place.ends, r.string === undefined ? 0 : 1);
          if (r.string === undefined) continue;
          assert.equal(place.announced, r.string.length);
          assert.deepEqual(Buffer.concat(place.parts), r.string);
        }
        assert.equal(wire.pending, 0);
      },
    ),
    { numRuns: 500 },
  );
});

test('a connection that is lost in the middle of a diverted reply begins anew on the next one', () => {
  const wire = new Wire<Sent>('test', { answered: () => {}, large: () => {} });
  const place = new Collected();
  const drop = (): void => assert.fail('nothing here is for the library');
  wire.sent(sent(place), 1);
  wire.received(Buffer.from('$10\r\n12345'), drop);
  assert.equal(wire.reset().length, 1);
  wire.sent(sent(place), 2);
  const heard: string[] = [];
  wire.received(Buffer.from('$3\r\nabc\r\n'), (piece) => heard.push(String(piece)));
  assert.equal(String(Buffer.concat(place.parts)), 'abc');
  assert.equal(place.ends, 1);
  assert.deepEqual(heard, ['$0\r\n\r\n']);
});
