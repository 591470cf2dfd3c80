/** What a client sees belongs to its database, whichever worker it has reached. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventually, TEST_PASSWORDS } from '../../engine/testing.ts';
import { PEER_ANSWER_MS } from '../limits.ts';
import type { NeighbourListener } from '../neighbours.ts';
import { NeighbourLinks } from '../worker/neighbour-links.ts';
import { startProxy } from './testing.ts';
import { instance, KEY, RawClient, startShards } from './testing-engines.ts';

const MS = 3000;

test('two workers look like one', async (t) => {
  const { views, shards } = await startShards(t, 1, true);
  const running = await startProxy({
    shards: views,
    keys: { default: KEY },
    // CLIENT UNBLOCK is @admin in the engine.
    twins: { default: { name: 'endpoint', password: TEST_PASSWORDS.endpoint } },
    workers: 2,
  });
  t.after(() => running.close());
  const open = (protocol: 2 | 3 = 2): Promise<RawClient> => RawClient.open(running.port, protocol);
  /** One connection on each worker. */
  const both = async (): Promise<readonly [RawClient, RawClient]> => [await open(), await open()];
  const sessions = (): number[] => running.proxies.map((proxy) => proxy.sessions.size);

  await t.test('CLIENT LIST, INFO, CLIENT KILL', async () => {
    const [a, b] = await both();
    assert.deepEqual(sessions(), [1, 1]);
    await a.ask('CLIENT', 'SETNAME', 'first');
    await b.ask('CLIENT', 'SETNAME', 'second');
    const list = await a.ask('CLIENT', 'LIST');
    assert.match(list, /id=\d+ [^\n]*name=first [^\n]*\nid=\d+ [^\n]*name=second /);
    assert.equal((await b.ask('CLIENT', 'LIST')).split(' name=').length, 3);
    // Who asks is shown with what he asks, and what stands in a MULTI is his last command.
    assert.match(list, /name=first [^\n]* cmd=client\|list /);
    assert.match(await b.ask('CLIENT', 'INFO'), / cmd=client\|info /);
    b.send(['MULTI'], ['GET', 'x']);
    await eventually('queued is shown', async () =>
      /name=second [^\n]* cmd=get /.test(await a.ask('CLIENT', 'LIST')),
    );
    b.send(['CLIENT', 'INFO'], ['EXEC']);
    assert.match((await b.settled()).toString('latin1'), / cmd=exec /);
    assert.match(await a.ask('INFO', 'clients'), /connected_clients:2\r\n/);
    const id = (await b.ask('CLIENT', 'ID')).slice(1).trim();
    assert.match(await a.ask('CLIENT', 'LIST', 'ID', id), /name=second/);
    assert.match(await a.ask('CLIENT', 'LIST', 'NAME', 'second'), new RegExp(`id=${id} `));
    assert.doesNotMatch(await a.ask('CLIENT', 'LIST', 'NOT-NAME', 'second'), /name=second/);
    assert.match(await a.ask('CLIENT', 'LIST', 'ID', 'x'), /^-ERR /);
    assert.equal(await a.ask('CLIENT', 'KILL', 'ID', id), ':1\r\n');
    await eventually('killed over there', () => b.closed);
    const c = await open();
    const address = / addr=(\S+) [^\n]* name= /.exec(await a.ask('CLIENT', 'LIST'))?.[1] ?? '';
    assert.equal(await a.ask('CLIENT', 'KILL', address), '+OK\r\n');
    await eventually('killed by address', () => c.closed);
    assert.equal(await a.ask('CLIENT', 'KILL', address), '-ERR No such client\r\n');
    a.close();
  });

  await t.test('CLIENT UNBLOCK', async () => {
    const [a, b] = await both();
    const id = (await a.ask('CLIENT', 'ID')).slice(1).trim();
    a.send(['BLPOP', 'nothing', '0']);
    await eventually('unblocked', async () => (await b.ask('CLIENT', 'UNBLOCK', id)) === ':1\r\n');
    await eventually('told', () => a.received.toString() === '*-1\r\n');
    assert.equal(await b.ask('CLIENT', 'UNBLOCK', id), ':0\r\n');
    a.close();
    b.close();
  });

  await t.test('CLIENT UNBLOCK ends a WAIT', async () => {
    const [a, b] = await both();
    const id = (await a.ask('CLIENT', 'ID')).slice(1).trim();
    for (const [how, reply] of [
      ['TIMEOUT', ':1\r\n'],
      ['ERROR', '-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n'],
    ] as const) {
      await a.ask('SET', 'waited', how);
      a.send(['WAIT', '1', '5000'], ['WAIT', '9', '0']);
      await eventually('its first one is answered', () => a.received.toString() === ':1\r\n');
      await eventually(
        'unblocked',
        async () => (await b.ask('CLIENT', 'UNBLOCK', id, how)) === ':1\r\n',
      );
      await eventually('told', () => a.received.toString() === `:1\r\n${reply}`);
      a.received = Buffer.alloc(0);
    }
    assert.equal(await b.ask('CLIENT', 'UNBLOCK', id), ':0\r\n');
    a.close();
    b.close();
  });

  await t.test('PUBLISH counts listeners in a MULTI, too', async () => {
    const listeners = await Promise.all([open(3), open(3), open(3)]);
    for (const client of listeners) {
      client.send(['SUBSCRIBE', 'news'], ['SSUBSCRIBE', 'shard']);
      await client.settled();
    }
    const [a, b] = await both();
    for (const client of [a, b]) {
      client.send(
        ['MULTI'],
        ['PUBLISH', 'news', 'x'],
        ['SELECT', '0'],
        ['SPUBLISH', 'shard', 'y'],
        ['PUBLISH', 'nobody', 'z'],
        ['EXEC'],
      );
      const queued = '+QUEUED\r\n'.repeat(4);
      const counts = '*4\r\n:3\r\n+OK\r\n:3\r\n:0\r\n';
      assert.equal((await client.settled()).toString(), `+OK\r\n${queued}${counts}`);
      client.send(['MULTI'], ['PUBLISH', '__keyspace@0__:x', 'y'], ['EXEC']);
      assert.match((await client.settled()).toString(), /^\+OK\r\n-ERR keyspace.*\r\n-EXECABORT/);
      client.send(['MULTI'], ['SELECT', '1'], ['EXEC']);
      assert.match((await client.settled()).toString(), /^\+OK\r\n\+QUEUED\r\n\*1\r\n-ERR .*\r\n$/);
    }
    for (const client of [...listeners, a, b]) client.close();
  });

  await t.test('PUBLISH counts listeners, PUBSUB names them', async () => {
    const listeners = await Promise.all([open(3), open(3), open(3)]);
    for (const [i, client] of listeners.entries()) {
      client.send(['SUBSCRIBE', 'news', `own${i}`], ['PSUBSCRIBE', 'n*']);
      await client.settled();
    }
    const [a, b] = await both();
    for (const client of [a, b]) {
      assert.equal(await client.ask('PUBLISH', 'news', 'x'), ':6\r\n');
      assert.equal(
        await client.ask('PUBSUB', 'NUMSUB', 'news', 'no'),
        '*4\r\n$4\r\nnews\r\n:3\r\n$2\r\nno\r\n:0\r\n',
      );
      assert.equal(await client.ask('PUBSUB', 'NUMPAT'), ':1\r\n');
      assert.equal((await client.ask('PUBSUB', 'CHANNELS', 'own*')).split('own').length, 4);
    }
    for (const client of [...listeners, a, b]) client.close();
  });

  await t.test('MONITOR sees the other worker’s clients', async () => {
    const [m, a] = await both();
    const b = await open();
    m.send(['MONITOR']);
    await eventually('on', () => m.received.includes('+OK\r\n'));
    await eventually('known', () => running.proxies.every((proxy) => proxy.monitors.watching));
    await a.ask('SET', 'there', 'ü"');
    await b.ask('SET', 'here', '1');
    const seen = (): string => m.received.toString('latin1');
    await eventually('both', () => seen().includes('"there"') && seen().includes('"here"'));
    assert.match(seen(), /\[0 127\.0\.0\.1:\d+\] "SET" "there" "\\xc3\\xbc\\""\r\n/);
    m.close();
    await eventually('over', () => running.proxies.every((proxy) => !proxy.monitors.watching));
    a.close();
    b.close();
  });

  await t.test('failed logins slow down the next try, wherever it arrives', async () => {
    const [a, b] = await both();
    for (let i = 0; i < 2; i++) assert.match(await a.ask('AUTH', 'wrong'), /^-WRONGPASS/);
    const began = performance.now();
    assert.match(await b.ask('AUTH', 'wrong'), /^-WRONGPASS/);
    assert.ok(performance.now() - began >= 380, 'the third failure costs 400 ms');
    assert.equal(await b.ask('AUTH', KEY), '+OK\r\n');
    a.close();
    b.close();
  });

  await t.test(
    'scripts: shown to one worker, run by the other, also after a failover and a restart',
    async () => {
      const [shard] = shards;
      assert.ok(shard?.replica);
      const [a, b] = await both();
      const body = "return redis.call('incr', KEYS[1])";
      const load = await a.ask('SCRIPT', 'LOAD', body);
      const sha = load.split('\r\n')[1] ?? '';
      await a.ask('EVAL', 'return 17', '0');
      const bodies = (): number[] =>
        running.proxies.map((proxy) => [...proxy.scripts.bodies()].length);
      await eventually('both know both', () => bodies().every((count) => count === 2));
      assert.equal(await b.ask('EVALSHA', sha, 1, 'n'), ':1\r\n');
      await eventually('in sync', async () => (await shard.replica?.link.facts(MS))?.link === 'up');
      await shard.primary.link.pauseWrites(5000, MS);
      const { offset } = await shard.primary.link.facts(MS);
      await eventually(
        'equal',
        async () => ((await shard.replica?.link.facts(MS))?.offset ?? 0) >= offset,
      );
      await shard.replica.link.takeover(MS);
      running.apply({
        shards: [{ ...shard.view, primary: instance(shard.replica), replicas: [] }],
      });
      assert.equal(await b.ask('EVALSHA', sha, 1, 'n'), ':2\r\n');
      // The engine forgets behind our back; what follows in the pipeline stays behind.
      await shard.replica.link.command(['SCRIPT', 'FLUSH'], MS);
      b.send(['EVALSHA', sha, 1, 'n'], ['EVALSHA', sha, 1, 'n'], ['EVALSHA', sha, 1, 'other']);
      assert.equal((await b.settled()).toString(), ':3\r\n:4\r\n:1\r\n');
      assert.equal(await a.ask('SCRIPT', 'FLUSH'), '+OK\r\n');
      await eventually('forgotten', () => bodies().every((count) => count === 0));
      assert.match(await b.ask('EVALSHA', sha, 1, 'n'), /^-NOSCRIPT/);
      a.close();
      b.close();
    },
  );
});

