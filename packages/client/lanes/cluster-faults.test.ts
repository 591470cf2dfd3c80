/** Cluster clients in lanes, while connections are killed and slots move: every call ends, no key is left behind. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type KitError, lanes, lanesOf } from '../index.ts';
import { clusterKinds } from '../testing/clients.ts';
import { ask, startCluster, type TestCluster } from '../testing/server.ts';
import { until } from '../testing/until.ts';

const KEYS = 12;
const KILLS = 6;
/** A cluster client that lost all its nodes looks for them again at its own pace. */
const GO_ON_MS = 20_000;

let cluster: TestCluster;
before(async () => {
  cluster = await startCluster(3);
});
after(() => cluster?.stop());

for (const kind of clusterKinds) {
  describe(kind.name, () => {
    test('killed connections and moved slots under load', async (t) => {
      const { ports } = cluster;
      const redis = lanes(() => kind.make(ports), { small: { min: 2 }, choose: 'round-robin' });
      await kind.connect(redis);
      for (let i = 0; i < KEYS; i += 1) await redis.del(`n${i}`);
      let stop = false;
      t.after(async () => {
        stop = true;
        await kind.close(redis);
      });
      let ops = 0;
      const odd = new Set<string>();
      const done = new Array<number>(KEYS).fill(0);
      const unknown = new Array<number>(KEYS).fill(0);
      const note = (error: KitError): void => {
        if (error.code !== 'ERR_CLIENT_UNKNOWN_OUTCOME') odd.add(error.code ?? error.message);
      };
      const count = async (i: number): Promise<void> => {
        while (!stop) {
          try {
            await redis.incr(`n${i}`);
            done[i] = (done[i] ?? 0) + 1;
            assert.ok(Number(await redis.get(`n${i}`)) >= (done[i] ?? 0));
            ops += 1;
          } catch (error) {
            unknown[i] = (unknown[i] ?? 0) + 1;
            note(error as KitError);
          }
        }
      };
      const both = async (i: number): Promise<void> => {
        const pair = [
          ['incr', `{m${i}}a`],
          ['incr', `{m${i}}b`],
        ];
        while (!stop) {
          const replies = await kind.multi(redis, pair).catch((error: KitError) => {
            note(error);
            return [];
          });
          if (replies.every((reply) => !(reply instanceof Error)))
            assert.equal(String(replies[0]), String(replies[1]), 'half a transaction ran');
        }
      };
      const work = [
        ...Array.from({ length: KEYS }, (_, i) => count(i)),
        ...Array.from({ length: 3 }, (_, i) => both(i)),
      ];
      for (let i = 0; i < KILLS; i += 1) {
        const from = ports[i % 3] ?? 0;
        const to = await ask(ports[(i + 1) % 3] ?? 0, 'CLUSTER', 'MYID');
        const slots = String((i % 3) * 5_500 + i * 10);
        // Engines without it only see their connections killed.
        const node = /[0-9a-f]{40}/.exec(to)?.[0] ?? '';
        await ask(from, 'CLUSTER', 'MIGRATESLOTS', 'SLOTSRANGE', slots, slots, 'NODE', node);
        const before = ops;
        await until(() => ops > before + 50, GO_ON_MS);
        for (const port of ports) await ask(port, 'CLIENT', 'KILL', 'TYPE', 'normal');
      }
      const before = ops;
      await until(() => ops > before + 50, GO_ON_MS);
      stop = true;
      await Promise.all(work);
      await until(() => lanesOf(redis).every((lane) => lane.pending === 0));
      for (let i = 0; i < KEYS; i += 1) {
        // A write, so that it needs its turn on its key.
        const ran = (await redis.incr(`n${i}`)) - 1;
        const least = done[i] ?? 0;
        assert.ok(ran >= least && ran <= least + (unknown[i] ?? 0), `n${i}: ${ran} of ${least}`);
      }
      // A cluster client that gives up by itself says so in its own words.
      const expected =
        /^ERR_CLIENT_(?:OFFLINE|LOST|DEADLINE)$|connection.*closed|too many cluster/i;
      assert.deepEqual(
        [...odd].filter((one) => !expected.test(one)),
        [],
      );
    });

    test('a pipeline that the library refuses as a whole leaves nothing behind', async () => {
      const redis = lanes(() => kind.make(cluster.ports));
      await kind.connect(redis);
      await redis.set('first', '1');
      const pair = [
        ['set', 'first', '2'],
        ['set', 'second', '2'],
      ];
      await assert.rejects(kind.multi(redis, pair));
      assert.equal(await redis.get('first'), '1');
      await until(() => lanesOf(redis).every((lane) => lane.pending === 0));
      await kind.close(redis);
    });
  });
}
