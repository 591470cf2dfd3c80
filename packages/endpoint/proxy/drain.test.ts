/** A path that is replaced ends its clients between two commands. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { eventually } from '../../engine/testing.ts';
import { encodeCommand } from '../../resp/index.ts';
import { DRAIN_FRESH_MS, LANE_RETRY_MS } from './limits.ts';
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
    void running.proxy.drain(Date.now() + DRAIN_FRESH_MS);
    // It lies there when the time to look for clients at rest has come, too.
    client.socket.write(encodeCommand(['INCR', 'n']));
    const until = performance.now() + 2 * LANE_RETRY_MS;
    while (performance.now() < until);
    await eventually('the end', () => client.closed);
    assert.equal(client.received.toString(), `:${round + 1}\r\n`);
    assert.deepEqual(running.reasons, ['drained']);
  }
});
