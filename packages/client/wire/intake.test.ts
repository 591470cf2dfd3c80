import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, connect as dial, type Socket } from 'node:net';
import { test } from 'node:test';
import { READ_BYTES } from '../limits.ts';
import { copyOf, readInto } from './intake.ts';

const BYTES = 8 * 1024 * 1024;

function numbered(bytes: number): Buffer {
  const all = Buffer.alloc(bytes);
  for (let at = 0; at < bytes; at += 4) all.writeUInt32LE(at, at);
  return all;
}

async function served(peer: (socket: Socket) => void): Promise<{ port: number; close(): void }> {
  const server = createServer(peer).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { port: (server.address() as AddressInfo).port, close: () => server.close() };
}

test('all of it comes, in order and in one buffer for all sockets, through pauses, up to the end', async (t) => {
  const sent = numbered(BYTES);
  const { port, close } = await served((peer) => peer.end(sent));
  t.after(close);
  const buffers = new Set<ArrayBufferLike>();
  await Promise.all(
    [1, 2].map(async () => {
      const socket = dial(port, '127.0.0.1');
      const pieces: Buffer[] = [];
      let began = false;
      let emitted = false;
      readInto(
        socket,
        (bytes) => {
          buffers.add(bytes.buffer);
          pieces.push(copyOf(bytes));
          if (pieces.length % 3 !== 0) return;
          socket.pause();
          setImmediate(() => socket.resume());
        },
        () => {
          began = true;
        },
      );
      socket.prependListener('data', () => {
        emitted = true;
      });
      socket.resume();
      await once(socket, 'end');
      assert.ok(began, 'this Node does not read into a buffer of ours');
      assert.ok(!emitted);
      assert.ok(Buffer.concat(pieces).equals(sent));
      assert.equal(socket.bytesRead, BYTES);
    }),
  );
  assert.equal(buffers.size, 1);
});

test('a socket whose maker reads into his own buffer, and one without a handle, stay as they are', async (t) => {
  const { port, close } = await served((peer) => peer.end('hello'));
  t.after(close);
  const never = (): void => assert.fail('taken');
  const own = Buffer.alloc(READ_BYTES);
  let mine = '';
  const socket = dial({
    port,
    host: '127.0.0.1',
    onread: {
      buffer: own,
      callback: (bytes) => {
        mine += own.toString('utf8', 0, bytes);
        return true;
      },
    },
  });
  readInto(socket, never, never);
  socket.resume();
  await once(socket, 'end');
  assert.equal(mine, 'hello');
  readInto(socket.destroy(), never, never);
});
