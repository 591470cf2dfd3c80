/** Where clients are direct an engine ends whoever is idle, and cannot tell our connections from theirs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../../engine/testing.ts';
import { LANE_IDLE_MS } from './limits.ts';
import { startProxy } from './testing.ts';
import { KEY, RawClient, startShards } from './testing-engines.ts';

const SHORTEST_ENGINE_TIMEOUT_MS = 60_000;
const SWEEP_MS = 5000;

test('what a client needs is not ended by an engine that ends idle clients', async (t) => {
  const { shards, views } = await startShards(t, 1);
  const engine = shards[0]?.primary ?? assert.fail();
  const options = { shards: views, keys: { default: KEY }, policy: 'OSSCluster' as const };
  const running = await startProxy(options);
  t.after(() => running.close());
  const [watching, tracking, writer] = await Promise.all([
    RawClient.open(running.port),
    RawClient.open(running.port, 3),
    RawClient.open(running.port),
  ]);
  assert.equal(await writer.ask('SET', 'key', '1'), '+OK\r\n');
  assert.equal(await watching.ask('WATCH', 'key'), '+OK\r\n');
  assert.equal(await tracking.ask('CLIENT', 'TRACKING', 'ON'), '+OK\r\n');
  assert.match(await tracking.ask('GET', 'key'), /1/);
  const shard = running.proxy.world.topology.shards[0] ?? assert.fail();

  await engine.link.command(['CONFIG', 'SET', 'timeout', '1'], 5000);
  const stranger = await RawClient.connect(engine.launch.socket);
  t.after(() => stranger.close());
  await eventually('the engine ends who is idle', () => {
    for (const lane of shard.lanes) lane.usedAt -= LANE_IDLE_MS + 1;
    shard.sweep();
    return stranger.closed;
  });

  watching.send(['MULTI'], ['SET', 'key', '2'], ['EXEC']);
  assert.match((await watching.settled()).toString(), /\*1\r\n\+OK\r\n$/);
  assert.match(
    (await tracking.settled()).toString(),
    /^>2\r\n\$10\r\ninvalidate\r\n\*1\r\n\$3\r\nkey\r\n$/,
  );
  assert.deepEqual(
    running.events.filter(({ kind }) => kind === 'shard-lost'),
    [],
  );
});

test('other connections are closed before an engine does it', () => {
  assert.ok(LANE_IDLE_MS + SWEEP_MS < SHORTEST_ENGINE_TIMEOUT_MS);
});
