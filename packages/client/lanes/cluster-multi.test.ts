/** Transactions and pipelines over cluster clients while their slot moves, and how they are counted. */
import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { after, before, describe, test } from 'node:test';
import { lanes, lanesOf } from '../index.ts';
import type { CommandEvent } from '../telemetry/channels.ts';
import { clusterKinds } from '../testing/clients.ts';
import { homesOf } from '../testing/orders.ts';
import { ask, startCluster, type TestCluster } from '../testing/server.ts';
import { until } from '../testing/until.ts';

let cluster: TestCluster;
before(async () => {
  cluster = await startCluster(clusterKinds.length);
});
after(() => cluster?.stop());

/** How often a node has said that some of the keys have moved, and others not. */
async function refusals(): Promise<number> {
  const stats = await Promise.all(cluster.ports.map((port) => ask(port, 'INFO', 'errorstats')));
  const counts = stats.map((text) => Number(/TRYAGAIN:count=(\d+)/.exec(text)?.[1] ?? 0));
  return counts.reduce((sum, count) => sum + count, 0);
}

/** A slot that is about to go to the other node, key by key. */
async function startMove(tag: string, from: number, to: number) {
  const idOf = async (port: number): Promise<string> =>
    /[0-9a-f]{40}/.exec(await ask(port, 'CLUSTER', 'MYID'))?.[0] ?? '';
  const slot = /\d+/.exec(await ask(from, 'CLUSTER', 'KEYSLOT', tag))?.[0] ?? '';
  await ask(to, 'CLUSTER', 'SETSLOT', slot, 'IMPORTING', await idOf(from));
  await ask(from, 'CLUSTER', 'SETSLOT', slot, 'MIGRATING', await idOf(to));
  return {
    key: (name: string) => ask(from, 'MIGRATE', '127.0.0.1', String(to), name, '0', '5000'),
    end: async () => {
      for (const port of [to, from])
        await ask(port, 'CLUSTER', 'SETSLOT', slot, 'NODE', await idOf(to));
    },
  };
}

for (const [i, kind] of clusterKinds.entries()) {
  describe(kind.name, () => {
    test('a transaction waits until all of its keys have moved, and what comes later waits for it', async (t) => {
      const redis = lanes(() => kind.make(cluster.ports));
      t.after(() => kind.close(redis));
      await kind.connect(redis);
      const home = (await homesOf(cluster.ports))[i];
      const { tag = '', port: from = 0 } = home ?? {};
      const to = cluster.ports.find((port) => port !== from) ?? 0;
      const [a, b] = [`{${tag}}a ${kind.name}`, `{${tag}}b ${kind.name}`];
      const both = [
        ['incr', a],
        ['append', b, 'x'],
      ];
      assert.deepEqual(await kind.multi(redis, both), [1, 1]);
      const move = await startMove(tag, from, to);
      await move.key(a);
      const before = await refusals();
      const waits = kind.multi(redis, both);
      // What is asked for before its client hears of the first refusal would go before it.
      await until(async () => (await refusals()) > before + 1);
      const later = redis.append(b, 'y');
      // It is refused once more, with something behind it.
      const once = await refusals();
      await until(async () => (await refusals()) > once);
      await move.key(b);
      assert.deepEqual(await waits, [2, 2]);
      assert.equal(await later, 3);
      // ASK, and MOVED.
      assert.deepEqual(await kind.multi(redis, both), [3, 4]);
      assert.deepEqual(await kind.pipeline(redis, both), [4, 5]);
      await move.end();
      assert.deepEqual(await kind.multi(redis, both), [5, 6]);
      assert.deepEqual(await kind.pipeline(redis, both), [6, 7]);
      assert.equal(await redis.get(b), 'xxyxxxx');
      await until(() => lanesOf(redis).every((lane) => lane.pending === 0));
    });

    test('order holds between commands, pipelines and transactions that are not awaited', async (t) => {
      const redis = lanes(() => kind.make(cluster.ports), {
        small: { min: 2 },
        choose: 'round-robin',
      });
      t.after(() => kind.close(redis));
      await kind.connect(redis);
      const key = `order of ${kind.name}`;
      const all = [];
      for (let i = 0; i < 60; i += 3) {
        all.push(redis.append(key, `${i},`));
        all.push(kind.multi(redis, [['append', key, `${i + 1},`]]));
        all.push(kind.pipeline(redis, [['append', key, `${i + 2},`]]));
      }
      await Promise.all(all);
      assert.equal(await redis.get(key), Array.from({ length: 60 }, (_, i) => `${i},`).join(''));
    });

    test('each command of a transaction and of a pipeline is told, once, with its times', async (t) => {
      const redis = lanes(() => kind.make(cluster.ports));
      t.after(() => kind.close(redis));
      await kind.connect(redis);
      const told: CommandEvent[] = [];
      const hear = (message: unknown): void => void told.push(message as CommandEvent);
      subscribe('cinnabar:client:command', hear);
      t.after(() => unsubscribe('cinnabar:client:command', hear));
      const key = `counted of ${kind.name}`;
      await kind.multi(redis, [
        ['set', key, 'text'],
        ['get', key],
      ]);
      const names = (): string => told.map(({ command }) => command).join(' ');
      await until(() => told.length >= 4);
      assert.equal(names(), 'multi set get exec');
      for (const event of told) {
        const { queueMs, behindMs, serverMs, wireMs, totalMs, bytesIn, endpoint } = event;
        assert.ok(bytesIn > 0, `${event.command}: ${bytesIn} bytes in`);
        assert.ok(
          cluster.ports.some((port) => endpoint.endsWith(`:${port}`)),
          endpoint,
        );
        for (const ms of [queueMs, behindMs, serverMs, wireMs])
          assert.ok(ms >= 0, JSON.stringify(event));
        assert.ok(Math.abs(queueMs + behindMs + serverMs + wireMs - totalMs) < 0.001);
      }
      told.length = 0;
      await kind
        .pipeline(redis, [
          ['get', key],
          ['lpush', key, 'v'],
        ])
        .catch(() => {});
      await until(() => told.length >= 2);
      assert.equal(names(), 'get lpush');
      assert.match(String(told[1]?.error), /WRONGTYPE/);
    });
  });
}
