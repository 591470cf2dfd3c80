import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { MAX_FRAME_BYTES, PROTOCOL } from './control-protocol.ts';
import { ControlServer } from './control-server.ts';
import { FrameConnection } from './frame-connection.ts';
import type { Message } from './frames.ts';
import type { Worker } from './worker/worker.ts';

test('an answer that is longer than a frame is refused by name, and the worker goes on', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'control-server-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'w.sock');
  const server = new ControlServer(path, 'build', async () => undefined);
  t.after(() => server.close());
  const long = ['x'.repeat(MAX_FRAME_BYTES)];
  const worker = { epoch: 7, clients: () => long, report: () => 'counters' };
  await server.listen(worker as unknown as Worker);
  const socket = connect(path);
  t.after(() => socket.destroy());
  const { promise: both, resolve } = Promise.withResolvers<void>();
  const answers: Message[] = [];
  const connection = new FrameConnection(
    socket,
    (message) => {
      if (message.type === 'hello') return;
      if (answers.push(message) === 2) resolve();
    },
    () => resolve(),
  );
  await once(socket, 'connect');
  const send = (message: object): void => connection.send(message as { type: string });
  send({ type: 'hello', protocol: PROTOCOL, build: 'build', pid: process.pid });
  send({ type: 'clients', id: 1, database: 'db', most: 1 });
  send({ type: 'counters', id: 2 });
  await both;
  assert.deepEqual(
    answers.map(({ id, type, code }) => [id, type, code]),
    [
      [1, 'refused', 'frame-too-long'],
      [2, 'done', undefined],
    ],
  );
});
