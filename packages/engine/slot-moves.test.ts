/** A batch of slots whose new owner is not heard on the bus, on real engines. */
import assert from 'node:assert/strict';
import { connect, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import type { ClusterMember, SlotRange } from './contract.ts';
import { engineRoom, eventually, freePorts } from './testing.ts';

const MS = 2_000;
const HALF: SlotRange = [0, 8_191];
const ALL: SlotRange = [0, 16_383];

/** The way to an engine's bus, that can be blocked: what is sent stays on the way. */
async function way(t: TestContext, port: number, to: number) {
  const sockets = new Set<Socket>();
  let open = true;
  const server = createServer((from) => {
    const there = connect(to, '127.0.0.1');
    for (const [socket, other] of [
      [from, there],
      [there, from],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => other.destroy()).on('close', () => other.destroy());
      socket.pipe(other);
      if (!open) socket.unpipe(other);
    }
  });
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  await new Promise<void>((done) => server.listen(port, '127.0.0.1', done));
  return {
    block() {
      open = false;
      for (const socket of sockets) socket.unpipe();
    },
  };
}

test('a source that has missed its target’s claim holds its writes, and hears it with an introduction', async (t) => {
  const room = await engineRoom(t);
  const [launchA, launchB] = [await room.launch(), await room.launch()];
  const [wayA = 0, wayB = 0] = await freePorts(2);
  const ways = [await way(t, wayA, launchA.busPort), await way(t, wayB, launchB.busPort)];
  const members = [
    { launch: launchA, busPort: wayA, slots: [ALL] },
    { launch: launchB, busPort: wayB, slots: [] },
  ].map(({ launch, busPort, slots }, i): ClusterMember => {
    const { instance: id, host, port } = launch;
    return { id, host, port, busPort, primaryId: null, epoch: i + 1, slots };
  });
  const begin = (launch: typeof launchA, busPort: number) =>
    room.start({
      ...launch,
      role: { kind: 'cluster', members, myself: launch.instance },
      settings: {
        'cluster-announce-bus-port': String(busPort),
        'cluster-allow-replica-migration': 'no',
        'cluster-node-timeout': '600000',
      },
    });
  const [a, b] = await Promise.all([begin(launchA, wayA), begin(launchB, wayB)]);
  const moves = async () => (await a.link.slotMoves(MS)) ?? [];
  await eventually('the first SET is accepted', async () => {
    return (await a.link.command(['SET', 'first', '1'], MS)) === 'OK';
  });
  await eventually('they know each other', async () => {
    const known = String(await a.link.command(['CLUSTER', 'LINKS'], MS));
    return known.includes(launchB.instance);
  });
  for (const each of ways) each.block();
  await a.link.moveSlots([HALF], launchB.instance, MS);
  await eventually('the take-over is granted', async () => {
    return (await moves())[0]?.state === 'failover-granted';
  });
  await eventually('the target owns the slots', async () => {
    const { cluster } = await b.link.facts(MS);
    return JSON.stringify(cluster?.slots) === JSON.stringify([HALF]);
  });
  // Nothing but the blocked ways could tell the source.
  assert.equal((await moves())[0]?.state, 'failover-granted');
  assert.deepEqual((await a.link.facts(MS)).cluster?.slots, [ALL]);
  await b.link.meet(launchA.host, launchA.port, launchA.busPort, MS);
  await eventually('the source has heard', async () => {
    return (await moves())[0]?.state === 'success';
  });
  assert.deepEqual((await a.link.facts(MS)).cluster?.slots, [[8_192, 16_383]]);

  // What is left of a slot that is not its own any more: foo is in 12182.
  await a.link.command(['SET', 'foo', '1'], MS);
  await a.link.command(['CLUSTER', 'DELSLOTS', '12182'], MS);
  const keys = (await a.link.facts(MS)).keys;
  await a.link.flushSlots([[12_182, 12_190]], MS);
  assert.equal((await a.link.facts(MS)).keys, keys - 1);
});
