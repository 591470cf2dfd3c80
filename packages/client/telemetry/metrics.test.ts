/** What OpenTelemetry hears: each call once, failed ones with why, and each client by a name of its own. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { lanes, type MeterLike, recordMetrics } from '../index.ts';
import { type Kind, olderKinds, plainKinds } from '../testing/clients.ts';
import { startProxy } from '../testing/proxy.ts';
import { startServer, type TestServer } from '../testing/server.ts';
import { until } from '../testing/until.ts';

let server: TestServer;
before(async () => {
  server = await startServer();
});
after(() => server?.stop());

type Attributes = Record<string, string | number>;

interface Recorded {
  readonly name: string;
  readonly value: number;
  readonly attributes: Attributes;
}

class Meter implements MeterLike {
  readonly recorded: Recorded[] = [];
  readonly #callbacks: [string, Parameters<Observable['addCallback']>[0]][] = [];

  createHistogram(name: string) {
    return {
      record: (value: number, attributes: Attributes) => this.#take(name, value, attributes),
    };
  }
  createCounter(name: string) {
    return { add: (value: number, attributes: Attributes) => this.#take(name, value, attributes) };
  }
  createObservableUpDownCounter(name: string): Observable {
    return { addCallback: (callback) => void this.#callbacks.push([name, callback]) };
  }
  #take(name: string, value: number, attributes: Attributes): void {
    this.recorded.push({ name, value, attributes });
  }

  /** As an exporter reads it. */
  collect(): Recorded[] {
    const all: Recorded[] = [];
    for (const [name, callback] of this.#callbacks)
      callback({ observe: (value, attributes) => void all.push({ name, value, attributes }) });
    return all;
  }

  /** `GET`, `INCR WRONGTYPE`: the durations, by what they are of. */
  get durations(): string[] {
    return this.recorded
      .filter(({ name }) => name === 'db.client.operation.duration')
      .map(({ attributes }) =>
        [attributes['db.operation.name'], attributes['error.type']].filter(Boolean).join(' '),
      );
  }
}

type Observable = ReturnType<MeterLike['createObservableUpDownCounter']>;

for (const kind of [...plainKinds, ...olderKinds]) {
  describe(kind.name, () => {
    test('failed calls are in the duration, once each, with what they failed with', async (t) => {
      const proxy = await startProxy(server.port);
      t.after(() => proxy.stop());
      const redis = lanes(() => kind.make([proxy.port]), {
        deadlines: { fastMs: 150 },
        offline: { ageMs: 100 },
        retries: { breaker: false },
        small: { max: 1 },
        bulk: { max: 0 },
      });
      t.after(() => kind.close(redis));
      await kind.connect(redis);
      await redis.set('list', 'text');
      const meter = new Meter();
      const stop = recordMetrics(meter);
      t.after(stop);
      await redis.get('list');
      await assert.rejects(kind.call(redis, 'LPUSH', 'list', 'v'));
      await kind
        .pipeline(redis, [
          ['get', 'list'],
          ['lpush', 'list', 'v'],
        ])
        .catch(() => {});
      assert.deepEqual(meter.durations, ['GET', 'LPUSH WRONGTYPE', 'GET', 'LPUSH WRONGTYPE']);
      for (const { attributes } of meter.recorded) {
        assert.equal(attributes['db.system.name'], 'redis');
        assert.equal(attributes['server.port'], proxy.port);
      }
      const failed = meter.recorded.find(({ attributes }) => 'error.type' in attributes);
      assert.equal(failed?.attributes['db.response.status_code'], 'WRONGTYPE');

      meter.recorded.length = 0;
      proxy.mute();
      await assert.rejects(redis.get('k'), { code: 'ERR_CLIENT_DEADLINE' });
      proxy.resume();
      // Its reply comes all the same, and is not told again.
      await redis.get('k');
      assert.deepEqual(meter.durations, ['GET ERR_CLIENT_DEADLINE', 'GET']);

      meter.recorded.length = 0;
      proxy.mute();
      const { passed } = proxy;
      const write = redis.incr('n');
      write.catch(() => {});
      await until(() => proxy.passed > passed);
      proxy.refuse(true);
      proxy.cut();
      await assert.rejects(write, { code: 'ERR_CLIENT_UNKNOWN_OUTCOME' });
      await assert.rejects(redis.get('k'), { code: 'ERR_CLIENT_OFFLINE' });
      assert.deepEqual(meter.durations, [
        'INCR ERR_CLIENT_UNKNOWN_OUTCOME',
        'GET ERR_CLIENT_OFFLINE',
      ]);
      for (const { name, value } of meter.recorded) assert.ok(value >= 0, name);
      proxy.resume();
      proxy.refuse(false);
    });
  });
}

test('two clients of one server are two pools, whose figures do not meet', async (t) => {
  const [kind] = plainKinds as [Kind];
  const clients = [0, 1].map(() => lanes(() => kind.make([server.port])));
  for (const client of clients) {
    t.after(() => kind.close(client));
    await client.get('k');
  }
  const meter = new Meter();
  t.after(recordMetrics(meter, clients));
  const all = meter.collect();
  const series = all.map(({ name, attributes }) => `${name} ${JSON.stringify(attributes)}`);
  assert.equal(new Set(series).size, series.length);
  const pools = new Set(all.map(({ attributes }) => attributes['db.client.connection.pool.name']));
  const [first = ''] = pools;
  assert.match(String(first), new RegExp(`^127\\.0\\.0\\.1:${server.port}`));
  assert.equal(pools.size, 2);
  for (const { attributes } of all) assert.equal(attributes['db.system.name'], 'redis');
  assert.deepEqual(
    new Set(all.map(({ name }) => name)),
    new Set([
      'db.client.connection.count',
      'db.client.connection.pending_requests',
      'cinnabar.client.in_flight',
    ]),
  );
  const count = all.find(({ name }) => name === 'db.client.connection.count');
  assert.equal(count?.value, 1);
  assert.equal(count?.attributes['db.client.connection.state'], 'idle');
});
