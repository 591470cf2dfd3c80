/** WAIT in a MULTI: it does not block, and is about this client's earlier writes, wherever they are. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../../engine/testing.ts';
import { keySlot } from '../../resp/index.ts';
import { startProxy } from './testing.ts';
import { KEY, RawClient, startShards } from './testing-engines.ts';

const BLOCKS_MS = 3000;

for (const [count, workers] of [
  [1, 1],
  [3, 2],
] as const) {
  test(`WAIT in a MULTI, ${count} shard(s)`, async (t) => {
    const { shards, views } = await startShards(t, count, true);
    const bare = await startShards(t, 1, true);
    const running = await startProxy({ shards: views, keys: { default: KEY }, workers });
    t.after(() => running.close());
    const ours = await RawClient.open(running.port);
    const theirs = await RawClient.open(bare.shards[0]?.primary.launch.socket ?? assert.fail());
    // Keys of every shard.
    const keyOf = (shard: number): string => {
      for (let i = 0; ; i++) {
        const slot = keySlot(Buffer.from(`k${i}`));
        if (Math.floor((slot * count) / 16384) === shard) return `k${i}`;
      }
    };
    const keys = shards.map((_, shard) => keyOf(shard));
    const [key = ''] = keys;
    const pidOf = (shard: { readonly replica: { process: { pid?: number } } | null } | undefined) =>
      shard?.replica?.process.pid ?? assert.fail();
    const stopped = [...shards, ...bare.shards].map(pidOf);
    const alike = async (...commands: (string | number)[][]): Promise<string> => {
      const began = performance.now();
      ours.send(...commands);
      theirs.send(...commands);
      const [a, b] = await Promise.all([ours.settled(), theirs.settled()]);
      assert.equal(a.toString(), b.toString());
      assert.ok(performance.now() - began < BLOCKS_MS, 'it blocks');
      return a.toString();
    };
    const multi = (...commands: (string | number)[][]) => alike(['MULTI'], ...commands, ['EXEC']);
    const waits = [
      ['WAIT', 1, 60_000],
      ['WAITAOF', 0, 1, 60_000],
    ];

    await t.test('as a bare engine', async () => {
      await multi(['WAIT', 0, 0]);
      for (const each of keys) await alike(['SET', each, 'v']);
      await alike(['WAIT', 1, 5000]);
      const within = await multi(['WAIT', 1, 60_000], ['SET', key, 'w'], ['WAIT', 1, 60_000]);
      assert.match(within, /\*3\r\n:1\r\n\+OK\r\n:1\r\n$/, 'its own writes are not meant');
      await multi(['WAIT', 'x', 0], ['WAIT', 1, -1], ['WAIT', -1, 1], ['WAITAOF', 1, 0, 1]);
      await multi(['SET', key, 'w'], ['CLIENT', 'GETNAME'], ['WAIT', 9, 0], ['GET', key]);
      await alike(['WAIT', 1, 5000]);
      for (const pid of stopped) process.kill(pid, 'SIGSTOP');
      await alike(['SET', key, 'v']);
      assert.match(await multi(...waits), /\*2\r\n:0\r\n\*2\r\n:0\r\n:0\r\n$/);
      await alike(['WATCH', key], ['MULTI'], ...waits, ['EXEC']);
      for (const pid of stopped) process.kill(pid, 'SIGCONT');
      await alike(['WAIT', 1, 5000]);
      assert.match(await multi(['GET', key], ['WAIT', 1, 0]), /:1\r\n$/);
    });

    await t.test("its writes on other shards and lanes, and nobody else's", async () => {
      const other = await RawClient.open(running.port);
      const last = keys.at(-1) ?? assert.fail();
      const pid = pidOf(shards.at(-1));
      process.kill(pid, 'SIGSTOP');
      assert.equal(await ours.ask('SET', last, 'v'), '+OK\r\n');
      ours.send(['MULTI'], ['GET', key], ['WAIT', 1, 0], ['EXEC']);
      assert.match((await ours.settled()).toString(), /:0\r\n$/);
      // On another lane, because somebody waits on the first.
      const waiting = other.ask('SET', last, 'v').then(() => other.ask('WAIT', 1, 20_000));
      await eventually('it waits', () =>
        running.proxies.some(({ world }) =>
          world.topology.shards.some((shard) => [...shard.lanes].some((lane) => lane.waits > 0)),
        ),
      );
      ours.send(
        ['DEL', `{${last}}none`],
        ['MULTI'],
        ['DEL', `{${last}}none`],
        ['WAIT', 1, 0],
        ['EXEC'],
      );
      assert.match((await ours.settled()).toString(), /\*2\r\n:0\r\n:0\r\n$/);
      process.kill(pid, 'SIGCONT');
      assert.equal(await waiting, ':1\r\n');
      assert.equal(await ours.ask('WAIT', 1, 5000), ':1\r\n');
      ours.send(['MULTI'], ['GET', key], ['WAIT', 1, 0], ['EXEC']);
      assert.match((await ours.settled()).toString(), /:1\r\n$/);
      other.close();
    });
    for (const client of [ours, theirs]) client.close();
  });
}
