import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodeCommand, encodeCommands } from './encode.ts';
import { parseReplies } from './parse.ts';

const argument = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.uint8Array({ maxLength: 300 }),
  fc.integer(),
  fc.bigInt(),
);

function bytesOf(value: string | Uint8Array | number | bigint): Buffer {
  return Buffer.from(typeof value === 'object' ? value : String(value));
}

test('a command is an array of strings that parse back to its arguments', () => {
  fc.assert(
    fc.property(fc.array(argument, { minLength: 1, maxLength: 12 }), (args) => {
      assert.deepEqual(parseReplies(encodeCommand(args)), [args.map(bytesOf)]);
    }),
  );
});

test('several commands follow each other', () => {
  const commands = fc.array(fc.array(argument, { minLength: 1, maxLength: 4 }), { maxLength: 5 });
  fc.assert(
    fc.property(commands, (list) => {
      assert.deepEqual(
        parseReplies(encodeCommands(list)),
        list.map((args) => args.map(bytesOf)),
      );
    }),
  );
});

test('lengths are written right at each power of ten', () => {
  for (const length of [0, 9, 10, 99, 100, 9999, 10000, 100000]) {
    const value = 'x'.repeat(length);
    assert.equal(encodeCommand([value]).toString(), `*1\r\n$${length}\r\n${value}\r\n`);
  }
});

test('a command without a name is a mistake of the caller', () => {
  assert.throws(() => encodeCommand([]), TypeError);
});
