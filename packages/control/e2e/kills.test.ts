/**
 * Every process is killed once, and a client on the printed address goes on: same address, same key,
 * its own default reconnection. All policies; TLS and Plaintext.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createClient } from 'redis';
import { type Client, connect, once, type Policy, type Target, target } from './clients.ts';
import { AUDIT_DEADLINE_MS, HEAL_DEADLINE_MS } from './limits.ts';
import { isAlive } from './processes.ts';
import { eventually, Service } from './service.ts';

interface Row {
  readonly name: string;
  readonly policy: Policy;
  readonly sku: string;
  readonly tls: boolean;
  /** Which engines of each shard are killed. */
  readonly victims: readonly ('primary' | 'replica')[];
}

const BOTH = ['primary', 'replica'] as const;
const PRIMARY = ['primary'] as const;
const SMALL = 'Balanced_B0';
const TWO_SHARDS = 'ComputeOptimized_X3';

const ROWS: readonly Row[] = [
  // First: what the log says of their shards' clients is read at the end.
  { name: 'many', policy: 'OSSCluster', sku: TWO_SHARDS, tls: true, victims: BOTH },
  { name: 'many-plain', policy: 'OSSCluster', sku: TWO_SHARDS, tls: false, victims: PRIMARY },
  { name: 'one', policy: 'EnterpriseCluster', sku: SMALL, tls: true, victims: BOTH },
  { name: 'one-plain', policy: 'EnterpriseCluster', sku: SMALL, tls: false, victims: PRIMARY },
  { name: 'routed', policy: 'EnterpriseCluster', sku: TWO_SHARDS, tls: true, victims: PRIMARY },
  { name: 'alone', policy: 'NoCluster', sku: SMALL, tls: true, victims: PRIMARY },
  { name: 'alone-plain', policy: 'NoCluster', sku: SMALL, tls: false, victims: BOTH },
];
/** Enough to have some on each shard. */
const KEYS = 24;

const service = new Service({ miniature: { memoryDivisor: 16, maxShards: 2 } });
before(() => service.up());
after(() => service.close());

/** Written and read back through the client, as often as it takes. */
async function works(client: Client, word: string): Promise<void> {
  for (let i = 0; i < KEYS; i++) {
    await eventually(`key ${i} written and read`, HEAL_DEADLINE_MS, async () => {
      assert.equal(await client.call('SET', `k${i}`, word), 'OK');
      return (await client.call('GET', `k${i}`)) === word ? true : null;
    });
  }
}

async function kills(row: Row, client: Client): Promise<void> {
  const { name } = row;
  const shards = (await service.healthy(name)).length;
  for (let shard = 0; shard < shards; shard++) {
    for (const role of row.victims) {
      const before = await service.healthy(name);
      const victim = before[shard]?.instances.find((each) => each.role === role)?.instance;
      const survivor = before[shard]?.instances.find((each) => each.role !== role)?.instance;
      assert.ok(victim?.process != null && survivor !== undefined);
      await works(client, 'before');
      process.kill(victim.process.pid, 'SIGKILL');
      await eventually('gone', HEAL_DEADLINE_MS, () =>
        isAlive(victim.process?.pid ?? 0) ? null : true,
      );
      if (role === 'replica') {
        // Nobody but the replica is gone: not one command may fail.
        assert.equal(await client.call('GET', 'k0'), 'before');
      }
      const after = await eventually('healed', HEAL_DEADLINE_MS, async () => {
        const now = await service.healthy(name);
        const pids = now.flatMap((s) => s.instances.map((i) => i.instance.process?.pid));
        return pids.includes(victim.process?.pid) ? null : now;
      });
      for (let i = 0; i < KEYS; i++) {
        const kept = await eventually('readable again', HEAL_DEADLINE_MS, async () => ({
          value: await client.call('GET', `k${i}`),
        }));
        assert.equal(kept.value, 'before', `k${i} after the ${role} of shard ${shard} was killed`);
      }
      await works(client, 'after');
      assert.equal(
        after[shard]?.shard.primary,
        role === 'primary' ? survivor.id : before[shard]?.shard.primary,
      );
    }
  }
}

