import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, connect as dial, type Socket } from 'node:net';
import { test } from 'node:test';
import { TURN_BYTES } from '../limits.ts';
import { Pace } from './pace.ts';

const BYTES = 32 * 1024 * 1024;

test('a socket that brings much gives way after its share, and all of it comes, in order', async (t) => {
  const sent = Buffer.alloc(BYTES);
  for (let at = 0; at < BYTES; at += 4) sent.writeUInt32LE(at, at);
  const server = createServer((peer) => peer.end(sent)).listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  const socket = dial((server.address() as AddressInfo).port, '127.0.0.1');
  t.after(() => socket.destroy());
  const pace = new Pace(socket);
  const pieces: Buffer[] = [];
  let turn = 0;
  let most = 0;
  let running = true;
  const newTurn = (): void => {
    turn = 0;
    if (running) setImmediate(newTurn);
  };
  newTurn();
  socket.on('data', (chunk: Buffer) => {
    pieces.push(chunk);
    turn += chunk.length;
    most = Math.max(most, turn);
    pace.came(chunk.length);
  });
  await once(socket, 'end');
  running = false;
  assert.ok(Buffer.concat(pieces).equals(sent));
  // What was read when it was paused, and the one read that the stream keeps in hand.
  assert.ok(most <= 2 * TURN_BYTES, `${most} bytes in one turn`);
});

test('a socket that is destroyed while it waits stays so', async (t) => {
  const server = createServer((peer: Socket) => {
    peer.on('error', () => undefined).write(Buffer.alloc(TURN_BYTES));
  });
  server.listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  const socket = dial((server.address() as AddressInfo).port, '127.0.0.1');
  await once(socket, 'connect');
  new Pace(socket).came(TURN_BYTES);
  assert.ok(socket.isPaused());
  socket.destroy();
  await new Promise(setImmediate);
  assert.ok(socket.destroyed && socket.isPaused());
});
