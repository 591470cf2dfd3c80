/** What the catalogue says of a SKU is what its processes run: created over the API, read back from them. */
import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { test } from 'node:test';
import { CORES_OF_ONE_THREAD } from '../catalog/limits.ts';
import { CONNECTION_RESERVE } from '../databases/limits.ts';
import { mostConnections, mostEngineClients } from '../databases/open-files.ts';
import { firstWords, loginError, once, type Policy, target } from './clients.ts';
import { HEAL_DEADLINE_MS } from './limits.ts';
import { eventually, Service } from './service.ts';

const MIB = 1024 * 1024;
const NO_VOTE = '600000';
const VOTE = '15000';

interface Expected {
  readonly sku: string;
  readonly policy: Policy;
  readonly ha: boolean;
  readonly eviction?: readonly [azure: string, engine: string];
  readonly shards: number;
  /** A shard, in bytes. */
  readonly maxMemory: number;
  readonly connections: number;
  /** vCPUs a shard, rounded down. */
  readonly threads: number;
  readonly outputBytes: number;
  readonly nodeTimeout: string | null;
  readonly miniature: RegExp | null;
}

/** Sizes are decimal gigabytes, a fifth of each is kept back. */
const AS_IN_AZURE: readonly Expected[] = [
  {
    sku: 'Balanced_B0',
    policy: 'EnterpriseCluster',
    ha: false,
    shards: 1,
    maxMemory: 400_000_000,
    connections: 15_000,
    threads: 2,
    outputBytes: 200_000_000,
    nodeTimeout: NO_VOTE,
    miniature: null,
  },
  {
    sku: 'Balanced_B1',
    policy: 'NoCluster',
    ha: true,
    eviction: ['AllKeysLFU', 'allkeys-lfu'],
    shards: 1,
    maxMemory: 800_000_000,
    connections: 15_000,
    threads: 2,
    outputBytes: 400_000_000,
    nodeTimeout: null,
    miniature: null,
  },
  {
    sku: 'Balanced_B3',
    policy: 'OSSCluster',
    ha: true,
    eviction: ['NoEviction', 'noeviction'],
    shards: 2,
    maxMemory: 1_200_000_000,
    connections: 15_000,
    threads: 1,
    outputBytes: 513 * MIB,
    nodeTimeout: NO_VOTE,
    miniature: null,
  },
];

/** Memory divided by 64, at most 3 shards. */
const IN_MINIATURE: readonly Expected[] = [
  {
    sku: 'ComputeOptimized_X3',
    policy: 'OSSCluster',
    ha: true,
    shards: 2,
    // 18.75 MB would be a shard that holds nothing: the least is 32 MiB.
    maxMemory: 32 * MIB,
    connections: 30_000,
    threads: 2,
    outputBytes: 32 * MIB,
    nodeTimeout: NO_VOTE,
    miniature: /instead of 2\.4 GB/,
  },
  {
    sku: 'ComputeOptimized_X10',
    policy: 'NoCluster',
    ha: false,
    eviction: ['VolatileTTL', 'volatile-ttl'],
    shards: 1,
    maxMemory: 150_000_000,
    connections: 75_000,
    threads: 8,
    outputBytes: 75_000_000,
    nodeTimeout: null,
    miniature: /150 MB instead of 9\.6 GB/,
  },
  {
    sku: 'Balanced_B1000',
    policy: 'OSSCluster',
    ha: false,
    shards: 3,
    maxMemory: 4_000_000_000,
    connections: 200_000,
    threads: 1,
    outputBytes: 1_000_000_000,
    nodeTimeout: VOTE,
    miniature: /12 GB instead of 768 GB, 3 of 192 shards/,
  },
];

