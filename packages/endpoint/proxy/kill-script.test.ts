/** SCRIPT KILL and FUNCTION KILL reach an engine whose lanes it does not read. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../../engine/testing.ts';
import { startProxy } from './testing.ts';
import { KEY, RawClient, startBare, startShards } from './testing-engines.ts';

const MS = 15_000;
const ASK_AGAIN_MS = 50;

for (const count of [1, 3]) {
  test(`a script that does not end, ${count} shard(s)`, async (t) => {
    const { shards, views } = await startShards(t, count);
    const bare = await startBare(t);
    const running = await startProxy({ shards: views, keys: { default: KEY } });
    t.after(() => running.close());
    const open = (): Promise<RawClient> => RawClient.open(running.port);
    const [runs, waits, kills] = await Promise.all([open(), open(), open()]);
    const theirs = await RawClient.open(bare.launch.socket);
    const library = [
      '#!lua name=endless',
      "redis.register_function('endless', function() while true do end end)",
    ].join('\n');
    assert.equal(await kills.ask('FUNCTION', 'LOAD', library), '$7\r\nendless\r\n');
    const direct = await Promise.all(
      shards.map(({ primary }) => RawClient.open(primary.launch.socket)),
    );
    // The engine of this key says so when its script has run for long enough.
    const busy = (): boolean => direct.some(({ received }) => received.includes('-BUSY '));
    for (const [endless, kill] of [
      [['EVAL', 'while true do end', '1', 'k'], 'SCRIPT'],
      [['FCALL', 'endless', '1', 'k'], 'FUNCTION'],
    ] as const) {
      // Nothing to kill.
      for (const client of [kills, theirs])
        client.send(['EVAL', 'return 1', '1', 'k'], [kill, 'KILL']);
      const [ours, its] = await Promise.all([kills.settled(), theirs.settled()]);
      assert.match(its.toString(), /^:1\r\n-NOTBUSY /);
      assert.equal(ours.toString(), its.toString());
      runs.send(endless);
      for (const each of direct) each.received = Buffer.alloc(0);
      const asking = setInterval(() => {
        for (const each of direct) each.send(['GET', 'k']);
      }, ASK_AGAIN_MS);
      await eventually('it is busy', busy, MS).finally(() => clearInterval(asking));
      // What this client asked for waits on the same lane, or came to the engine by another one.
      waits.send(['GET', 'k'], [kill, 'KILL']);
      assert.match((await waits.settled()).toString(), /^(?:\$-1\r\n|-BUSY .*\r\n)\+OK\r\n$/);
      assert.match((await runs.settled()).toString(), /^-ERR .*killed by user/i);
    }
    for (const client of [runs, waits, kills, theirs, ...direct]) client.close();
  });
}