async function endpointKilled(client: Client): Promise<void> {
  const { body } = await service.call('GET', '/cinnabar/status');
  const workers = body.endpoint.workers as { pid: number }[];
  assert.ok(workers.length > 0);
  for (const { pid } of workers) process.kill(pid, 'SIGKILL');
  await works(client, 'with another worker');
  await eventually('other workers', HEAL_DEADLINE_MS, async () => {
    const now = (await service.call('GET', '/cinnabar/status')).body.endpoint.workers;
    const pids: number[] = now.map((worker: { pid: number }) => worker.pid);
    return pids.length > 0 && workers.every((old) => !pids.includes(old.pid)) ? true : null;
  });
}

for (const row of ROWS) {
  test(`${row.policy}, ${row.tls ? 'TLS' : 'Plaintext'}`, async (t) => {
    await service.create(row.name, {
      sku: row.sku,
      database: {
        clusteringPolicy: row.policy,
        clientProtocol: row.tls ? 'Encrypted' : 'Plaintext',
      },
    });
    const to: Target = await target(service, row.name, row.policy, row.tls);
    const client = connect(to);
    t.after(() => client.close());
    await t.test('each engine', () => kills(row, client));
    await t.test('the worker of the endpoint', () => endpointKilled(client));
    if (row.policy === 'OSSCluster') {
      await t.test('names and ports', () => announced(row, to));
      await stays(row, to);
    } else await t.test('node-redis, primary', () => nodeRedis(row, to));
  });
}

/** Clients of shards that stay connected. */
const direct: ReturnType<typeof once>[] = [];
after(() => {
  for (const redis of direct) redis.disconnect();
});

async function stays(row: Row, to: Target): Promise<void> {
  const [shard] = await service.healthy(row.name);
  const redis = once(to, { port: shard?.instances[0]?.clientPort ?? 0 });
  direct.push(redis);
  await redis.connect();
}

test('clients of a shard are in the log, found by looking', async () => {
  assert.equal(direct.length, 2);
  for (const redis of direct) {
    const address = String(await redis.client('INFO')).match(/ addr=(\S+)/)?.[1];
    const line = await eventually(`${address} in the log`, AUDIT_DEADLINE_MS, () => {
      const lines = service.logTail(Infinity).split('\n');
      return (
        lines.find((each) => each.includes('shard opened') && each.includes(`"${address}"`)) ?? null
      );
    });
    const { sampled, user } = JSON.parse(line);
    assert.deepEqual({ sampled, user }, { sampled: true, user: 'default' });
  }
});

/** The seed and every engine, whoever was killed before, tell clients the ports that are for them. */
async function announced(row: Row, to: Target): Promise<void> {
  const instances = (await service.healthy(row.name)).flatMap((shard) => shard.instances);
  const wanted = instances.map((each) => each.clientPort).sort();
  for (const port of [to.port, ...wanted]) {
    const redis = once(to, { port });
    try {
      await redis.connect();
      await eventually(`the ports that ${port} tells`, HEAL_DEADLINE_MS, async () => {
        const slots = (await redis.call('CLUSTER', 'SLOTS')) as [number, number, ...Node[]][];
        const nodes = slots.flatMap(([, , ...found]) => found);
        assert.deepEqual([...new Set(nodes.map(([host]) => host))], ['localhost']);
        assert.deepEqual(nodes.map(([, at]) => at).sort(), wanted);
        return true;
      });
    } finally {
      redis.disconnect();
    }
  }
}

type Node = readonly [host: string, port: number, id: string];

async function nodeRedis(row: Row, to: Target): Promise<void> {
  const client = createClient({
    url: `redis${row.tls ? 's' : ''}://default:${encodeURIComponent(to.password)}@localhost:${to.port}`,
    ...(to.ca === null ? {} : { socket: { tls: true as const, ca: to.ca } }),
  });
  client.on('error', () => undefined);
  await client.connect();
  try {
    await client.set('n', 'before');
    const [shard] = await service.healthy(row.name);
    const primary = shard?.instances.find((each) => each.role === 'primary')?.instance;
    assert.ok(primary?.process != null);
    process.kill(primary.process.pid, 'SIGKILL');
    const read = await eventually('readable again', HEAL_DEADLINE_MS, async () => ({
      value: await client.get('n'),
    }));
    assert.equal(read.value, 'before');
    await eventually('writable', HEAL_DEADLINE_MS, () => client.set('n', 'after'));
  } finally {
    client.destroy();
  }
}
