import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { crc16, keySlot, slotOfRange } from './slot.ts';

test('the check value and slots that engines answer', () => {
  assert.equal(crc16(Buffer.from('123456789'), 0, 9), 0x31c3);
  // CLUSTER KEYSLOT of Valkey 9.1.2
  assert.equal(keySlot('foo'), 12182);
  assert.equal(keySlot('bar'), 5061);
  assert.equal(keySlot(''), 0);
  assert.equal(keySlot('somekey'), 11058);
});

test('only the first hash tag counts, and only when it is not empty', () => {
  assert.equal(keySlot('{user1000}.following'), keySlot('user1000'));
  assert.equal(keySlot('foo{{bar}}zap'), keySlot('{bar'));
  assert.equal(keySlot('foo{bar}{zap}'), keySlot('bar'));
  const plain = (key: string): number => crc16(Buffer.from(key), 0, key.length) & 16383;
  assert.equal(keySlot('foo{}{bar}'), plain('foo{}{bar}'));
  assert.equal(keySlot('foo{bar'), plain('foo{bar'));
  assert.equal(keySlot('}foo{'), plain('}foo{'));
});

test('text, bytes and a range of a larger buffer agree', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.string(), (key, around) => {
      const whole = Buffer.from(`${around}${key}${around}`);
      const start = Buffer.byteLength(around);
      const slot = keySlot(key);
      assert.ok(slot >= 0 && slot < 16384);
      assert.equal(keySlot(Buffer.from(key)), slot);
      assert.equal(slotOfRange(whole, start, start + Buffer.byteLength(key)), slot);
    }),
  );
});
