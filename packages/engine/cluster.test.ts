/** Clusters from prepared files, on real engines: births, fences and strangers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RespError } from '../resp/index.ts';
import type { ClusterMember, EngineLaunch } from './contract.ts';
import { engineLogTail } from './testing/log-tail.ts';
import {
  type EngineRoom,
  engineRoom,
  eventually,
  freePorts,
  type RunningEngine,
  testCertificates,
} from './testing.ts';

const MS = 2000;
const ALL: ClusterMember['slots'] = [[0, 16383]];

interface Pair {
  readonly primary: EngineLaunch;
  readonly replica: EngineLaunch;
}

function member(launch: EngineLaunch, primaryId: string | null, epoch: number): ClusterMember {
  const { instance: id, host, port, busPort } = launch;
  return { id, host, port, busPort, primaryId, epoch, slots: primaryId === null ? ALL : [] };
}

/** One shard: launches of a primary and its replica that know each other. */
async function pair(room: EngineRoom): Promise<Pair> {
  const a = await room.launch();
  const b = await room.launch();
  const members = [member(a, null, 1), member(b, a.instance, 1)];
  return {
    primary: { ...a, role: { kind: 'cluster', members, myself: a.instance } },
    replica: { ...b, role: { kind: 'cluster', members, myself: b.instance } },
  };
}

async function startPair(
  room: EngineRoom,
  launches: Pair,
): Promise<{ old: RunningEngine; now: RunningEngine }> {
  const [old, now] = await Promise.all([
    room.start(launches.primary),
    room.start(launches.replica),
  ]);
  await now.link.takeover(MS);
  return { old, now };
}

async function firstSet(engine: RunningEngine): Promise<void> {
  await eventually('the first SET is accepted', async () => {
    return (await engine.link.command(['SET', 'first', '1'], MS)) === 'OK';
  });
}

async function inSync(replica: RunningEngine, keys: number): Promise<void> {
  await eventually('the replica is in sync', async () => {
    const facts = await replica.link.facts(MS);
    return facts.role === 'replica' && facts.link === 'up' && !facts.syncing && facts.keys === keys;
  });
}

test('a pair born from prepared files serves well under a second, and the other follows', async (t) => {
  const room = await engineRoom(t);
  const launches = await pair(room);
  const started = performance.now();
  const { old, now } = await startPair(room, launches);
  await firstSet(now);
  const ms = performance.now() - started;
  t.diagnostic(`two process starts to the first SET: ${Math.round(ms)} ms`);
  assert.ok(ms < 1500, `${ms} ms: as slow as a booting primary`);

  await inSync(old, 1);
  const facts = await now.link.facts(MS);
  assert.equal(facts.role, 'primary');
  assert.equal(facts.cluster?.state, 'ok');
  assert.equal(facts.cluster.myId, launches.replica.instance);
  assert.deepEqual(facts.cluster.slots, [[0, 16383]]);
  assert.equal(facts.cluster.nodes.length, 2);
  assert.ok(facts.cluster.epoch > 1);
  assert.equal(facts.followers.length, 1);
  assert.equal(facts.followers[0]?.port, launches.primary.port);
  const followed = await old.link.facts(MS);
  assert.equal(
    followed.cluster?.epoch,
    facts.cluster.epoch,
    'a replica reports the epoch of its primary',
  );
  assert.equal(followed.replicationId, facts.replicationId);
  const shown = await now.link.command(['CLUSTER', 'SLOTS'], MS);
  assert.match(
    JSON.stringify(shown, (_, v) => (v?.type === 'Buffer' ? Buffer.from(v.data).toString() : v)),
    /"localhost"/,
  );
});

