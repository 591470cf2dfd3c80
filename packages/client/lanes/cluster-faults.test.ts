/** Cluster clients in lanes, while connections are killed and slots move: every call ends, no key is left behind. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { IoCluster } from '../adapters/ioredis-shape.ts';
import { calling, type KitError, lanes, lanesOf } from '../index.ts';
import { clusterKinds } from '../testing/clients.ts';
import { ask, startCluster, type TestCluster } from '../testing/server.ts';
import { until } from '../testing/until.ts';
import type { Lane } from './lane.ts';
import { poolOf } from './lanes.ts';

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

    if (kind.library === 'redis') return;
    test('a transaction that the library queues again and does not send leaves nothing behind', async () => {
      const redis = lanes(() => kind.make(cluster.ports));
      await redis.get('{t}a');
      const wrong = ['get', '{t}a', 'one too many'];
      const replies = await kind.pipeline(redis, [['multi'], wrong, wrong, ['exec']]);
      assert.match(String(replies.at(-1)), /EXECABORT/);
      await until(() => lanesOf(redis).every((lane) => lane.pending === 0));
      await kind.close(redis);
    });

    test('a call that is made again on another lane is of that lane, also when its slot has moved', async (t) => {
      const { ports } = cluster;
      const redis = lanes(() => kind.make(ports), { small: { min: 2 }, choose: 'round-robin' });
      t.after(() => kind.close(redis));
      const key = `moves-${kind.name}`;
      await until(() => lanesOf(redis).every((lane) => lane.state === 'ready'));
      for (let i = 0; i < 4; i += 1) await redis.get(key);
      const lanesNow = [...(poolOf(redis)?.lanes ?? [])];
      const cut = (port: number, which: readonly Lane[]): void => {
        for (const { client } of which) {
          const cluster = client?.library as IoCluster | undefined;
          for (const node of cluster?.nodes() ?? []) {
            if (node.options.port === port) node.stream?.destroy();
          }
        }
      };
      const [from, to] = await moveSlot(key, ports);
      await ask(to, 'CLIENT', 'PAUSE', '20000', 'WRITE');
      t.after(() => ask(to, 'CLIENT', 'UNPAUSE'));
      const set = calling(redis, { idempotent: true, deadlineMs: GO_ON_MS }).set(key, '1');
      cut(
        from,
        lanesNow.filter((lane) => lane.pending.size > 0),
      );
      // The other lane asks where the slot was, is told where it is now, and waits there.
      const waits = `:${to}`;
      await until(() =>
        lanesNow.some((lane) =>
          [...lane.wires].some(({ endpoint, pending }) => endpoint.endsWith(waits) && pending > 0),
        ),
      );
      cut(to, lanesNow);
      await ask(to, 'CLIENT', 'UNPAUSE');
      assert.equal(await set, 'OK');
      await until(() => lanesOf(redis).every((lane) => lane.pending === 0));
    });
  });
}

/** Gives the slot of a key that does not exist to the next node; answers both ports. */
async function moveSlot(key: string, ports: readonly number[]): Promise<[number, number]> {
  const slot = /\d+/.exec(await ask(ports[0] ?? 0, 'CLUSTER', 'KEYSLOT', key))?.[0] ?? '';
  const at = Math.floor(Number(slot) / Math.ceil(16_384 / ports.length));
  const from = ports[at] ?? 0;
  const to = ports[(at + 1) % ports.length] ?? 0;
  const node = /[0-9a-f]{40}/.exec(await ask(to, 'CLUSTER', 'MYID'))?.[0] ?? '';
  for (const port of [to, from]) await ask(port, 'CLUSTER', 'SETSLOT', slot, 'NODE', node);
  return [from, to];
}
