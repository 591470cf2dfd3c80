/**
 * Order on each key over cluster clients, with all kinds of calls, while connections to its nodes are cut at random
 * bytes, or slots move: see testing/orders.ts.
 */
import assert from 'node:assert/strict';
import { after, before, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { clusterKinds, type Kind } from '../testing/clients.ts';
import { type Home, homesOf, loadInDisorder } from '../testing/orders.ts';
import { type FaultProxy, startProxy } from '../testing/proxy.ts';
import { ask, startCluster, type TestCluster } from '../testing/server.ts';

const GIVEN = process.env['CINNABAR_TEST_SEEDS']?.split(',').map(Number);
/** 13, 16, 36, 110 and 118 once left calls behind: their replies were cut within the last two bytes. */
const SEEDS = GIVEN ?? [1, 13, 118];
/** Every day two are enough for these. */
const FEW = GIVEN ?? SEEDS.slice(0, 2);

/** One for all: a new cluster refuses everything for its first two seconds. */
let cluster: TestCluster;
before(async () => {
  cluster = await startCluster(2);
});
after(() => cluster?.stop());

let cases = 0;

/** Of keys that no other case has: what a connection that was cut has left in a node's hands may run late. */
function ownHomes(): Promise<Home[]> {
  cases += 1;
  return homesOf(cluster.ports, `case${cases}-`);
}

/** Of each library: where a client goes instead of the address that a node has told. */
function through(kind: Kind, ports: readonly number[], relays: readonly FaultProxy[]): object {
  const places = ports.map((port, i) => [
    `127.0.0.1:${port}`,
    { host: '127.0.0.1', port: relays[i]?.port ?? 0 },
  ]);
  return { [kind.library === 'redis' ? 'nodeAddressMap' : 'natMap']: Object.fromEntries(places) };
}

async function run(t: TestContext, kind: Kind, seed: number): Promise<void> {
  const { ports } = cluster;
  const homes = await ownHomes();
  const relays = await Promise.all(ports.map((port) => startProxy(port)));
  t.after(() => Promise.all(relays.map((relay) => relay.stop())));
  const fault = (rand: () => number): void => {
    const relay = relays[Math.floor(rand() * relays.length)] as FaultProxy;
    const dice = rand();
    // In the middle of a request, or of a reply.
    if (dice < 0.35) return relay.cutAt(1 + Math.floor(rand() * 2_000), 'client');
    if (dice < 0.6) return relay.cutAt(1 + Math.floor(rand() * 500), 'server');
    // What is written and not answered, or not even written.
    if (dice < 0.75) relay.mute();
    else if (dice < 0.9) relay.stall();
    setTimeout(() => {
      relay.cut();
      relay.resume();
    }, rand() * 15);
  };
  const more = { ...through(kind, ports, relays) };
  const entries = relays.map((relay) => relay.port);
  t.diagnostic(await loadInDisorder(kind, () => kind.make(entries, more), seed, fault, homes));
}

/** Gives the slot of a home to the next node, key by key, as `valkey-cli --cluster reshard` does. */
async function move(home: Home, ports: readonly number[]): Promise<void> {
  const from = home.port;
  const to = ports[(ports.indexOf(from) + 1) % ports.length] ?? 0;
  const slot = /\d+/.exec(await ask(from, 'CLUSTER', 'KEYSLOT', home.tag))?.[0] ?? '';
  const idOf = async (port: number): Promise<string> =>
    /[0-9a-f]{40}/.exec(await ask(port, 'CLUSTER', 'MYID'))?.[0] ?? '';
  await ask(to, 'CLUSTER', 'SETSLOT', slot, 'IMPORTING', await idOf(from));
  await ask(from, 'CLUSTER', 'SETSLOT', slot, 'MIGRATING', await idOf(to));
  for (;;) {
    const key = (await ask(from, 'CLUSTER', 'GETKEYSINSLOT', slot, '1')).split('\r\n')[2];
    if (key === undefined) break;
    const moved = await ask(from, 'MIGRATE', '127.0.0.1', String(to), key, '0', '5000');
    assert.match(moved, /^\+/);
    await sleep(2);
  }
  for (const port of [to, from])
    await ask(port, 'CLUSTER', 'SETSLOT', slot, 'NODE', await idOf(to));
  home.port = to;
  // Back at once, it would come upon calls that a node has just sent to the other one.
  await sleep(50);
}

async function runMoving(t: TestContext, kind: Kind, seed: number): Promise<void> {
  const { ports } = cluster;
  const homes = await ownHomes();
  const first = homes.map(({ port }) => port);
  // The next case has its slots where a new cluster has them.
  t.after(async () => {
    await moving;
    for (const [i, home] of homes.entries()) if (home.port !== first[i]) await move(home, ports);
  });
  let moves = 0;
  let under = 0;
  let moving = Promise.resolve();
  const fault = (rand: () => number): void => {
    const home = homes[Math.floor(rand() * homes.length)] as Home;
    // One always, and not a row of them that goes on for long after the load.
    if (under > 1) return;
    moves += 1;
    under += 1;
    moving = moving.then(async () => {
      await move(home, ports);
      under -= 1;
    });
  };
  const said = await loadInDisorder(
    kind,
    () => kind.make(ports),
    seed,
    fault,
    homes,
    () => moving,
  );
  t.diagnostic(`${said}; ${moves} moves`);
}

for (const kind of clusterKinds)
  for (const seed of kind.library === 'redis' ? FEW : SEEDS)
    test(`${kind.name}, cuts, seed ${seed}`, (t) => run(t, kind, seed));

for (const kind of clusterKinds)
  for (const seed of FEW)
    test(`${kind.name}, slots move, seed ${seed}`, (t) => runMoving(t, kind, seed));
