/** What clients see when a shard dies, is held, or moves: on real engines. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../../engine/testing.ts';
import { type ShardView, SWITCHING } from '../control-protocol.ts';
import { HoldExpired } from '../data-path.ts';
import { startProxy } from './testing.ts';
import {
  inSync,
  instance,
  KEY,
  RawClient,
  startShards,
  switchPrimary,
  type TestShard,
} from './testing-engines.ts';

const MS = 3000;

function promoted(shard: TestShard): ShardView {
  const { replica } = shard;
  assert.ok(replica !== null);
  return { ...shard.view, primary: instance(replica), replicas: [] };
}

async function setUp(t: Parameters<typeof startShards>[0], count = 1) {
  const cluster = await startShards(t, count, true);
  const running = await startProxy({ shards: cluster.views, keys: { default: KEY }, workers: 2 });
  t.after(() => running.close());
  return { ...cluster, running };
}

const kill = (pid: number, signal: NodeJS.Signals): void => {
  process.kill(pid, signal);
};

test('a killed primary: new commands wait for the next one, writes in flight are said to be unknown', async (t) => {
  const { shards, running } = await setUp(t);
  const [shard] = shards;
  assert.ok(shard?.replica);
  const a = await RawClient.open(running.port);
  assert.equal(await a.ask('SET', 'k', '1'), '+OK\r\n');
  await eventually(
    'the replica has it',
    async () => (await shard.replica?.link.facts(MS))?.keys === 1,
  );
  // In flight: the engine is stopped, so nothing is answered; then it is killed.
  kill(shard.primary.process.pid, 'SIGSTOP');
  a.send(['INCR', 'k'], ['GET', 'k'], ['GET', 'none']);
  await eventually('it is in flight', () => running.inFlight() >= 3);
  const b = await RawClient.open(running.port);
  kill(shard.primary.process.pid, 'SIGKILL');
  // All of it, by both workers: a connection that ends later than the first still takes commands.
  const { node } = instance(shard.primary);
  await eventually('the loss is seen', () =>
    running.proxies.every(({ world }) =>
      [...(world.topology.first()?.lanes ?? [])].every((l) => l.node !== node || !l.open),
    ),
  );
  b.send(['GET', 'k'], ['SET', 'k2', 'x']);
  await shard.replica.link.takeover(MS);
  running.release('test/0', { node: instance(shard.replica).node, reason: 'promoting' });
  const seen = (await a.settled()).toString();
  const lines = seen.split('\r\n');
  assert.match(lines[0] ?? '', /^-OUTCOMEUNKNOWN .*shard test\/0.*'incr'.*may or may not/);
  // Reads that stood behind it were sent again, and answered in order.
  assert.deepEqual(lines.slice(1), ['$1', '1', '$-1', '']);
  assert.equal((await b.settled()).toString(), '$1\r\n1\r\n+OK\r\n');
});

test('MOVED is followed before the control process says anything', async (t) => {
  const { shards, running } = await setUp(t, 2);
  const a = await RawClient.open(running.port);
  const [shard] = shards;
  assert.ok(shard?.replica);
  const keys = Array.from({ length: 40 }, (_, i) => `key${i}`);
  for (const key of keys) a.send(['SET', key, key]);
  await a.settled();
  await eventually('in sync', async () => {
    const [x, y] = await Promise.all([shard.primary.link.facts(MS), shard.replica?.link.facts(MS)]);
    return x.offset === y?.offset;
  });
  await shard.replica.link.takeover(MS);
  await eventually(
    'the old primary follows',
    async () => (await shard.primary.link.facts(MS)).role === 'replica',
  );
  a.send(
    ...keys.map((key) => ['APPEND', key, '+']),
    ['MGET', ...keys],
    ['EVAL', "return redis.call('get', KEYS[1])", 1, 'key1'],
  );
  a.send(['MULTI'], ['GET', 'key2'], ['EXEC'], ['BLPOP', 'none', '0.05']);
  const seen = (await a.settled()).toString();
  const expected =
    keys.map((key) => `:${key.length + 1}\r\n`).join('') +
    `*${keys.length}\r\n${keys.map((key) => `$${key.length + 1}\r\n${key}+\r\n`).join('')}` +
    '$5\r\nkey1+\r\n+OK\r\n+QUEUED\r\n*1\r\n$5\r\nkey2+\r\n*-1\r\n';
  assert.equal(seen, expected);
});

test('a planned switch under load: no error, nothing lost, nothing twice', async (t) => {
  const { shards, running } = await setUp(t);
  const [shard] = shards;
  assert.ok(shard?.replica);
  const clients = await Promise.all(Array.from({ length: 8 }, () => RawClient.open(running.port)));
  let stop = false;
  const counts = clients.map(() => 0);
  const load = clients.map(async (client, i) => {
    while (!stop) {
      client.send(['INCR', `c${i}`], ['INCR', `c${i}`], ['GET', `c${i}`]);
      const reply = (await client.settled()).toString();
      const n = (counts[i] ?? 0) + 2;
      assert.equal(reply, `:${n - 1}\r\n:${n}\r\n$${String(n).length}\r\n${n}\r\n`);
      counts[i] = n;
    }
  });
  let [from, to] = [shard.primary, shard.replica];
  for (let round = 0; round < 6; round++) {
    await inSync(to);
    const expected = round % 4 === 0;
    if (expected) await running.prepare('test/0');
    await running.hold('test/0', performance.now() + 4000);
    await switchPrimary(from, to);
    if (expected) running.expect('test/0', { node: instance(to).node, reason: SWITCHING });
    const snapshot = { ...shard.view, primary: instance(to), replicas: [instance(from)] };
    // By one word, which a snapshot follows, and which was expected or not; or by the snapshot.
    const byWord = round % 2 === 0;
    if (!byWord) running.apply({ shards: [snapshot] });
    running.release('test/0', byWord ? { node: instance(to).node, reason: SWITCHING } : undefined);
    if (byWord) running.apply({ shards: [snapshot] });
    [from, to] = [to, from];
    const before = counts.reduce((a, b) => a + b, 0);
    await eventually('the load goes on', () => counts.reduce((a, b) => a + b, 0) > before + 50);
  }
  stop = true;
  await Promise.all(load);
});

test('a hold that is not quiet in time rejects and lets go', async (t) => {
  const { shards, running } = await setUp(t);
  const [shard] = shards;
  assert.ok(shard);
  const a = await RawClient.open(running.port);
  kill(shard.primary.process.pid, 'SIGSTOP');
  a.send(['SET', 'x', '1']);
  await eventually('in flight', () => running.inFlight() >= 1);
  await assert.rejects(running.hold('test/0', performance.now() + 60), HoldExpired);
  kill(shard.primary.process.pid, 'SIGCONT');
  assert.equal((await a.settled()).toString(), '+OK\r\n');
});

test('one hung shard delays only its own keys', async (t) => {
  const { shards, running } = await setUp(t, 2);
  const owner = (key: string): Promise<string> => a.ask('CLUSTER', 'KEYSLOT', key);
  const a = await RawClient.open(running.port);
  const b = await RawClient.open(running.port);
  const c = await RawClient.open(running.port);
  const slot = Number((await owner('foo')).slice(1));
  const hung = slot < 8192 ? 0 : 1;
  const pid = shards[hung]?.primary.process.pid ?? 0;
  let other = 'a';
  for (let i = 0; ; i++) {
    other = `k${i}`;
    const mine = Number((await owner(other)).slice(1)) < 8192 ? 0 : 1;
    if (mine !== hung) break;
  }
  kill(pid, 'SIGSTOP');
  b.send(['SET', 'foo', '1']);
  const began = performance.now();
  for (let i = 0; i < 50; i++) assert.equal(await c.ask('SET', other, String(i)), '+OK\r\n');
  assert.ok(performance.now() - began < 2000);
  kill(pid, 'SIGCONT');
  assert.equal((await b.settled()).toString(), '+OK\r\n');
});

test('WATCH over a change of primary: EXEC answers null', async (t) => {
  const { shards, running } = await setUp(t);
  const [shard] = shards;
  assert.ok(shard?.replica);
  const a = await RawClient.open(running.port);
  assert.equal(await a.ask('WATCH', 'k'), '+OK\r\n');
  await shard.replica.link.takeover(MS);
  await eventually('demoted', async () => (await shard.primary.link.facts(MS)).role === 'replica');
  running.apply({ shards: [promoted(shard)] });
  a.send(
    ['MULTI'],
    ['SET', 'k', '1'],
    ['EXEC'],
    ['GET', 'k'],
    ['MULTI'],
    ['SET', 'k', '2'],
    ['EXEC'],
  );
  assert.equal(
    (await a.settled()).toString(),
    '+OK\r\n+QUEUED\r\n*-1\r\n$-1\r\n+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n',
  );
});

test('scripts are there after a change of primary', async (t) => {
  const { shards, running } = await setUp(t);
  const [shard] = shards;
  assert.ok(shard?.replica);
  const a = await RawClient.open(running.port);
  const sha =
    (await a.ask('SCRIPT', 'LOAD', "return redis.call('incr', KEYS[1])")).split('\r\n')[1] ?? '';
  assert.equal(await a.ask('EVALSHA', sha, 1, 'n'), ':1\r\n');
  await eventually('in sync', async () => (await shard.replica?.link.facts(MS))?.keys === 1);
  await shard.replica.link.takeover(MS);
  running.apply({ shards: [promoted(shard)] });
  a.send(['EVALSHA', sha, 1, 'n'], ['GET', 'n'], ['MULTI'], ['EVALSHA', sha, 1, 'n'], ['EXEC']);
  assert.equal((await a.settled()).toString(), ':2\r\n$1\r\n2\r\n+OK\r\n+QUEUED\r\n*1\r\n:3\r\n');
});
