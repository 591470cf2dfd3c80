/** Processes of the endpoint that are there and do nothing: ended, and followed by others. */
import assert from 'node:assert/strict';
import { suite, type TestContext, test } from 'node:test';
import { engineRoom, eventually, TEST_PASSWORDS } from '../../engine/testing.ts';
import type { LocalFleet } from './fleet.ts';
import { alive } from './launch.ts';
import {
  fleetRoom,
  guardSupervisor,
  instanceOf,
  RawClient,
  shardOf,
  startedFleet,
  viewOf,
} from './testing.ts';

/** Seconds of silence, and as long again for a slow machine and a start. */
const HEAL_MS = 30_000;

/** A database of one shard behind so many workers, at epoch 1. */
async function serving(t: TestContext, workers: number) {
  const engines = await engineRoom(t);
  const engine = await engines.start(await engines.launch());
  const room = fleetRoom(t);
  const fleet = await startedFleet(room, workers);
  const view = await viewOf(shardOf(instanceOf(engine)));
  await fleet.publish(1, [view]);
  return { room, fleet, view };
}

async function login(port: number): Promise<string> {
  const client = await new RawClient(port).ready();
  try {
    return await client.ask('AUTH', TEST_PASSWORDS.default);
  } finally {
    client.close();
  }
}

function pidsOf(fleet: LocalFleet): number[] {
  return fleet.status().workers.map(({ pid }) => pid);
}

suite('endpoint processes that hang', { concurrency: true }, () => {
  test('a worker: ended and replaced, so that a change reaches everybody, new clients too', async (t) => {
    const { room, fleet, view } = await serving(t, 2);
    const [hung = 0, other] = pidsOf(fleet);
    process.kill(hung, 'SIGSTOP');
    await fleet.publish(2, [view]);
    await eventually(
      'it is gone, and another is there',
      () => {
        const { workers } = fleet.status();
        const serving = workers.filter(({ state, epoch }) => state === 'serving' && epoch === 2);
        return !alive(hung) && serving.length === 2;
      },
      HEAL_MS,
    );
    assert.ok(pidsOf(fleet).includes(other ?? 0), 'the other one went on');
    assert.match(room.said.join('\n'), new RegExp(`worker-died: ${hung}: hung: .*stopped`));
    for (let i = 0; i < 8; i += 1) assert.equal(await login(view.port), '+OK\r\n');
  });

  test('the supervisor: noticed by the lease that it does not take, and followed by another', async (t) => {
    const { room, fleet, view } = await serving(t, 1);
    const hung = fleet.status().supervisor ?? 0;
    const client = await new RawClient(view.port).ready();
    t.after(() => client.close());
    assert.equal(await client.ask('AUTH', TEST_PASSWORDS.default), '+OK\r\n');
    process.kill(hung, 'SIGSTOP');
    fleet.renewLease([]);
    assert.equal(await client.ask('PING'), '+PONG\r\n', 'it is served');
    await eventually(
      'another supervisor is there',
      () => {
        const { supervisor, workers } = fleet.status();
        return supervisor !== null && supervisor !== hung && workers[0]?.state === 'serving';
      },
      HEAL_MS,
    );
    guardSupervisor(room, fleet);
    assert.equal(alive(hung), false);
    assert.match(room.said.join('\n'), new RegExp(`supervisor-hung: ${hung}: `));
    await fleet.publish(2, [view]);
    assert.equal(await login(view.port), '+OK\r\n');
  });

  test('a supervisor that hangs when the control process starts', async (t) => {
    const { room, fleet: first, view } = await serving(t, 1);
    const hung = first.status().supervisor ?? 0;
    first.detach();
    process.kill(hung, 'SIGSTOP');
    const fleet = await startedFleet(room, 1);
    assert.equal(alive(hung), false);
    assert.match(room.said.join('\n'), new RegExp(`supervisor-hung: ${hung}: `));
    await fleet.publish(2, [view]);
    assert.equal(await login(view.port), '+OK\r\n');
  });
});
