/** A path that is replaced ends its clients between two commands. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { eventually } from '../../engine/testing.ts';
import { encodeCommand } from '../../resp/index.ts';
import {
  DRAIN_FRESH_MS,
  DRAIN_PAUSES_MS,
  DRAIN_SILENT_MS,
  DRAIN_STALE_MS,
  LANE_RETRY_MS,
} from './limits.ts';
import { startProxy } from './testing.ts';
import { KEY, RawClient, startShards } from './testing-engines.ts';

const ROUNDS = 10;

test('what has come and was not looked at yet is answered before the end', async (t) => {
  const { views } = await startShards(t, 1);
  for (let round = 1; round <= ROUNDS; round++) {
    const running = await startProxy({ shards: views, keys: { default: KEY } });
    t.after(() => running.close());
    const client = await RawClient.open(running.port);
    await client.ask('SET', 'n', round);
    client.received = Buffer.alloc(0);
    // Timers are next, and what has come after them.
    await turn();
    void running.proxy.drain(performance.now() + DRAIN_FRESH_MS);
    // It lies there when the time to look for clients at rest has come, too.
    client.socket.write(encodeCommand(['INCR', 'n']));
    const until = performance.now() + 2 * LANE_RETRY_MS;
    while (performance.now() < until);
    await eventually('the end', () => client.closed);
    assert.equal(client.received.toString(), `:${round + 1}\r\n`);
    assert.deepEqual(running.reasons, ['drained']);
  }
});

test('what comes while others are ended is answered before the end', async (t) => {
  const { views } = await startShards(t, 1);
  const running = await startProxy({ shards: views, keys: { default: KEY } });
  t.after(() => running.close());
  const clients = await Promise.all(Array.from({ length: 10 }, () => RawClient.open(running.port)));
  for (const [i, client] of clients.entries()) {
    await client.ask('SET', `n${i}`, 0);
    client.received = Buffer.alloc(0);
  }
  const { push } = Array.prototype;
  let first = true;
  running.reasons.push = function (this: string[], ...reasons: string[]): number {
    if (first) {
      first = false;
      for (const [i, client] of clients.entries()) client.send(['INCR', `n${i}`]);
      const until = performance.now() + 2 * DRAIN_STALE_MS;
      while (performance.now() < until);
    }
    return push.apply(this, reasons);
  };
  void running.proxy.drain(performance.now() + DRAIN_FRESH_MS);
  await eventually('the ends', () => clients.every(({ closed }) => closed));
  const answered = clients.filter(({ received }) => received.toString() === ':1\r\n');
  assert.equal(answered.length, clients.length - 1, 'all but the one that was being ended');
});

test('who asks one thing after another leaves when he pauses', async (t) => {
  const { views } = await startShards(t, 1);
  const [ask, reply] = [encodeCommand(['PING']), '+PONG\r\n'];
  let withinBurst = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const running = await startProxy({ shards: views, keys: { default: KEY } });
    t.after(() => running.close());
    const client = await RawClient.open(running.port);
    const until = performance.now() + DRAIN_PAUSES_MS / 10;
    let [asked, answered] = [0, 0];
    let [askedAt, tookMs] = [0, 0];
    const next = (): void => {
      asked++;
      askedAt = performance.now();
      client.socket.write(ask);
    };
    client.socket.on('data', (bytes: Buffer) => {
      answered += bytes.length / reply.length;
      tookMs = performance.now() - askedAt;
      if (performance.now() < until) next();
    });
    next();
    void running.proxy.drain(performance.now() + DRAIN_FRESH_MS);
    await eventually('the end', () => client.closed);
    // A machine that stands still for a moment looks like a pause.
    const stood = tookMs >= DRAIN_SILENT_MS;
    if (!stood && (asked !== answered || performance.now() < until)) withinBurst++;
  }
  assert.ok(withinBurst <= ROUNDS / 5, `${withinBurst} of ${ROUNDS}`);
});
