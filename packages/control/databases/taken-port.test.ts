/** A stranger takes a port of an engine while that engine is away. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { eventually } from '../../engine/testing.ts';
import { world } from './testing.ts';

const HEAL_MS = 30_000;

/** The kernel may hold on to the port of a process that was killed for a moment. */
async function taken(port: number, host: string): Promise<Server> {
  const server = createServer();
  await eventually('the port is taken', async () => {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    server.once('error', () => resolve(false));
    server.listen(port, host, () => resolve(true));
    return promise;
  });
  return server;
}

test('said by name, no files are moved for a start that must fail, healed when it is free', async (t) => {
  const w = await world(t);
  const id = await w.create();
  const primary = w.primary(id);
  const replica = w.store.instances(id).find((each) => each.id !== primary.id);
  assert.ok(replica?.process != null);
  process.kill(replica.process.pid, 'SIGSTOP');
  await w.databases.detach();
  await w.node.kill(replica.process, HEAL_MS);
  const stranger = await taken(replica.busPort, replica.host);
  t.after(() => stranger.close());
  await w.restart();
  const said = () => w.logged().filter((line) => line.includes('port-taken'));
  await eventually('said three times', () => said().length >= 3, HEAL_MS);
  assert.match(said()[0] ?? '', new RegExp(`Port ${replica.busPort} `));
  assert.deepEqual(
    readdirSync(dirname(replica.dataDir)).filter((name) => name.includes('.')),
    [],
    'files were moved',
  );
  await new Promise((resolve) => stranger.close(resolve));
  await w.settled(id);
});
