/** What the endpoint itself does: messages, waiting commands, SCAN, logins, isolation. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { eventually, TEST_PASSWORDS } from '../../engine/testing.ts';
import { encodeCommand } from '../../resp/index.ts';
import { startProxy, WORKER_COUNTS } from './testing.ts';
import { KEY, KEY_HASH, RawClient, startShards, type TestShards } from './testing-engines.ts';

const MS = 3000;

test('three shards', async (t) => {
  const cluster = await startShards(t, 3);
  for (const workers of WORKER_COUNTS) {
    await t.test(`${workers} worker(s)`, (part) => behaves(part, cluster, workers));
  }
});

async function behaves(t: TestContext, { shards, views }: TestShards, workers: number) {
  const running = await startProxy({
    shards: views,
    workers,
    keys: { default: KEY },
    // A twin of other name and all rights: CLIENT UNBLOCK is @admin in the engine.
    twins: { default: { name: 'endpoint', password: TEST_PASSWORDS.endpoint } },
  });
  t.after(() => running.close());
  const open = (protocol: 2 | 3 = 2): Promise<RawClient> => RawClient.open(running.port, protocol);

  await t.test('SCAN returns every key of every shard', async () => {
    const a = await open();
    await a.ask('FLUSHALL');
    const keys = new Set<string>();
    for (let i = 0; i < 3000; i++) keys.add(`scan:${i}`);
    a.send(...[...keys].map((key) => ['SET', key, '1']));
    await a.settled();
    assert.equal(await a.ask('DBSIZE'), ':3000\r\n');
    const seen = new Set<string>();
    let cursor = '0';
    do {
      const words = (await a.ask('SCAN', cursor, 'COUNT', 100)).split('\r\n');
      cursor = words[2] ?? '0';
      assert.match(cursor, /^\d{1,19}$/);
      for (const word of words.slice(4)) if (word.startsWith('scan:')) seen.add(word);
    } while (cursor !== '0');
    assert.deepEqual(seen, keys);
    const all = (await a.ask('KEYS', 'scan:*')).split('\r\n').filter((w) => w.startsWith('scan:'));
    assert.equal(new Set(all).size, 3000);
    assert.match(await a.ask('RANDOMKEY'), /scan:\d+/);
    const info = await a.ask('INFO', 'keyspace');
    assert.match(info, /db0:keys=3000,expires=0/);
    assert.equal(await a.ask('FLUSHALL'), '+OK\r\n');
    assert.equal(await a.ask('DBSIZE'), ':0\r\n');
    for (const shard of shards) assert.equal(await shard.primary.link.command(['DBSIZE'], MS), 0);
    a.close();
  });

  await t.test('messages arrive once; keyspace events of all shards', async () => {
    for (const shard of shards) {
      await shard.primary.link.configure({ 'notify-keyspace-events': 'KEA' }, MS);
    }
    const a = await open();
    const s = await RawClient.open(running.port);
    s.send(['PSUBSCRIBE', '*'], ['SUBSCRIBE', 'news']);
    await eventually('subscribed', () => s.received.toString().split('\r\n').length >= 12);
    s.received = Buffer.alloc(0);
    assert.equal(await a.ask('PUBLISH', 'news', 'hello'), ':2\r\n');
    for (let i = 0; i < 20; i++) a.send(['SET', `ev${i}`, '1']);
    await a.settled();
    const events = (): string[] => s.received.toString().split('\r\n');
    await eventually(
      'all events',
      () => events().filter((w) => w === '__keyevent@0__:set').length >= 20,
    );
    const words = events();
    assert.equal(words.filter((w) => w === 'hello').length, 2);
    assert.equal(words.filter((w) => w === '__keyevent@0__:set').length, 20);
    assert.match(await a.ask('PUBLISH', '__keyspace@0__:x', 'no'), /^-ERR keyspace-channel/);
    s.send(['GET', 'x']);
    await eventually('refused', () => s.received.includes("Can't execute 'get'"));
    a.send(['SUBSCRIBE', 'c1'], ['UNSUBSCRIBE'], ['GET', 'none']);
    await eventually('out again', () => a.received.toString().endsWith('$-1\r\n'));
    assert.equal(
      a.received.toString(),
      '*3\r\n$9\r\nsubscribe\r\n$2\r\nc1\r\n:1\r\n*3\r\n$11\r\nunsubscribe\r\n$2\r\nc1\r\n:0\r\n$-1\r\n',
    );
    a.close();
    s.close();
  });

  await t.test('RESP3: pushes between replies, sharded channels', async () => {
    const a = await open(3);
    a.send(['SSUBSCRIBE', 'orders'], ['GET', 'none'], ['SPUBLISH', 'orders', 'one'], ['PING']);
    await eventually(
      'a message',
      () => a.received.includes('one\r\n') && a.received.includes('PONG'),
    );
    const text = a.received.toString();
    // A push may come before a reply that was due earlier: another shard may owe it.
    assert.match(text, /^>3\r\n\$10\r\nssubscribe\r\n\$6\r\norders\r\n:1\r\n/);
    assert.match(text, /\r\n_\r\n/);
    assert.match(text, />3\r\n\$8\r\nsmessage\r\n\$6\r\norders\r\n\$3\r\none\r\n/);
    assert.match(text, /:1\r\n/);
    // What it sends behind its subscription finds it: the lane is open, the subscription has to be made.
    for (const word of ['two', 'three', 'four']) {
      await a.ask('SUNSUBSCRIBE');
      a.received = Buffer.alloc(0);
      a.send(['SSUBSCRIBE', 'orders'], ['SPUBLISH', 'orders', word], ['PING']);
      await eventually('answered', () => a.received.includes('PONG'));
      const own = `:1\r\n>3\r\n$8\r\nsmessage\r\n$6\r\norders\r\n$${word.length}\r\n${word}\r\n+PONG`;
      assert.ok(a.received.includes(own), a.received.toString());
    }
    a.close();
  });

  await t.test('a blocking pop waits for itself only, and can be unblocked', async () => {
    const a = await open();
    const b = await open();
    const id = Number((await a.ask('CLIENT', 'ID')).slice(1));
    a.send(['BLPOP', 'queue', '0'], ['GET', 'after']);
    assert.equal(await b.ask('SET', 'after', 'x'), '+OK\r\n');
    assert.equal(await b.ask('LPUSH', 'queue', 'job'), ':1\r\n');
    await eventually(
      'popped',
      () => a.received.toString() === '*2\r\n$5\r\nqueue\r\n$3\r\njob\r\n$1\r\nx\r\n',
    );
    a.received = Buffer.alloc(0);
    a.send(['BLPOP', 'queue', '0']);
    await eventually('it waits', () => running.proxies.some((each) => each.waiting(`0-${id}`)));
    await eventually('unblocked', async () => (await b.ask('CLIENT', 'UNBLOCK', id)) === ':1\r\n');
    await eventually('told', () => a.received.toString() === '*-1\r\n');
    a.received = Buffer.alloc(0);
    // A client that leaves while it waits takes nothing.
    a.send(['BLPOP', 'queue', '0']);
    await eventually('waits again', () => running.proxies.some((each) => each.waiting(`0-${id}`)));
    a.close();
    await eventually('gone', () => !running.clients().some((c) => c.id === `0-${id}`));
    await eventually('the engines know, too', async () => {
      const infos = await Promise.all(
        shards.map((shard) => shard.primary.link.command(['INFO', 'clients'], MS)),
      );
      return infos.every((info) => String(info).includes('blocked_clients:0'));
    });
    await b.ask('LPUSH', 'queue', 'kept');
    assert.equal(await b.ask('LLEN', 'queue'), ':1\r\n');
    // Nor one that has asked for more before it left (Bull sends QUIT), or had something in flight.
    for (const words of [
      [['PING']],
      [['QUIT']],
      [['GET', 'x'], ['BLPOP', 'queue0', '0'], ['QUIT']],
    ]) {
      const c = await open();
      const number = (await c.ask('CLIENT', 'ID')).slice(1).trim();
      c.send(['SET', 'before', '1'], ['BLPOP', 'queue0', '0'], ...words);
      await eventually('it waits', () =>
        running.proxies.some((each) => each.waiting(`0-${number}`)),
      );
      c.socket.end();
      await eventually('closed', () => c.closed);
      await eventually('gone', () => !running.clients().some(({ id }) => id === `0-${number}`));
    }
    b.close();
  });

  await t.test('optimistic locking', async () => {
    const a = await open();
    const b = await open();
    a.send(['WATCH', '{w}a', '{w}b'], ['GET', '{w}a']);
    await a.settled();
    await b.ask('SET', '{w}b', 'changed');
    a.send(['MULTI'], ['SET', '{w}a', '1'], ['EXEC']);
    assert.equal((await a.settled()).toString(), '+OK\r\n+QUEUED\r\n*-1\r\n');
    a.send(['WATCH', '{w}a'], ['MULTI'], ['SET', '{w}a', '1'], ['EXEC']);
    assert.equal((await a.settled()).toString(), '+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n');
    assert.match(await a.ask('WATCH', 'x', 'y'), /^-CROSSSLOT/);
    a.send(['MULTI'], ['SET', 'x', '1'], ['SET', 'y', '1'], ['EXEC']);
    assert.match((await a.settled()).toString(), /-CROSSSLOT [^\r]*\r\n$/);
    a.close();
    b.close();
  });

  await t.test('a message to a sharded channel is of its slot in a MULTI', async () => {
    const a = await open();
    a.send(['MULTI'], ['SET', '{w}a', '1'], ['SPUBLISH', '{w}c', 'x'], ['EXEC']);
    const queued = '+QUEUED\r\n'.repeat(2);
    assert.equal((await a.settled()).toString(), `+OK\r\n${queued}*2\r\n+OK\r\n:0\r\n`);
    a.send(['MULTI'], ['SET', 'x', '1'], ['SPUBLISH', 'y', 'x'], ['EXEC']);
    assert.match((await a.settled()).toString(), /-CROSSSLOT [^\r]*\r\n$/);
    a.close();
  });

  await t.test('who listens is not idle', async () => {
    for (const command of [['SUBSCRIBE', 'a'], ['MONITOR']]) {
      const a = await open();
      a.send(command);
      await eventually('it listens', () => a.received.length > 0);
      const spared = running.proxies.flatMap((proxy) =>
        [...proxy.sessions.values()]
          .filter((each) => each.state.subscriber !== null || proxy.monitors.has(each))
          .map(({ id }) => proxy.waiting(id)),
      );
      assert.ok(spared.length > 0 && spared.every((each) => each));
      a.close();
    }
  });

  await t.test('a browser that was sent here is not served', async () => {
    for (const line of ['POST / HTTP/1.1', 'host: here']) {
      const a = await open();
      await a.ask('SET', '{w}a', 'kept');
      a.socket.write(`${line}\r\nSET {w}a changed\r\n`);
      await eventually('closed', () => a.closed);
      assert.equal(a.received.length, 0);
      const b = await open();
      assert.equal(await b.ask('GET', '{w}a'), '$4\r\nkept\r\n');
      b.close();
    }
  });

  await t.test(
    'logins: wrong keys are refused and slowed; a changed key ends only its own sessions',
    async () => {
      const raw = await open();
      const before = performance.now();
      assert.match(await raw.ask('AUTH', 'wrong'), /^-WRONGPASS/);
      assert.match(await raw.ask('AUTH', 'default', 'wrong'), /^-WRONGPASS/);
      assert.ok(performance.now() - before >= 300, 'two failures cost at least 100 and 200 ms');
      assert.ok(running.events.some((e) => e.kind === 'login-failed'));
      const [user] = running.view.users;
      assert.ok(user);
      const other = 'f'.repeat(64);
      running.apply({ users: [{ ...user, secretHashes: [KEY_HASH, other] }] });
      assert.equal(await raw.ask('PING'), '+PONG\r\n');
      running.apply({ users: [{ ...user, secretHashes: [other] }] });
      await eventually('ended', () => raw.closed);
      assert.ok(running.reasons.includes('key-regenerated'));
      running.apply({ users: [user] });
    },
  );

  await t.test('before login nothing but AUTH, HELLO and QUIT', async () => {
    const a = await open();
    a.send(['RESET']);
    await eventually('reset', () => a.received.toString() === '+RESET\r\n');
    for (const command of [['GET', 'x'], ['PING'], ['HELLO'], ['COMMAND']]) a.send(command);
    await eventually('refused', () => a.received.toString().split('-NOAUTH').length === 5);
    a.close();
  });

  await t.test('MONITOR shows what other clients send', async () => {
    const m = await open();
    m.send(['MONITOR']);
    await eventually('on', () => m.received.includes('+OK\r\n'));
    const a = await open();
    await a.ask('SET', 'mon', 'a"b');
    await eventually('seen', () => m.received.includes('"SET" "mon" "a\\"b"\r\n'));
    assert.ok(!m.received.includes(KEY));
    m.close();
    a.close();
  });

  await t.test('a large reply leaves the shared lane, and is in the log', async () => {
    const a = await open();
    const b = await open();
    const big = Buffer.alloc(5_000_000, 'x');
    await a.ask('SET', 'big', big);
    for (let i = 0; i < 3; i++) {
      a.send(['GET', 'big']);
      assert.equal(await b.ask('SET', 'small', i), '+OK\r\n');
      assert.equal((await a.settled()).length, 5_000_000 + 12);
    }
    const log = running.large();
    const reply = log.find((e) => e.kind === 'large-reply' && e.key === 'big');
    assert.equal(reply?.bytes, 5_000_000 + 12);
    assert.equal(reply?.count, 3);
    assert.ok((reply?.ms ?? 0) > 0);
    const request = log.find((e) => e.kind === 'large-request' && e.key === 'big');
    assert.ok((request?.bytes ?? 0) >= 5_000_000 && request?.command === 'set');
    // Large as a whole, of small parts.
    const fields = Array.from({ length: 20_000 }, (_, i) => [`f${i}`, 'v']).flat();
    await a.ask('HSET', 'wide', ...fields);
    await a.ask('HGETALL', 'wide');
    const wide = running.large().find((e) => e.key === 'wide' && e.kind === 'large-reply');
    assert.ok((wide?.bytes ?? 0) > 200_000);
    assert.equal(await b.ask('GET', 'small'), '$1\r\n2\r\n');
    a.close();
    b.close();
  });

  await t.test('a client that does not read is ended, the others do not notice', async () => {
    running.apply({ limits: { ...running.view.limits, outputBufferBytes: 2_000_000 } });
    const slow = await open();
    slow.socket.pause();
    const a = await open();
    await a.ask('SET', 'mid', Buffer.alloc(60_000, 'y'));
    for (let i = 0; i < 400; i++) slow.send(['GET', 'mid']);
    await eventually('ended', () => running.reasons.includes('output-buffer-limit'));
    assert.equal(await a.ask('PING'), '+PONG\r\n');
    running.apply({ limits: { ...running.view.limits, outputBufferBytes: 1 << 30 } });
    slow.close();
    a.close();
  });

  await t.test('tracking: what was read and changes is said, from every shard', async () => {
    const a = await open(3);
    const b = await open();
    assert.equal(await a.ask('CLIENT', 'TRACKING', 'ON'), '+OK\r\n');
    const keys = Array.from({ length: 12 }, (_, i) => `tr${i}`);
    a.send(...keys.map((key) => ['GET', key]), ['MGET', ...keys]);
    await a.settled();
    for (const key of keys) await b.ask('SET', key, '1');
    const text = (): string => a.received.toString();
    await eventually('all told', () => text().split('invalidate').length === keys.length + 1);
    for (const key of keys)
      assert.ok(text().includes(`>2\r\n$10\r\ninvalidate\r\n*1\r\n$${key.length}\r\n${key}\r\n`));
    a.received = Buffer.alloc(0);
    const lanes = (): number =>
      running.proxies
        .flatMap((proxy) => proxy.world.topology.shards)
        .flatMap((shard) => [...shard.lanes])
        .filter((lane) => lane.login.tracking !== null).length;
    assert.equal(lanes(), 3);
    // A lost lane: everything is to be forgotten.
    for (const shard of running.proxies.flatMap((proxy) => proxy.world.topology.shards)) {
      for (const lane of shard.lanes)
        if (lane.login.tracking !== null && lane.shard.index === 0) lane.close('lost in a test');
    }
    await eventually('forget all', () => text().includes('>2\r\n$10\r\ninvalidate\r\n_\r\n'));
    a.received = Buffer.alloc(0);
    assert.match(await b.ask('CLIENT', 'TRACKING', 'ON'), /^-ERR tracking-needs-resp3/);
    a.close();
    await eventually('its lanes are gone', () => lanes() === 0);
    b.close();
  });

  await t.test(
    'a client that closes its side after its commands still gets their answers',
    async () => {
      const a = await open();
      a.send(['SET', 'fin', '1'], ['AUTH', KEY], ['GET', 'fin'], ['PING']);
      a.socket.end();
      await eventually(
        'all answers',
        () => a.received.toString() === '+OK\r\n+OK\r\n$1\r\n1\r\n+PONG\r\n',
      );
      await eventually('closed', () => a.closed);
    },
  );

  await t.test('half commands of one client are not mixed with those of another', async () => {
    const clients = await Promise.all(Array.from({ length: 10 }, () => open()));
    const bytes = clients.map((_, i) =>
      encodeCommand(['SET', `half${i}`, `value-${i}`.repeat(i + 1)]),
    );
    const other = await open();
    clients[0]?.socket.write(bytes[0]?.subarray(0, 20) ?? '');
    const partial = (): number =>
      running.proxies.reduce((sum, proxy) => sum + proxy.world.partialBytes, 0);
    await eventually('half of it is there', () => partial() === 20);
    assert.equal(await other.ask('PING'), '+PONG\r\n');
    other.close();
    bytes[0] = bytes[0]?.subarray(20) ?? Buffer.alloc(0);
    const longest = Math.max(...bytes.map((each) => each.length));
    for (let at = 0, size = 20; at < longest; at += size, size = 3) {
      for (const [i, client] of clients.entries()) {
        client.socket.write(bytes[i]?.subarray(at, at + size) ?? '');
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    for (const [i, client] of clients.entries()) {
      assert.equal((await client.settled()).toString(), '+OK\r\n');
      const value = `value-${i}`.repeat(i + 1);
      assert.equal(await client.ask('GET', `half${i}`), `$${value.length}\r\n${value}\r\n`);
      client.close();
    }
  });

  await t.test('counters add up', async () => {
    const read = () => running.proxies.map((proxy) => proxy.counters().commands['incr']);
    const calls = (): number => read().reduce((sum, each) => sum + (each?.calls ?? 0), 0);
    const before = calls();
    const a = await open();
    for (let i = 0; i < 100; i++) a.send(['INCR', 'counted']);
    a.send(['INCR', 'counted', 'too', 'many'], ['SET', 'text', 'x'], ['INCR', 'text']);
    await a.settled();
    assert.equal(calls() - before, 101);
    const failed = read().reduce((sum, each) => sum + (each?.failed ?? 0), 0);
    assert.equal(failed, 1);
    for (const each of read()) assert.equal(each?.replyBytes.count, each?.calls);
    a.close();
  });
}
