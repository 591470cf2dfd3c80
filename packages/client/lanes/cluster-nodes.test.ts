/** Cluster clients whose commands the kit takes to the nodes: replicas, failovers, transactions whose slot moves. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { IoCluster, IoRedis } from '../adapters/ioredis-shape.ts';
import { type KitError, lanes, lanesOf } from '../index.ts';
import { clusterKinds } from '../testing/clients.ts';
import { homesOf } from '../testing/orders.ts';
import { startProxy } from '../testing/proxy.ts';
import { ask, startCluster, type TestCluster } from '../testing/server.ts';
import { until } from '../testing/until.ts';
import { poolOf } from './lanes.ts';

const kinds = clusterKinds.filter(({ library }) => library !== 'redis');

async function idOf(port: number): Promise<string> {
  return /[0-9a-f]{40}/.exec(await ask(port, 'CLUSTER', 'MYID'))?.[0] ?? '';
}

async function slotOf(port: number, key: string): Promise<string> {
  return /\d+/.exec(await ask(port, 'CLUSTER', 'KEYSLOT', key))?.[0] ?? '';
}

/** How often a server has run a command. */
async function ran(port: number, command: string): Promise<number> {
  const stats = await ask(port, 'INFO', 'commandstats');
  return Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(stats)?.[1] ?? 0);
}

