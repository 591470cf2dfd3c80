/** What is counted, per command and client: once each, whatever way a command takes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Histogram } from '../control-protocol.ts';
import { LargeLog, type LargeSighting } from './large-log.ts';
import { LARGE_LOG_BYTES, LARGE_LOG_ENTRIES, LARGE_LOG_FRESH_MS } from './limits.ts';
import { bucketOf, ClientLatency } from './meter.ts';
import { startProxy } from './testing.ts';
import { KEY, RawClient, startShards } from './testing-engines.ts';

test('every command is counted once, whatever way it takes', async (t) => {
  const { views } = await startShards(t, 3);
  const running = await startProxy({ shards: views, keys: { default: KEY } });
  t.after(() => running.close());
  const a = await RawClient.open(running.port);
  t.after(() => a.close());
  const counted = () => running.proxy.counters().commands;
  const total = (histogram: Histogram | undefined): number =>
    histogram?.buckets.reduce((sum, [, count]) => sum + count, 0) ?? 0;

  const ways: readonly (readonly [name: string, ...words: string[]])[] = [
    ['set', 'SET', 'k', '1'],
    ['get', 'GET', 'k'],
    ['mset', 'MSET', 'a', '1', 'b', '2', 'c', '3'],
    ['mget', 'MGET', 'a', 'b', 'c', 'd'],
    ['dbsize', 'DBSIZE'],
    ['keys', 'KEYS', '*'],
    ['scan', 'SCAN', '0'],
    ['eval', 'EVAL', 'return 1', '0'],
    ['blpop', 'BLPOP', 'none', '0.01'],
    ['wait', 'WAIT', '0', '10'],
    ['ping', 'PING'],
    ['client|list', 'CLIENT', 'LIST'],
    ['publish', 'PUBLISH', 'c', 'm'],
    ['incr', 'INCR', 'text'],
    ['hello', 'HELLO', '2'],
  ];
  await a.ask('SET', 'text', 'no number');
  for (const [name, ...words] of ways) {
    const before = counted()[name];
    a.send(words, words, words);
    await a.settled();
    const after = counted()[name];
    assert.equal((after?.calls ?? 0) - (before?.calls ?? 0), 3, `${name}: calls`);
    const requests = total(after?.requestBytes) - total(before?.requestBytes);
    assert.equal(requests, 3, `${name}: requests`);
    const replies = total(after?.replyBytes) - total(before?.replyBytes);
    assert.equal(replies, 3, `${name}: replies`);
    const failed = (after?.failed ?? 0) - (before?.failed ?? 0);
    assert.equal(failed, name === 'incr' ? 3 : 0, `${name}: failed`);
  }
  // Answered here, behind one that an engine answers.
  const pings = counted()['ping']?.calls ?? 0;
  const bytes = counted()['ping']?.replyBytes.sum ?? 0;
  a.send(['GET', 'k'], ['PING'], ['PING', 'hello']);
  await a.settled();
  assert.equal(counted()['ping']?.calls, pings + 2);
  assert.equal(counted()['ping']?.replyBytes.sum, bytes + '+PONG\r\n$5\r\nhello\r\n'.length);
  a.send(['AUTH', 'wrong']);
  await a.settled();
  const auth = counted()['auth'];
  assert.deepEqual([auth?.failed, total(auth?.replyBytes)], [1, auth?.calls]);

  a.send(['MULTI'], ['INCR', 'n'], ['INCR', 'n'], ['EXEC']);
  await a.settled();
  assert.equal(counted()['exec']?.calls, 1);

  const get = counted()['get'];
  assert.equal(total(get?.latency), 4);
  assert.equal(get?.replyBytes.sum, 4 * '$1\r\n1\r\n'.length);
  assert.ok((get?.latency.sum ?? 0) > 0);
  const [view] = running.proxy.clients();
  assert.equal(view?.commands, running.proxy.sessions.values().next().value?.commands);
  assert.ok((view?.latency.count ?? 0) >= 3 * 10);
});

test('a command that waited for its shard shows it', async (t) => {
  const { views } = await startShards(t, 1);
  const running = await startProxy({ shards: views, keys: { default: KEY } });
  t.after(() => running.close());
  const a = await RawClient.open(running.port);
  t.after(() => a.close());
  await a.ask('SET', 'k', '1');
  await running.proxy.hold('test/0', performance.now() + 10_000);
  a.send(['GET', 'k']);
  await new Promise((resolve) => setTimeout(resolve, 300)); // time is what is measured here
  running.proxy.release('test/0', 1, null);
  await a.settled();
  const latency = running.proxy.counters().commands['get']?.latency;
  assert.ok((latency?.sum ?? 0) > 200_000, `${latency?.sum} µs`);
});

test('a client’s latencies fall in the buckets of everybody’s, only fewer', () => {
  for (const us of [0, 1, 16, 17, 100, 999, 12_345, 1_000_000, 1e12]) {
    const latency = new ClientLatency();
    assert.deepEqual(latency.read().buckets, []);
    latency.add(us, 2);
    const [[bucket = 0, count] = []] = latency.read().buckets;
    assert.equal(count, 2);
    assert.equal(bucket % 4, 0);
    if (us >= 16 && us < 3e7) assert.equal(bucket, bucketOf(us) & ~3, `${us}`);
  }
});

test('the log of the largest keeps a line a key, and the largest', () => {
  const log = new LargeLog('db');
  const seen = (key: string, bytes: number, at = 0): LargeSighting => ({
    kind: 'large-reply',
    command: 'get',
    key,
    bytes,
    ms: bytes / 1000,
    behind: 1,
    at,
    client: 'c',
  });
  log.note(seen('small', LARGE_LOG_BYTES - 1));
  assert.deepEqual(log.read(), []);
  for (let i = 0; i < 1000; i++) log.note(seen('hot', 1_000_000 + i, i));
  assert.equal(log.read().length, 1);
  assert.equal(log.read()[0]?.count, 1000);
  assert.equal(log.read()[0]?.bytes, 1_000_999);
  for (let i = 0; i < LARGE_LOG_ENTRIES * 2; i++) log.note(seen(`k${i}`, 100_000 + i, 2000));
  assert.equal(log.read().length, LARGE_LOG_ENTRIES);
  const keys = new Set(log.read().map((entry) => entry.key));
  assert.ok(keys.has('hot') && keys.has(`k${LARGE_LOG_ENTRIES * 2 - 1}`) && !keys.has('k0'));
  log.note(seen('too small', 99_000, 2000));
  assert.ok(!log.read().some((entry) => entry.key === 'too small'));
  // After an hour a smaller one counts more than what was last seen then.
  log.note(seen('fresh', 99_000, LARGE_LOG_FRESH_MS + 3000));
  assert.ok(log.read().some((entry) => entry.key === 'fresh'));
});

test('the latencies of one client: the first few and many are read the same', () => {
  const asked = [20, 30, 20, 100, 5000, 70, 20, 900, 33_000, 20];
  const latency = new ClientLatency();
  for (const [i, us] of asked.entries()) {
    latency.add(us, 1 + i);
    const { count, sum, buckets } = latency.read();
    const times = asked.slice(0, i + 1).map((_, at) => 1 + at);
    assert.equal(
      count,
      times.reduce((a, b) => a + b, 0),
    );
    assert.equal(
      sum,
      times.reduce((all, each, at) => all + each * (asked[at] ?? 0), 0),
    );
    assert.equal(buckets.length, new Set(asked.slice(0, i + 1)).size);
    assert.deepEqual(
      buckets,
      buckets.toSorted(([a], [b]) => a - b),
    );
  }
});
