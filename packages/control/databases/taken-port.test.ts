/** A stranger takes a port of an engine while that engine is away. */
import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:net';
import { type TestContext, test } from 'node:test';
import { eventually } from '../../engine/testing.ts';
import type { InstanceRecord } from '../store/index.ts';
import { ORDERLY, type World, world } from './testing.ts';

const HEAL_MS = 30_000;
const COMMAND_MS = 5_000;

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

async function readsAgain(w: World, id: string): Promise<void> {
  await w.settled(id);
  const link = await w.link(w.primary(id));
  assert.equal(String(await link.command(['GET', 'k'], COMMAND_MS)), 'kept');
  link.close();
}

async function withKey(t: TestContext, policy: 'OSSCluster' | 'NoCluster') {
  const w = await world(t);
  const id = await w.create({ policy });
  const primary = w.primary(id);
  const replica = w.store.instances(id).find((each) => each.id !== primary.id);
  assert.ok(replica?.process != null);
  const link = await w.link(primary);
  assert.equal(String(await link.command(['SET', 'k', 'kept'], COMMAND_MS)), 'OK');
  assert.equal(Number(await link.command(['WAIT', '1', '2000'], COMMAND_MS)), 1);
  link.close();
  return { w, id, primary, replica };
}

/** Every port of it is another one, it is recorded and claimed, and somebody was told who has the old one. */
function moved(w: World, id: string, before: InstanceRecord): void {
  const now = w.store.instance(before.id);
  assert.ok(now !== null, 'it is still the same instance');
  for (const name of ['port', 'busPort'] as const) {
    if (before[name] === 0) continue;
    assert.notEqual(now[name], before[name]);
    assert.equal(w.store.portOwner(now[name]), `${id}/${before.id}`);
    assert.equal(w.store.portOwner(before[name]), null);
    const held = new RegExp(`Port ${before[name]} .*process ${process.pid} .*port ${now[name]}`);
    const events = w.store.events({ limit: 100 }).filter((e) => e.reason === 'port-taken');
    assert.ok(
      events.some((event) => held.test(event.message)),
      events.map((event) => event.message).join(),
    );
  }
}

async function takeAll(t: TestContext, { port, busPort, host }: InstanceRecord): Promise<void> {
  for (const each of [port, busPort]) {
    if (each === 0) continue;
    const stranger = await taken(each, host);
    t.after(() => stranger.close());
  }
}

for (const policy of ['OSSCluster', 'NoCluster'] as const) {
  test(`${policy}: a copy, then all copies find their ports taken, and start at others`, async (t) => {
    const { w, id, primary, replica } = await withKey(t, policy);
    assert.ok(replica.process !== null);
    // Away until its ports are taken.
    process.kill(replica.process.pid, 'SIGSTOP');
    await w.databases.detach();
    await w.node.kill(replica.process, HEAL_MS);
    await takeAll(t, replica);
    await w.restart();
    await eventually(
      'its death is recorded',
      () => w.store.instance(replica.id)?.process?.pid !== replica.process?.pid,
      HEAL_MS,
    );
    await readsAgain(w, id);
    moved(w, id, replica);
    assert.equal(w.store.instance(primary.id)?.port, primary.port, 'the other one stayed');
    const [first, second] = w.store.instances(id);
    assert.ok(first !== undefined && second !== undefined);
    assert.equal((await w.databases.stop(ORDERLY)).saved, 1);
    for (const each of [first, second]) await takeAll(t, each);
    await w.restart();
    await readsAgain(w, id);
    for (const each of [first, second]) moved(w, id, each);
  });
}