test('a neighbour that is mute is left out by name, and only for a moment', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'nb-'));
  const place = (name: string): string => join(folder, name);
  const said: string[] = [];
  const listener = (name: string): NeighbourListener => ({
    asked: () => name,
    told: (_database, notice) => void said.push(`${name} ${JSON.stringify(notice)}`),
    joined: () => undefined,
    left: () => undefined,
    mute: (pid, detail) => void said.push(`mute ${pid} ${detail}`),
  });
  const a = new NeighbourLinks(place('a'), 1, listener('a'));
  const b = new NeighbourLinks(place('b'), 2, listener('b'));
  // Takes connections and says hello, and never more.
  const silent = createServer((socket) => {
    socket.on('error', () => undefined);
    const hello = Buffer.from(JSON.stringify({ type: 'hello', protocol: 1, pid: 3 }));
    const length = Buffer.alloc(4);
    length.writeUInt32BE(hello.length);
    socket.write(Buffer.concat([length, hello]));
    socket.resume();
  });
  await Promise.all([
    a.listen(),
    b.listen(),
    new Promise<void>((resolve) => silent.listen(place('c'), resolve)),
  ]);
  t.after(() => {
    a.close();
    b.close();
    silent.close();
    rmSync(folder, { recursive: true, force: true });
  });
  a.set([
    { pid: 2, socket: place('b') },
    { pid: 3, socket: place('c') },
    { pid: 4, socket: place('nobody') },
  ]);
  await eventually('b answers', async () => (await a.ask('d', {})).answers.length === 1);
  const began = performance.now();
  assert.deepEqual(await a.ask('d', {}), { answers: ['b'], mute: 2 });
  assert.ok(performance.now() - began < PEER_ANSWER_MS * 8);
  assert.equal(said.filter((line) => line.startsWith('mute 3')).length, 1);
  assert.equal(a.tell('d', { kind: 'x' }), false);
  await eventually('told', () => said.includes('b {"kind":"x"}'));
  a.set([{ pid: 2, socket: place('b') }]);
  assert.deepEqual(await a.ask('d', {}), { answers: ['b'], mute: 0 });
});
