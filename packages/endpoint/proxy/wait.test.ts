/** WAIT: answers for the client's own earlier writes, whatever became of a replica. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { eventually } from '../../engine/testing.ts';
import { SPARE_LANES } from './limits.ts';
import { startProxy, WORKER_COUNTS } from './testing.ts';
import { KEY, RawClient, startShards, type TestShards } from './testing-engines.ts';

test('WAIT tells the truth', async (t) => {
  const cluster = await startShards(t, 1, true);
  for (const workers of WORKER_COUNTS) {
    await t.test(`${workers} worker(s)`, (part) => waits(part, cluster, workers));
  }
});

test('WAIT of many clients over two shards: each is answered for its own writes', async (t) => {
  const { views } = await startShards(t, 2, true);
  const running = await startProxy({ shards: views, keys: { default: KEY } });
  t.after(() => running.close());
  const clients = await Promise.all(Array.from({ length: 16 }, () => RawClient.open(running.port)));
  await Promise.all(
    clients.map(async (client, i) => {
      for (let round = 0; round < 60; round++) {
        const sets = [0, 1, 2].map((n) => ['SET', `${i}:${round}:${n}`, 'v']);
        client.send(...sets, ['WAIT', '1', '5000']);
        // Not all wait for each write at once.
        const asked = round % 4 === i % 4;
        if (asked) client.send(['SET', `${i}:${round}`, 'v']);
        const replies = (await client.settled()).toString();
        assert.equal(replies, `+OK\r\n+OK\r\n+OK\r\n:1\r\n${asked ? '+OK\r\n' : ''}`);
        if (asked) assert.equal(await client.ask('WAIT', '1', '5000'), ':1\r\n');
      }
    }),
  );
  const lanes = running.proxy.world.topology.shards.map(({ lanes: { size } }) => size);
  for (const count of lanes) assert.ok(count <= SPARE_LANES + clients.length, `${count} lanes`);
});

test('WAIT for a transaction stands behind nobody who blocks', async (t) => {
  const { views } = await startShards(t, 1, true);
  const running = await startProxy({ shards: views, keys: { default: KEY } });
  t.after(() => running.close());
  const [writer, other] = await Promise.all([
    RawClient.open(running.port),
    RawClient.open(running.port),
  ]);
  assert.equal(await writer.ask('WATCH', 'x'), '+OK\r\n');
  writer.send(['MULTI'], ['SET', 'x', '1'], ['EXEC']);
  assert.match((await writer.settled()).toString(), /\*1\r\n\+OK\r\n$/);
  const blocked = other.ask('BLPOP', 'none', '6');
  await eventually('it blocks', async () =>
    (await writer.ask('INFO', 'clients')).includes('blocked_clients:1'),
  );
  const began = performance.now();
  assert.equal(await writer.ask('WAIT', '1', '2000'), ':1\r\n');
  assert.ok(performance.now() - began < 4000);
  await writer.ask('RPUSH', 'none', 'e');
  assert.match(await blocked, /none/);
});

test('a write that wrote nothing, on another lane, hides nothing', async (t) => {
  const { shards, views } = await startShards(t, 1, true);
  const running = await startProxy({ shards: views, keys: { default: KEY } });
  t.after(() => running.close());
  const [a, other] = await Promise.all([
    RawClient.open(running.port),
    RawClient.open(running.port),
  ]);
  const lanes = running.proxy.world.topology.shards[0]?.lanes ?? assert.fail();
  const pid = shards[0]?.replica?.process.pid ?? assert.fail();
  process.kill(pid, 'SIGSTOP');
  assert.equal(await a.ask('SET', 'x', '1'), '+OK\r\n');
  assert.equal(await other.ask('SET', 'y', '1'), '+OK\r\n');
  const waiting = other.ask('WAIT', '1', '20000');
  await eventually('it waits', () => [...lanes].some((lane) => lane.waits > 0));
  assert.equal(await a.ask('DEL', 'none'), ':0\r\n');
  assert.equal(await a.ask('WAIT', '1', '200'), ':0\r\n');
  assert.equal(await a.ask('DEL', 'none'), ':0\r\n');
  // Nor does a transaction that was not executed, on a connection of its own.
  a.send(['WATCH', 'x'], ['SET', 'x', '2'], ['MULTI'], ['SET', 'x', '3'], ['EXEC']);
  assert.match((await a.settled()).toString(), /\*-1\r\n$/);
  assert.equal(await a.ask('WAIT', '1', '200'), ':0\r\n');
  process.kill(pid, 'SIGCONT');
  assert.equal(await waiting, ':1\r\n');
  assert.equal(await a.ask('WAIT', '1', '5000'), ':1\r\n');
  for (const client of [a, other]) client.close();
});

test('WAIT of more clients than lanes are kept for', async (t) => {
  const { shards, views } = await startShards(t, 1, true);
  const running = await startProxy({ shards: views, keys: { default: KEY } });
  t.after(() => running.close());
  const pairs = SPARE_LANES + 8;
  const clients = (): Promise<RawClient[]> =>
    Promise.all(Array.from({ length: pairs }, () => RawClient.open(running.port)));
  const waiters = await clients();
  const writers = await clients();
  const lanes = running.proxy.world.topology.shards[0]?.lanes ?? assert.fail();
  const pid = shards[0]?.replica?.process.pid ?? assert.fail();
  for (const replica of ['late', 'silent'] as const) {
    process.kill(pid, 'SIGSTOP');
    // Each pair writes on a lane of its own: that of the pair before has a WAIT in it.
    const waits: Promise<string>[] = [];
    for (const [i, waiter] of waiters.entries()) {
      await waiter.ask('SET', `a${i}`, 'v');
      await writers[i]?.ask('SET', `b${i}`, 'v');
      waits.push(waiter.ask('WAIT', '1', replica === 'late' ? '60000' : '4000'));
      await eventually('it waits', () => [...lanes].filter((lane) => lane.waits > 0).length > i);
    }
    if (replica === 'late') process.kill(pid, 'SIGCONT');
    const answered = replica === 'late' ? ':1\r\n' : ':0\r\n';
    for (const answer of await Promise.all(waits)) assert.equal(answer, answered);
    const kept = (): boolean => lanes.size <= SPARE_LANES + 2;
    await eventually('those that are too many are closed', kept);
    process.kill(pid, 'SIGCONT');
    const answers = await Promise.all(writers.map((writer) => writer.ask('WAIT', '1', '5000')));
    // Also those whose lane was closed meanwhile.
    assert.deepEqual([...new Set(answers)], [':1\r\n']);
    // The next write is as good as any.
    for (const writer of writers) writer.send(['SET', 'c', 'v'], ['WAIT', '1', '5000']);
    for (const writer of writers)
      assert.equal((await writer.settled()).toString(), '+OK\r\n:1\r\n');
  }
  for (const client of [...waiters, ...writers]) client.close();
});

test('clients that ask again and again while the replica is away', async (t) => {
  const { shards, views } = await startShards(t, 1, true);
  const running = await startProxy({ shards: views, keys: { default: KEY } });
  t.after(() => running.close());
  const clients = await Promise.all(Array.from({ length: 8 }, () => RawClient.open(running.port)));
  const shard = running.proxy.world.topology.shards[0] ?? assert.fail();
  const pid = shards[0]?.replica?.process.pid ?? assert.fail();
  const { link } = shards[0]?.primary ?? assert.fail();
  process.kill(pid, 'SIGSTOP');
  let most = 0;
  await Promise.all(
    clients.map(async (client, i) => {
      for (let round = 0; round < 20; round++) {
        // Between the rounds of the others.
        await client.ask('SET', `k${i}`, `${round}`);
        assert.equal(await client.ask('WAIT', '1', String(30 + i * 7)), ':0\r\n');
        most = Math.max(most, shard.lanes.size);
      }
    }),
  );
  assert.ok(most <= 2 * clients.length + 2, `${most} lanes`);
  // Nothing was lost with the connections, so nothing is unknown.
  await link.command(['CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes'], ENGINE_MS);
  await eventually('all lanes are lost', async () => {
    assert.equal(await clients[0]?.ask('GET', 'k0'), '$2\r\n19\r\n');
    return shard.lanes.size < most;
  });
  for (const client of clients) assert.equal(await client.ask('WAIT', '1', '20'), ':0\r\n');
  clients[0]?.send(['MULTI'], ['WAIT', '1', '0'], ['EXEC']);
  assert.match((await clients[0]?.settled())?.toString() ?? '', /\*1\r\n:0\r\n$/);
  process.kill(pid, 'SIGCONT');
  for (const client of clients) assert.equal(await client.ask('WAIT', '1', '5000'), ':1\r\n');
  for (const client of clients) client.close();
});

test('while a script keeps the primary from telling, WAIT says BUSY, and is answered behind it', async (t) => {
  const { shards, views } = await startShards(t, 1, true);
  const running = await startProxy({ shards: views, keys: { default: KEY } });
  t.after(() => running.close());
  const [writer, other] = await Promise.all([
    RawClient.open(running.port),
    RawClient.open(running.port),
  ]);
  const { link } = shards[0]?.primary ?? assert.fail();
  await link.configure({ 'busy-reply-threshold': '50' }, ENGINE_MS);
  assert.equal(await writer.ask('SET', 'k', 'v'), '+OK\r\n');
  // The connection that carried the write is gone, so INFO is asked in its place.
  const [lane] = running.proxy.world.topology.shards[0]?.lanes ?? [];
  await link.command(['CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes'], ENGINE_MS);
  await eventually('it is lost', () => lane?.state === 'closed');
  assert.equal(await other.ask('GET', 'k'), '$1\r\nv\r\n');
  const endless = link.command(['EVAL', 'while true do end', '0'], ENGINE_MS);
  await eventually('BUSY', async () => (await other.ask('GET', 'k')).startsWith('-BUSY '));
  assert.match(await writer.ask('WAIT', '1', '5000'), /^-BUSY /);
  assert.equal(await other.ask('SCRIPT', 'KILL'), '+OK\r\n');
  await endless;
  assert.equal(await writer.ask('WAIT', '1', '5000'), ':1\r\n');
  for (const client of [writer, other]) client.close();
});

test('WAIT after more transactions at once than connections are kept for, with a replica that is late', async (t) => {
  const { shards, views } = await startShards(t, 1, true);
  const running = await startProxy({ shards: views, keys: { default: KEY } });
  t.after(() => running.close());
  const count = SPARE_LANES + 8;
  const clients = await Promise.all(
    Array.from({ length: count }, () => RawClient.open(running.port)),
  );
  const lanes = running.proxy.world.topology.shards[0]?.lanes ?? assert.fail();
  const pid = shards[0]?.replica?.process.pid ?? assert.fail();
  process.kill(pid, 'SIGSTOP');
  for (const client of clients) assert.equal(await client.ask('WATCH', 'k'), '+OK\r\n');
  assert.ok(lanes.size >= count, 'each has a connection of its own');
  for (const [i, client] of clients.entries()) {
    client.send(['MULTI'], ['SET', `k${i}`, 'v'], ['EXEC']);
  }
  for (const client of clients) {
    assert.equal((await client.settled()).toString(), '+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n');
  }
  // Longer than a round in which those that are too many are asked.
  assert.equal(await clients[0]?.ask('WAIT', '1', '50'), ':0\r\n');
  process.kill(pid, 'SIGCONT');
  const answers = await Promise.all(clients.map((client) => client.ask('WAIT', '1', '20000')));
  assert.deepEqual([...new Set(answers)], [':1\r\n']);
  const own = (): number => [...lanes].filter(({ kind }) => kind === 'own').length;
  await eventually('those that are too many are closed', () => own() <= SPARE_LANES);
  for (const client of clients) client.close();
});

async function waits(t: TestContext, { shards, views }: TestShards, workers: number) {
  const running = await startProxy({ shards: views, keys: { default: KEY }, workers });
  t.after(() => running.close());
  const a = await RawClient.open(running.port);
  const crowd = await Promise.all(Array.from({ length: 50 }, () => RawClient.open(running.port)));
  const pid = shards[0]?.replica?.process.pid ?? 0;
  // Only what writes a log of its own can say that it has it on disk.
  await shards[0]?.replica?.link.command(['CONFIG', 'SET', 'appendonly', 'yes'], ENGINE_MS);
  a.send(['SET', 'x', '0'], ['WAITAOF', '0', '1', '5000']);
  assert.equal((await a.settled()).toString(), '+OK\r\n*2\r\n:0\r\n:1\r\n');
  a.send(['SET', 'x', '1'], ['WAIT', '1', '1000']);
  assert.equal((await a.settled()).toString(), '+OK\r\n:1\r\n');
  process.kill(pid, 'SIGSTOP');
  let slowest = 0;
  let stop = false;
  const load = crowd.map(async (client) => {
    while (!stop) {
      const began = performance.now();
      await client.ask('GET', 'x');
      slowest = Math.max(slowest, performance.now() - began);
    }
  });
  await a.ask('SET', 'x', '2');
  const began = performance.now();
  assert.equal(await a.ask('WAIT', '1', '1000'), ':0\r\n');
  const took = performance.now() - began;
  assert.ok(took >= 1000 && took < 2500, `${took} ms`);
  // Asked again, about the same write.
  assert.equal(await a.ask('WAIT', '1', '100'), ':0\r\n');
  assert.equal(await a.ask('WAITAOF', '0', '1', '300'), '*2\r\n:0\r\n:0\r\n');
  stop = true;
  await Promise.all(load);
  assert.ok(slowest < 800, `somebody was delayed for ${slowest} ms`);
  // At the same time, each in its own words; what the engine refuses is said to whoever asked for it.
  const asked = [
    ['WAIT', '1', '200'],
    ['WAITAOF', '0', '1', '200'],
    ['WAITAOF', '1', '0', '200'],
    ['WAIT', '0', '200'],
  ];
  const several = crowd.slice(0, asked.length);
  for (const client of several) await client.ask('SET', 'x', '2');
  assert.deepEqual(await Promise.all(several.map((client, i) => client.ask(...(asked[i] ?? [])))), [
    ':0\r\n',
    '*2\r\n:0\r\n:0\r\n',
    '-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.\r\n',
    ':0\r\n',
  ]);
  // Whom the engine sends away is asked about the same writes in another way.
  const interrupted = a.ask('WAIT', '1', '10000');
  await eventually('the engine has sent it away', async () => {
    const list = String(await shards[0]?.primary.link.command(['CLIENT', 'LIST'], ENGINE_MS));
    const id = /^id=(\d+) .* cmd=wait /m.exec(list)?.[1];
    if (id === undefined) return false;
    const unblock = ['CLIENT', 'UNBLOCK', id, 'ERROR'];
    return Number(await shards[0]?.primary.link.command(unblock, ENGINE_MS)) === 1;
  });
  process.kill(pid, 'SIGCONT');
  assert.equal(await interrupted, ':1\r\n');
  await a.ask('SET', 'x', '3');
  assert.equal(await a.ask('WAIT', '1', '2000'), ':1\r\n');
  assert.equal(await a.ask('WAITAOF', '0', '1', '5000'), '*2\r\n:0\r\n:1\r\n');
}

const ENGINE_MS = 3000;
