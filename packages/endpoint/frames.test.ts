import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { MAX_FRAME_BYTES } from './control-protocol.ts';
import { encodeFrame, FrameError, FrameReader } from './frames.ts';

test('frames survive any cut of the stream', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ type: fc.string(), value: fc.jsonValue() }), { maxLength: 8 }),
      fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 30 }),
      (messages, cuts) => {
        const bytes = Buffer.concat(messages.map(encodeFrame));
        const reader = new FrameReader();
        const seen: unknown[] = [];
        let at = 0;
        for (let i = 0; at < bytes.length; i += 1) {
          const size = cuts[i % cuts.length] ?? 1;
          seen.push(...reader.push(bytes.subarray(at, at + size)));
          at += size;
        }
        assert.deepEqual(seen, JSON.parse(JSON.stringify(messages)));
      },
    ),
  );
});

test('any bytes give messages or a FrameError, nothing else', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 6 }), (chunks) => {
      const reader = new FrameReader();
      try {
        for (const chunk of chunks) reader.push(chunk);
      } catch (error) {
        assert.ok(error instanceof FrameError, String(error));
      }
    }),
  );
});

test('a frame larger than its first buffer arrives whole', () => {
  const message = { type: 'x', text: 'y'.repeat(3_000_000) };
  const bytes = encodeFrame(message);
  const reader = new FrameReader();
  const seen = [];
  for (let at = 0; at < bytes.length; at += 65_536) {
    seen.push(...reader.push(bytes.subarray(at, at + 65_536)));
  }
  assert.deepEqual(seen, [message]);
});

test('too long, empty, not JSON and typeless frames are named', () => {
  const frame = (length: number, text: string) => {
    const bytes = Buffer.alloc(4 + text.length);
    bytes.writeUInt32BE(length, 0);
    bytes.write(text, 4);
    return bytes;
  };
  const code = (bytes: Buffer) => {
    try {
      new FrameReader().push(bytes);
    } catch (error) {
      return error instanceof FrameError ? error.code : error;
    }
    return 'accepted';
  };
  assert.equal(code(frame(MAX_FRAME_BYTES + 1, '{')), 'frame-too-long');
  assert.equal(code(frame(0, '')), 'frame-empty');
  assert.equal(code(frame(3, 'abc')), 'frame-not-json');
  assert.equal(code(frame(2, '{}')), 'frame-no-type');
  assert.equal(code(frame(4, 'null')), 'frame-no-type');
  assert.equal(code(frame(12, '{"type":1  }')), 'frame-no-type');
  assert.throws(
    () => encodeFrame({ type: 'x'.repeat(MAX_FRAME_BYTES) }),
    (error) => error instanceof FrameError && error.code === 'frame-too-long',
  );
});
