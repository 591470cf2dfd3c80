/** Whose time is over: that of a shard that is not there, and not that of a client who reads slowly. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../../engine/testing.ts';
import { encodeCommand, keySlot } from '../../resp/index.ts';
import { SHARD_WAIT_MS } from './limits.ts';
import { startProxy } from './testing.ts';
import { KEY, RawClient, Reader, startShards } from './testing-engines.ts';

const DEADLINE_MS = 60_000;
const VALUES = 40;

test('no command fails because its client reads slowly, or because another shard is down', async (t) => {
  const { views } = await startShards(t, 2);
  const running = await startProxy({ shards: views, keys: { default: KEY } });
  t.after(() => running.close());
  const key = (shard: number): string => {
    for (let i = 0; ; i++) {
      if (Math.floor(keySlot(Buffer.from(`k${i}`)) / 8192) === shard) return `k${i}`;
    }
  };
  const [up, down] = [key(0), key(1)];
  const value = Buffer.alloc(1024 * 1024, 'v');
  const writer = await RawClient.open(running.port);
  await writer.ask('SET', up, value);
  running.apply({
    shards: views.map((view, i) => (i === 1 ? { ...view, state: 'down', reason: 'test' } : view)),
  });

  const slow = new Reader(running.port, false);
  await slow.login();
  slow.socket.pause();
  const get = encodeCommand(['GET', up]);
  slow.socket.write(Buffer.concat(Array.from({ length: VALUES }, () => get)));
  const began = performance.now();
  const popper = await RawClient.open(running.port);
  const pop = (seconds: number) => encodeCommand(['BLPOP', `{${up}}none`, String(seconds)]);
  popper.socket.write(Buffer.concat([pop(SHARD_WAIT_MS / 1000 + 1), pop(0.01)]));

  const error = `-CLUSTERDOWN shard-down: shard ${views[1]?.id} did not become available within ${SHARD_WAIT_MS / 1000} s; the command was not executed\r\n`;
  writer.send(
    ['STRLEN', down],
    ['EVAL', 'return #redis.call("get",KEYS[1])', '1', up],
    ['STRLEN', down],
    ['EXISTS', up, `{${up}}1`],
    ['EVAL', 'return 1', '1', down],
    ['MGET', down, `{${down}}1`, `{${up}}1`],
  );
  const replies = await writer.settled(DEADLINE_MS);
  assert.equal(
    replies.toString('latin1'),
    `${error}:${value.length}\r\n${error}:1\r\n${error}${error}`,
  );
  assert.ok(performance.now() - began < 2 * SHARD_WAIT_MS, 'one wait for all of them');

  const popped = await popper.settled(DEADLINE_MS);
  assert.equal(
    popped.toString('latin1'),
    '*-1\r\n'.repeat(2),
    'a pop that waits is no wait for a shard',
  );
  await eventually(
    'longer than a shard is waited for',
    () => performance.now() - began > SHARD_WAIT_MS + 500,
    DEADLINE_MS,
  );
  slow.socket.resume();
  const whole = Buffer.concat([Buffer.from(`$${value.length}\r\n`), value, Buffer.from('\r\n')]);
  await eventually(
    'every value',
    () => slow.bytes >= VALUES * whole.length || slow.chunks.some((chunk) => chunk.includes('-')),
    DEADLINE_MS,
  );
  const all = slow.take();
  const at = all.indexOf('-');
  assert.equal(at < 0 ? '' : all.toString('latin1', at, at + 150), '');
  assert.equal(all.length, VALUES * whole.length);
  slow.socket.destroy();
  for (const client of [writer, popper]) client.close();
});