test('who has not heard of a takeover refuses to follow; an introduction is enough', async (t) => {
  const room = await engineRoom(t);
  const [a, b] = [await room.launch(), await room.launch()];
  const [nowhere = 0] = await freePorts(1);
  // Each knows the other's name and not its way: news cannot reach it.
  const seenBy = (who: EngineLaunch): ClusterMember[] =>
    [member(a, null, 1), member(b, a.instance, 1)].map((each) =>
      each.id === who.instance ? each : { ...each, busPort: nowhere },
    );
  const { old, now } = await startPair(room, {
    primary: { ...a, role: { kind: 'cluster', members: seenBy(a), myself: a.instance } },
    replica: { ...b, role: { kind: 'cluster', members: seenBy(b), myself: b.instance } },
  });
  const primary = { id: b.instance, host: b.host, port: b.port };
  await assert.rejects(old.link.follow(primary, MS), {
    code: 'engine-refused',
    message: /CLUSTER REPLICATE.*only replicate a (master|primary), not a replica/,
  });
  await old.link.meet(b.host, b.port, b.busPort, MS);
  await eventually('it heard, and follows', async () => {
    await old.link.follow(primary, MS).catch(() => undefined);
    const facts = await old.link.facts(MS);
    return facts.role === 'replica' && facts.link === 'up';
  });
  assert.equal((await now.link.facts(MS)).role, 'primary');
});

