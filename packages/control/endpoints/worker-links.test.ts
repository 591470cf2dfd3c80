/** A worker that is there and cannot be reached at once. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { PROTOCOL, type Snapshot } from '../../endpoint/control-protocol.ts';
import { ControlSocket } from '../../endpoint/control-socket.ts';
import { eventually } from '../../engine/testing.ts';
import { WorkerLinks } from './worker-links.ts';

test('a worker that listens late is reached all the same, and brought up to date', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'cwl-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const snapshot: Snapshot = { epoch: 7, databases: [] };
  const said: string[] = [];
  const links = new WorkerLinks({
    build: 'test',
    lastSnapshot: () => snapshot,
    holds: () => [],
    event: () => {},
    changed: () => {},
    say: (reason) => said.push(reason),
  });
  t.after(() => links.close());
  const path = join(folder, 'w0.sock');
  links.update([{ slot: 0, pid: process.pid, socket: path, state: 'serving' }]);
  await eventually('it was tried', () => said.includes('worker-unreachable'));
  assert.equal(links.status()[0]?.state, 'connecting');
  const worker = new ControlSocket({
    path,
    protocol: PROTOCOL,
    build: () => 'test',
    opened: () => {},
    message: (connection, message) =>
      connection.send({ type: 'done', id: message['id'], result: { failed: [] } } as never),
    misfit: () => ({ type: 'refused' }),
  });
  t.after(() => worker.close());
  await worker.listen();
  await eventually('it is reached', () => links.status()[0]?.epoch === 7);
  assert.equal(links.status()[0]?.state, 'serving');
});