async function readBack(service: Service, expected: Expected): Promise<void> {
  const { sku, policy, ha, eviction } = expected;
  const name = sku.replace('_', '-').toLowerCase();
  await service.create(name, {
    sku,
    ha,
    database: {
      clusteringPolicy: policy,
      ...(eviction === undefined ? {} : { evictionPolicy: eviction[0] }),
    },
  });
  const shards = await service.healthy(name);
  assert.equal(shards.length, expected.shards, 'shards');
  for (const { shard, instances } of shards) {
    assert.equal(instances.length, ha ? 2 : 1, `processes of shard ${shard.index}`);
    assert.equal(instances.filter((i) => i.role === 'primary').length, 1);
    for (const { instance, role } of instances) {
      const link = await service.engine(instance.socket, instance.databaseId);
      const read = await link.readSettings(
        [
          'maxmemory',
          'maxmemory-policy',
          'maxclients',
          'io-threads',
          'client-output-buffer-limit',
          'cluster-enabled',
          'cluster-node-timeout',
          'timeout',
        ],
        1_000,
      );
      const facts = await link.facts(1_000);
      link.close();
      assert.equal(facts.role, role);
      assert.equal(read['maxmemory'], String(expected.maxMemory));
      assert.equal(read['maxmemory-policy'], eviction?.[1] ?? 'volatile-lru');
      const clients = Math.min(expected.connections + CONNECTION_RESERVE, mostEngineClients());
      assert.equal(read['maxclients'], String(clients));
      const threads = Math.min(
        expected.threads,
        Math.max(1, Math.floor(availableParallelism() / CORES_OF_ONE_THREAD)),
      );
      assert.equal(read['io-threads'], String(threads));
      assert.match(
        read['client-output-buffer-limit'] ?? '',
        new RegExp(
          `(^| )normal ${(policy === 'OSSCluster' ? 1 : 8) * expected.outputBytes} 0 0( |$)`,
        ),
      );
      assert.equal(read['cluster-enabled'], policy === 'NoCluster' ? 'no' : 'yes');
      if (expected.nodeTimeout !== null) {
        assert.equal(read['cluster-node-timeout'], expected.nodeTimeout);
      }
      // Where clients talk to shards, the engine ends idle ones; elsewhere the endpoint does.
      assert.equal(read['timeout'], policy === 'OSSCluster' ? '600' : '0');
      if (facts.cluster !== null && facts.role === 'primary') {
        assert.deepEqual(facts.cluster.slots, shard.slots);
      }
    }
  }
  const shown = (await service.call('GET', service.database(name))).body.properties.cinnabar;
  if (expected.miniature === null) assert.equal(shown.miniature, null);
  else {
    assert.match(shown.miniature, expected.miniature);
    const codes = shown.warnings.map((each: { code: string }) => each.code);
    assert.ok(codes.includes('miniature'), codes.join());
  }
}

test('SKUs as in Azure', async (t) => {
  const service = await Service.start(t);
  for (const expected of AS_IN_AZURE) {
    await t.test(`${expected.sku} ${expected.policy}`, () => readBack(service, expected));
  }

  await t.test('a flash SKU is 501, and nothing is made', async () => {
    const answer = await service.putCluster('flash', { sku: 'FlashOptimized_A250' });
    assert.equal(answer.status, 501, answer.text);
    assert.equal(answer.body.error.code, 'FlashNotBuilt');
    assert.equal((await service.call('GET', service.cluster('flash'))).status, 404);
  });

  await t.test('what does not fit is refused with what is free and which SKU fits', async () => {
    const answer = await service.putCluster('huge', { sku: 'MemoryOptimized_M2000' });
    assert.equal(answer.status, 409, answer.text);
    assert.equal(answer.body.error.code, 'InsufficientCapacity');
    assert.match(answer.body.error.message, /needs [\d.]+ TB of (memory|disk)/);
    assert.match(answer.body.error.message, /[\d.]+ GB of [\d.]+ GB are free/);
    const fitting = /The largest that fits is (\w+)\./.exec(answer.body.error.message)?.[1] ?? '';
    assert.notEqual(fitting, '', answer.body.error.message);
    assert.equal((await service.call('GET', service.cluster('huge'))).status, 404);
    const { body } = await service.call('GET', '/cinnabar/status');
    assert.ok(body.capacity.freeBytes < body.capacity.totalBytes);
    assert.ok(body.capacity.reservedBytes > 5e9, 'three caches are promised their memory');
  });
});

test('SKUs in miniature', async (t) => {
  const service = await Service.start(t, { miniature: { memoryDivisor: 64, maxShards: 3 } });
  for (const expected of IN_MINIATURE) {
    await t.test(`${expected.sku} ${expected.policy}`, () => readBack(service, expected));
  }
  await t.test('connections that this system has no room for are said', async () => {
    const { body } = await service.call('GET', '/cinnabar/status');
    const said = body.warnings.some((text: string) => text.includes('SKU with 200000'));
    assert.equal(said, mostConnections() < 200_000, body.warnings.join());
  });
});

test('the connection limit is kept at the endpoint, and a place that becomes free is free', async (t) => {
  const limit = 4;
  const service = await Service.start(t);
  await service.create('few', { ha: false });
  await service.down();
  // No SKU has so few that a test could open them all: the recorded figure is made smaller, and the
  // whole way from there to the processes is the usual one.
  await service.store((store) => {
    const database = store.databases()[0];
    assert.ok(database !== undefined);
    const sizing = { ...database.sizing, maxConnections: limit };
    store.write(() => store.putDatabase({ ...database, sizing }));
  });
  await service.up();
  const to = await target(service, 'few', 'EnterpriseCluster');
  const open = [];
  for (let i = 0; i < limit; i++) {
    const redis = once(to);
    await redis.connect();
    open.push(redis);
  }
  assert.equal(await firstWords(to), '-ERR max number of clients reached\r\n');
  assert.notEqual(await loginError(to), null);
  for (const redis of open) assert.equal(await redis.call('PING'), 'PONG');
  open.pop()?.disconnect();
  await eventually('a place is free', HEAL_DEADLINE_MS, async () =>
    (await loginError(to)) === null ? true : null,
  );
  for (const redis of open) redis.disconnect();
});