test('the other reasons not to follow: a stranger, itself, and slots or data of its own', async (t) => {
  const room = await engineRoom(t);
  const [a, b] = [await room.launch(), await room.launch()];
  const members: ClusterMember[] = [
    { ...member(a, null, 1), slots: [[0, 99]] },
    { ...member(b, null, 2), slots: [[100, 16383]] },
  ];
  const [owner] = await Promise.all(
    [a, b].map((each) =>
      room.start({ ...each, role: { kind: 'cluster', members, myself: each.instance } }),
    ),
  );
  assert.ok(owner);
  const at = { host: b.host, port: b.port };
  const refused = (id: string, message: RegExp) =>
    assert.rejects(owner.link.follow({ ...at, id }, MS), { code: 'engine-refused', message });
  await refused('f'.repeat(40), /Unknown node/);
  await refused(a.instance, /Can't replicate myself/);
  await refused(b.instance, /must be empty and without assigned slots/);
  // No introduction helps here: such a one believes that it is primary itself, and has to start anew.
  await owner.link.meet(b.host, b.port, b.busPort, MS);
  await refused(b.instance, /must be empty and without assigned slots/);
});

test('a primary that died comes back as a follower, accepts nothing and wipes nobody', async (t) => {
  const room = await engineRoom(t);
  const launches = await pair(room);
  const { old: survivor, now } = await startPair(room, launches);
  await firstSet(now);
  await inSync(survivor, 1);
  await room.node.kill(now.process, MS);
  await survivor.link.takeover(MS);
  await firstSet(survivor);
  const epoch = (await survivor.link.facts(MS)).cluster?.epoch ?? 0;
  assert.ok(epoch > 2);

  // The worst case of engine rule 1: the new primary cannot be asked while the old one comes back.
  process.kill(survivor.process.pid, 'SIGSTOP');
  const members = [
    member(launches.primary, null, epoch),
    member(launches.replica, launches.primary.instance, epoch),
  ];
  const again = await room.start({
    ...launches.replica,
    role: { kind: 'cluster', members, myself: launches.replica.instance },
  });
  const asked = performance.now();
  let refused = 0;
  await eventually('it has been asked for as long as a booting primary needs', async () => {
    const reply = await again.link.command(['SET', 'x', '1'], MS);
    assert.ok(reply instanceof RespError, 'a fenced engine accepted a write');
    assert.match(reply.code, /^(?:MOVED|CLUSTERDOWN|LOADING|MASTERDOWN)$/);
    refused++;
    return performance.now() - asked > 2500;
  });
  t.diagnostic(`${refused} of ${refused} writes refused in 2.5 s`);
  process.kill(survivor.process.pid, 'SIGCONT');
  await inSync(again, 1);
  assert.equal((await survivor.link.facts(MS)).keys, 1);

  // And once more the other way round: now the file names another primary than at birth.
  await room.node.kill(survivor.process, MS);
  await again.link.takeover(MS);
  await firstSet(again);
  const later = (await again.link.facts(MS)).cluster?.epoch ?? 0;
  const back = await room.start({
    ...launches.primary,
    role: {
      kind: 'cluster',
      members: [
        member(launches.replica, null, later),
        member(launches.primary, launches.replica.instance, later),
      ],
      myself: launches.primary.instance,
    },
  });
  await inSync(back, 1);
  const ids = await Promise.all(
    [again, back].map((engine) => engine.link.command(['CLUSTER', 'MYSHARDID'], MS)),
  );
  assert.equal(String(ids[0]), String(ids[1]), 'both agree on the id of their shard');
  // Still one shard to both of them: another change of roles is followed.
  await back.link.takeover(MS);
  await firstSet(back);
  await inSync(again, 1);
});

test('who takes over without some slots of its primary claims the others, and those of them that have keys', async (t) => {
  const room = await engineRoom(t);
  const launches = await pair(room);
  const { old, now } = await startPair(room, launches);
  await firstSet(now);
  await inSync(old, 1);
  // What it has not heard of: that the upper half is somebody else's by now.
  await old.link.takeover(MS, [[8192, 16383]]);
  const { cluster } = await old.link.facts(MS);
  const first = 11_149; // the slot of the one key
  assert.deepEqual(cluster?.slots, [
    [0, 8191],
    [first, first],
  ]);
  await eventually('the other one lets go of what is claimed, and of nothing else', async () => {
    const left = (await now.link.facts(MS)).cluster?.slots;
    return (
      JSON.stringify(left) ===
      JSON.stringify([
        [8192, first - 1],
        [first + 1, 16383],
      ])
    );
  });
});

test('two shards, without anybody meeting: each knows both, and slots are split', async (t) => {
  const room = await engineRoom(t);
  const launches = await Promise.all([room.launch(), room.launch(), room.launch(), room.launch()]);
  const [a, b, c, d] = launches;
  assert.ok(a && b && c && d);
  const members: ClusterMember[] = [
    { ...member(a, null, 1), slots: [[0, 8191]] },
    { ...member(b, a.instance, 1) },
    { ...member(c, null, 2), slots: [[8192, 16383]] },
    { ...member(d, c.instance, 2) },
  ];
  const start = (launch: EngineLaunch): Promise<RunningEngine> =>
    room.start({ ...launch, role: { kind: 'cluster', members, myself: launch.instance } });
  const [ea, eb, ec, ed] = await Promise.all(launches.map(start));
  assert.ok(ea && eb && ec && ed);
  await Promise.all([eb.link.takeover(MS), ed.link.takeover(MS)]);
  // foo: slot 12182, bar: slot 5061
  await eventually('both shards serve', async () => {
    const [x, y] = await Promise.all([
      eb.link.command(['SET', 'bar', '1'], MS),
      ed.link.command(['SET', 'foo', '1'], MS),
    ]);
    return x === 'OK' && y === 'OK';
  });
  await inSync(ea, 1);
  await inSync(ec, 1);
  const view = await eventually('everybody sees the new primaries', async () => {
    const cluster = (await ea.link.facts(MS)).cluster;
    const primaries = cluster?.nodes
      .filter((node) => node.primaryId === null)
      .map((node) => node.id);
    return primaries?.sort().join() === [b.instance, d.instance].sort().join() ? cluster : null;
  });
  assert.deepEqual(view?.nodes.find((node) => node.id === d.instance)?.slots, [[8192, 16383]]);
});

test('a stranger at the bus is not admitted, whatever it claims', async (t) => {
  const room = await engineRoom(t);
  const launches = await pair(room);
  const { old, now } = await startPair(room, launches);
  await firstSet(now);
  await inSync(old, 1);

  // Same machine, a certificate of its own CA, a higher epoch, all the slots: everything but the CA's key.
  const tls = await testCertificates(`${room.folder}/rogue-tls`, 'rogue');
  const launch = await room.launch({ tls });
  const rogue = await room.start({
    ...launch,
    role: { kind: 'cluster', members: [member(launch, null, 100)], myself: launch.instance },
  });
  for (const victim of [launches.primary, launches.replica]) {
    await rogue.link.meet('127.0.0.1', victim.port, victim.busPort, MS);
  }
  // It keeps trying; the victims' own count of nodes is what tells. Long enough for many attempts.
  const until = performance.now() + 1500;
  await eventually('the rogue has tried for a while', async () => {
    for (const engine of [now, old]) {
      const facts = await engine.link.facts(MS);
      assert.equal(facts.cluster?.nodes.length, 2, 'a stranger was admitted');
      assert.equal(facts.keys, 1);
    }
    return performance.now() > until;
  });
  assert.equal((await now.link.facts(MS)).role, 'primary');
  assert.equal(await now.link.command(['SET', 'still', 'ours'], MS), 'OK');
  // The same meeting between relatives works: the refusal above is the certificate's doing.
  const friend = await room.launch();
  const relative = await room.start({
    ...friend,
    role: {
      kind: 'cluster',
      members: [{ ...member(friend, null, 0), slots: [] }],
      myself: friend.instance,
    },
  });
  await relative.link.meet('127.0.0.1', launches.replica.port, launches.replica.busPort, MS);
  await eventually('the relative is admitted', async () => {
    return (await now.link.facts(MS)).cluster?.nodes.length === 3;
  });
  await now.link.forget(friend.instance, MS);
  await now.link.forget('f'.repeat(40), MS);
});

test('who has not heard from a member yet sends clients to its name all the same', async (t) => {
  const room = await engineRoom(t);
  const [a, b, away] = [await room.launch(), await room.launch(), await room.launch()];
  const members = [
    { ...member(a, null, 1), slots: [[0, 8191]] as const },
    member(b, a.instance, 1),
    // Never started: nothing is ever heard from it.
    { ...member(away, null, 2), slots: [[8192, 16383]] as const },
  ];
  const start = (launch: EngineLaunch) =>
    room.start({ ...launch, role: { kind: 'cluster', members, myself: launch.instance } });
  const [, second] = await Promise.all([start(a), start(b)]);
  await second.link.takeover(MS);
  const moved = await second.link.command(['GET', 'foo'], MS);
  assert.match(String(moved), /MOVED 12182 localhost:/);
});

test('a newcomer that introduces itself has connections both ways, and none is dropped', async (t) => {
  const room = await engineRoom(t);
  const [a, b] = [await room.launch(), await room.launch()];
  const members = (...launches: EngineLaunch[]) =>
    launches.map((launch, i) => ({ ...member(launch, null, i + 1), slots: i === 0 ? ALL : [] }));
  const start = (launch: EngineLaunch, known: ClusterMember[]) =>
    room.start({
      ...launch,
      role: { kind: 'cluster', members: known, myself: launch.instance },
      // As in a cache of one or two shards: what is dropped comes back after half a minute.
      settings: { 'cluster-node-timeout': '600000' },
    });
  const first = await start(a, members(a));
  const second = await start(b, members(a, b));
  await second.link.meet(a.host, a.port, a.busPort, MS);
  const linksOf = async (engine: RunningEngine, to: EngineLaunch) => {
    const links = (await engine.link.command(['CLUSTER', 'LINKS'], MS)) as unknown[][];
    return links.filter((link) => link.map(String).includes(to.instance)).length;
  };
  await eventually('both have two connections', async () => {
    return (await linksOf(first, b)) === 2 && (await linksOf(second, a)) === 2;
  });
  await eventually('they have talked since', async () => {
    const info = String(await second.link.command(['CLUSTER', 'INFO'], MS));
    return Number(/pong_received:(\d+)/.exec(info)?.[1] ?? 0) > 2;
  });
  assert.deepEqual([await linksOf(first, b), await linksOf(second, a)], [2, 2]);
  for (const { dataDir } of [a, b]) {
    assert.doesNotMatch(await engineLogTail(dataDir), /Address updated/);
  }
});