for (const kind of kinds) {
  describe(`${kind.name}, replicas`, () => {
    let cluster: TestCluster;
    before(async () => {
      cluster = await startCluster(3);
      // The last one has given its slots away and follows the first.
      const [first = 0, second = 0, last = 0] = cluster.ports;
      const range = ['CLUSTER', 'DELSLOTSRANGE', '10924', '16383'];
      for (const port of [last, first, second]) await ask(port, ...range);
      await ask(second, 'CLUSTER', 'ADDSLOTSRANGE', '10924', '16383');
      const id = await idOf(first);
      await until(async () => (await ask(last, 'CLUSTER', 'REPLICATE', id)).startsWith('+'));
      for (const port of cluster.ports)
        await until(async () => {
          const nodes = await ask(port, 'CLUSTER', 'NODES');
          return nodes.includes(' slave ') || nodes.includes('myself,slave');
        });
      const up = async (): Promise<boolean> =>
        (await ask(last, 'INFO', 'replication')).includes('link_status:up');
      await until(up, 30_000);
      const told = async (port: number): Promise<boolean> =>
        (await ask(port, 'CLUSTER', 'SLOTS')).includes(`:${last}\r\n`);
      for (const port of cluster.ports) await until(() => told(port), 30_000);
    });
    after(() => cluster?.stop());

    test('reads go where scaleReads says, writes to the primary', async (t) => {
      const [first = 0, , last = 0] = cluster.ports;
      const [home] = (await homesOf(cluster.ports)).filter(({ port }) => port === first);
      const key = `{${home?.tag}}read`;
      for (const scaleReads of ['slave', (nodes: unknown[]) => nodes.at(-1)]) {
        const redis = lanes(() => kind.make(cluster.ports, { scaleReads }));
        t.after(() => kind.close(redis));
        await redis.set(key, '1');
        const before = await ran(last, 'get');
        for (let i = 0; i < 5; i += 1) await until(async () => (await redis.get(key)) === '1');
        const pair = [
          ['get', key],
          ['get', key],
        ];
        assert.deepEqual(await kind.pipeline(redis, pair), ['1', '1']);
        assert.ok((await ran(last, 'get')) >= before + 7);
        await until(() => lanesOf(redis).every((lane) => lane.pending === 0));
      }
    });

    test('a replica takes over: what waited is made there, in order', async () => {
      const [first = 0, , last = 0] = cluster.ports;
      const [home] = (await homesOf(cluster.ports)).filter(({ port }) => port === first);
      const list = `{${home?.tag}}list`;
      const redis = lanes(() => kind.make(cluster.ports));
      await kind.call(redis, 'rpush', list, '0');
      cluster.nodes[0]?.kill();
      const fates: Promise<unknown>[] = [];
      const lengths: number[] = [];
      const push = async (i: number): Promise<void> => {
        try {
          lengths.push(Number(await kind.call(redis, 'rpush', list, String(i))));
        } catch (error) {
          assert.equal((error as KitError).code, 'ERR_CLIENT_UNKNOWN_OUTCOME');
        }
      };
      for (let i = 1; i <= 20; i += 1) {
        fates.push(push(i));
        await new Promise((done) => setTimeout(done, 20));
        if (i === 10) await ask(last, 'CLUSTER', 'FAILOVER', 'TAKEOVER');
      }
      await Promise.all(fates);
      const there = (await kind.call(redis, 'lrange', list, '0', '-1')) as string[];
      assert.deepEqual(
        there.map(Number),
        there.map(Number).sort((a, b) => a - b),
      );
      assert.ok(lengths.length >= 10, `${lengths.length} of 20`);
      await kind.close(redis);
    });
  });

  describe(`${kind.name}, slots that move`, () => {
    let cluster: TestCluster;
    before(async () => {
      cluster = await startCluster(2);
    });
    after(() => cluster?.stop());

    test('transactions, pipelines, and scripts that a node does not know', async (t) => {
      const redis = lanes(() => kind.make(cluster.ports));
      t.after(() => kind.close(redis));
      const [home] = await homesOf(cluster.ports);
      const { tag = '', port: from = 0 } = home ?? {};
      const to = cluster.ports.find((port) => port !== from) ?? 0;
      const slot = await slotOf(from, tag);
      const counters = ['a', 'b'].map((name) => ['incr', `{${tag}}${name}`]);
      assert.deepEqual(await kind.multi(redis, counters), [1, 1]);
      // One of its keys has moved, the other comes in a moment.
      await ask(to, 'CLUSTER', 'SETSLOT', slot, 'IMPORTING', await idOf(from));
      await ask(from, 'CLUSTER', 'SETSLOT', slot, 'MIGRATING', await idOf(to));
      await ask(from, 'MIGRATE', '127.0.0.1', String(to), `{${tag}}a`, '0', '5000');
      const overtaken = assert.rejects(kind.multi(redis, counters), /ASK|TRYAGAIN/);
      assert.deepEqual(await kind.pipeline(redis, counters), [2, 2]);
      // The pipeline was later and has run, so the transaction may not.
      await overtaken;
      await ask(from, 'MIGRATE', '127.0.0.1', String(to), `{${tag}}b`, '0', '5000');
      assert.deepEqual(await kind.multi(redis, counters), [3, 3]);
      for (const port of [to, from])
        await ask(port, 'CLUSTER', 'SETSLOT', slot, 'NODE', await idOf(to));
      assert.deepEqual(await kind.multi(redis, counters), [4, 4]);
      assert.deepEqual(await kind.pipeline(redis, counters), [5, 5]);
      const io = redis as unknown as IoRedis & {
        defineCommand(name: string, definition: object): void;
      };
      io.defineCommand('twice', { numberOfKeys: 1, lua: "return redis.call('INCRBY',KEYS[1],2)" });
      const twice = async (): Promise<unknown> => {
        const pipeline = io.pipeline() as unknown as Record<string, (key: string) => unknown>;
        pipeline['twice']?.(`{${tag}}a`);
        return (pipeline as unknown as { exec(): Promise<unknown> }).exec();
      };
      assert.deepEqual(await twice(), [[null, 7]]);
      await ask(to, 'SCRIPT', 'FLUSH');
      assert.deepEqual(await twice(), [[null, 9]]);
      await until(() => lanesOf(redis).every((lane) => lane.pending === 0));
    });

    test('what goes to the new node of a slot waits for what is under way to the old one', async (t) => {
      const relays = await Promise.all(cluster.ports.map((port) => startProxy(port)));
      t.after(() => Promise.all(relays.map((relay) => relay.stop())));
      const places = cluster.ports.map((port, i) => [
        `127.0.0.1:${port}`,
        { host: '127.0.0.1', port: relays[i]?.port ?? 0 },
      ]);
      const more = { natMap: Object.fromEntries(places), slotsRefreshTimeout: 200 };
      const entries = relays.map((relay) => relay.port);
      const redis = lanes(() => kind.make(entries, more), { deadlines: false });
      t.after(() => kind.close(redis));
      // Of slots that no test before this one has moved.
      const [other, home] = await homesOf(cluster.ports, 'way');
      const { tag = '', port: from = 0 } = home ?? {};
      const to = cluster.ports.find((port) => port !== from) ?? 0;
      const slot = await slotOf(from, tag);
      const key = `{${tag}}under way`;
      await redis.get(key);
      const relay = relays[cluster.ports.indexOf(from)];
      relay?.stall();
      const first = redis.append(key, 'a');
      for (const port of [to, from])
        await ask(port, 'CLUSTER', 'SETSLOT', slot, 'NODE', await idOf(to));
      const [lane] = poolOf(redis)?.lanes ?? [];
      const library = lane?.client?.library as IoCluster;
      // By a look at the map, and not by what the old node says.
      await until(async () => {
        await new Promise((done) => library.refreshSlotsCache(done));
        return (
          library.slots[Number(slot)]?.[0] ===
          `127.0.0.1:${relays[cluster.ports.indexOf(to)]?.port}`
        );
      });
      const later = redis.append(key, 'b');
      // The new node answers what is asked of it meanwhile.
      assert.equal(await redis.get(`{${other?.tag}}asked meanwhile`), null);
      relay?.resume();
      assert.deepEqual(await Promise.all([first, later]), [1, 2]);
      assert.equal(await redis.get(key), 'ab');
    });

    test('a transaction whose WATCH is lost with its connection is not run', async (t) => {
      const redis = lanes(() => kind.make(cluster.ports));
      t.after(() => kind.close(redis));
      for (const { tag } of await homesOf(cluster.ports)) await redis.get(tag);
      await redis.set('watched', '1');
      const slot = Number(await slotOf(cluster.ports[0] ?? 0, 'watched'));
      const port = cluster.ports[slot < 8_192 ? 0 : 1] ?? 0;
      await kind.call(redis, 'watch', 'watched');
      await ask(port, 'CLIENT', 'KILL', 'TYPE', 'normal');
      const [lane] = poolOf(redis)?.lanes ?? [];
      await until(() => lane?.wires.every((wire) => !wire.endpoint.endsWith(`:${port}`)) === true);
      await assert.rejects(kind.multi(redis, [['set', 'watched', '2']]), /WATCH/);
      assert.equal(await redis.get('watched'), '1');
    });
  });
}
