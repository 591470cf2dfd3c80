/** What clients have not read, all together: whoever keeps most is ended. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { eventually } from '../../engine/testing.ts';
import { encodeCommand } from '../../resp/index.ts';
import { READS_BEHIND_BYTES, UNREAD_LEAST_BYTES } from './limits.ts';
import { startProxy } from './testing.ts';
import { KEY, RawClient, Reader, startShards } from './testing-engines.ts';
import { Keeper, Unread, unread } from './unread.ts';

const MB = 1024 * 1024;
const DEADLINE_MS = 60_000;

test('the largest go until the rest fits; one client alone may have as much as his database allows', async () => {
  const all = new Unread();
  const ended: string[] = [];
  const keepers = ['a', 'b', 'c'].map((name) => new Keeper(() => ended.push(name), all));
  const [a, b, c] = keepers as [Keeper, Keeper, Keeper];
  a.keep(100 * MB);
  b.keep(120 * MB);
  await turn();
  assert.deepEqual(ended, []);
  c.keep(40 * MB);
  a.keep(90 * MB);
  await turn();
  assert.deepEqual(ended, [], 'it has been read in the meantime');
  a.keep(100 * MB);
  await turn();
  assert.deepEqual(ended, ['b']);
  assert.equal(all.bytes, 140 * MB);
  all.allow(test, 500 * MB);
  b.keep(300 * MB);
  await turn();
  assert.equal(ended.length, 1);
  all.allow(test, null);
  c.keep(41 * MB);
  await turn();
  assert.deepEqual(ended, ['b', 'b']);
});

test('many who do not read: bounded together, everybody else is served', async (t) => {
  const { views } = await startShards(t, 1);
  const most = UNREAD_LEAST_BYTES / 4;
  const running = await startProxy({
    shards: views,
    keys: { default: KEY },
    view: {
      limits: { maxConnections: 1000, idleTimeoutMs: 600_000, outputBufferBytes: most },
    },
  });
  t.after(() => running.close());
  const other = await RawClient.open(running.port);
  const value = Buffer.alloc(60_000, 'v');
  await other.ask('SET', 'v', value);
  await other.ask('SET', 'small', 's');
  const before = unread.bytes;
  const wanted = Math.floor((0.9 * most) / value.length);
  const readers = Array.from({ length: 8 }, () => new Reader(running.port, false));
  const asks = Buffer.concat(Array.from({ length: wanted }, () => encodeCommand(['GET', 'v'])));
  for (const reader of readers) {
    await reader.login();
    reader.socket.pause();
    reader.socket.write(asks);
  }
  let slowest = 0;
  let largest = 0;
  const until = performance.now() + DEADLINE_MS;
  while (running.reasons.length < 4) {
    assert.ok(performance.now() < until, 'nobody is ended');
    const began = performance.now();
    assert.equal(await other.ask('GET', 'small'), '$1\r\ns\r\n');
    slowest = Math.max(slowest, performance.now() - began);
    largest = Math.max(largest, unread.bytes - before);
  }
  // Each alone is within his limit.
  assert.deepEqual([...new Set(running.reasons)], ['output-memory']);
  const slack = readers.length * (READS_BEHIND_BYTES + 4 * MB);
  assert.ok(largest < UNREAD_LEAST_BYTES + slack, `${largest} bytes`);
  assert.ok(slowest < 1000, `a small GET took ${slowest} ms`);
  // Those that are left get every byte.
  for (const reader of readers) reader.socket.resume();
  const reply = wanted * (value.length + `$${value.length}\r\n\r\n`.length);
  const whole = () => readers.filter((reader) => reader.bytes === reply).length;
  await eventually('the rest', () => whole() + running.reasons.length >= 8, DEADLINE_MS);
  assert.ok(whole() > 0);
  await eventually('nothing is kept', () => unread.bytes === before, DEADLINE_MS);
  for (const reader of readers) reader.socket.destroy();
  other.close();
});

test('a transaction with a large answer: as it came, and nobody waits for it', async (t) => {
  const { views } = await startShards(t, 1);
  const running = await startProxy({ shards: views, keys: { default: KEY } });
  t.after(() => running.close());
  const [one, other] = await Promise.all([
    RawClient.open(running.port),
    RawClient.open(running.port),
  ]);
  const value = Buffer.alloc(48 * MB, 'v');
  await one.ask('SET', 'v', value);
  await other.ask('SET', 'small', 's');
  const reader = new Reader(running.port, false);
  await reader.login();
  reader.socket.pause();
  const commands = [['MULTI'], ['GET', 'v'], ['ECHO', 'e'], ['EXEC'], ['PING']];
  reader.socket.write(Buffer.concat(commands.map((command) => encodeCommand(command))));
  await eventually('it is here', () => unread.bytes > 40 * MB, DEADLINE_MS);
  assert.equal(await other.ask('GET', 'small'), '$1\r\ns\r\n');
  reader.socket.resume();
  const want = Buffer.concat([
    Buffer.from(`+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n$${value.length}\r\n`),
    value,
    Buffer.from('\r\n$1\r\ne\r\n+PONG\r\n'),
  ]);
  await eventually('all of it', () => reader.bytes >= want.length, DEADLINE_MS);
  assert.ok(reader.take().equals(want));
  await eventually('nothing is kept', () => unread.bytes === 0, DEADLINE_MS);
  // A client that goes in the middle leaves nothing either.
  reader.socket.pause();
  reader.socket.write(Buffer.concat(commands.map((command) => encodeCommand(command))));
  await eventually('begun', () => unread.bytes > MB, DEADLINE_MS);
  reader.socket.destroy();
  await eventually('nothing is kept', () => unread.bytes === 0, DEADLINE_MS);
  for (const client of [one, other]) client.close();
});

test('messages that wait for the end of a reply are counted, and no longer when their client goes', async (t) => {
  const { views } = await startShards(t, 1);
  const running = await startProxy({ shards: views, keys: { default: KEY } });
  t.after(() => running.close());
  const [reader, other] = await Promise.all([
    RawClient.open(running.port, 3),
    RawClient.open(running.port),
  ]);
  await other.ask('SET', 'v', Buffer.alloc(48 * MB, 'v'));
  reader.send(['SUBSCRIBE', 'c']);
  await reader.settled();
  reader.socket.pause();
  reader.send(['GET', 'v']);
  await eventually('it is half written', () => unread.bytes > 0, DEADLINE_MS);
  const before = unread.bytes;
  const message = Buffer.alloc(MB, 'm');
  for (let i = 0; i < 20; i++) assert.equal(await other.ask('PUBLISH', 'c', message), ':1\r\n');
  await eventually('all are counted', () => unread.bytes >= before + 20 * MB, DEADLINE_MS);
  reader.close();
  await eventually('nothing is kept', () => unread.bytes === 0, DEADLINE_MS);
  other.close();
});
