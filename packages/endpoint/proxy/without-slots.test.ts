/** A shard without slots, after it gave all of them away: commands for all shards go there, too, until it goes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../../engine/testing.ts';
import { startProxy, WORKER_COUNTS } from './testing.ts';
import { instance, KEY, RawClient, startShards } from './testing-engines.ts';

/** Of slots that the first of two engines owns, by its own map as well. */
const KEYS = ['b', 'c', 'f', 'k2'];

for (const workers of WORKER_COUNTS) {
  test(`what it did not answer before it was removed is nobody else's to answer, ${workers} workers`, async (t) => {
    const { shards, views } = await startShards(t, 2);
    const [first, second] = views.map((view, i) => ({
      ...view,
      slots: i === 0 ? ([[0, 16383]] as const) : [],
    }));
    const leaving = shards[1]?.primary;
    assert.ok(first !== undefined && second !== undefined && leaving !== undefined);
    const running = await startProxy({ shards: [first, second], keys: { default: KEY }, workers });
    t.after(() => running.close());
    const client = await RawClient.open(running.port);
    for (const key of KEYS) assert.equal(await client.ask('SET', key, '1'), '+OK\r\n');
    assert.equal(await client.ask('DBSIZE'), ':4\r\n');

    process.kill(leaving.process.pid, 'SIGSTOP');
    client.send(['DBSIZE'], ['RANDOMKEY'], ['KEYS', '*'], ['INCR', 'n'], ['DBSIZE']);
    await eventually('it is in flight', () =>
      running.proxies.some(({ world }) => (world.topology.shards[1]?.inFlight ?? 0) > 0),
    );
    process.kill(leaving.process.pid, 'SIGKILL');
    const { node } = instance(leaving);
    await eventually('the loss is seen', () =>
      running.proxies.every(({ world }) =>
        world.topology.shards.every((shard) =>
          [...shard.lanes].every((lane) => lane.node !== node || !lane.open),
        ),
      ),
    );
    running.apply({ shards: [first] });
    const said = (await client.settled()).toString();
    assert.match(said, /^:4\r\n\$\d\r\n(?:b|c|f|k2)\r\n\*4\r\n/);
    assert.match(said, /:1\r\n:\d\r\n$/);
    assert.equal(await client.ask('DBSIZE'), ':5\r\n');
    client.close();
  });
}
