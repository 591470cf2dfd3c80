/** Keys: what a new one ends and what it leaves alone, keys off, and which commands they allow. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Redis } from 'ioredis';
import { openLink } from '../../engine/index.ts';
import { loginError, once, type Policy, type Target, target } from './clients.ts';
import { ENGINE_DEADLINE_MS, HEAL_DEADLINE_MS } from './limits.ts';
import { eventually, Service } from './service.ts';

const service = new Service({ miniature: { memoryDivisor: 16, maxShards: 2 } });
before(() => service.up());
after(() => service.close());

const SKUS: Readonly<Record<Policy, string>> = {
  EnterpriseCluster: 'ComputeOptimized_X3',
  NoCluster: 'Balanced_B0',
  OSSCluster: 'ComputeOptimized_X3',
};

async function cache(name: string, policy: Policy, database: object = {}): Promise<Target> {
  await service.create(name, {
    sku: SKUS[policy],
    ha: false,
    database: { clusteringPolicy: policy, ...database },
  });
  return target(service, name, policy);
}

/** A key opens the endpoint only: on the socket of an engine nobody has it. */
async function engineRefuses(name: string, keys: readonly string[]): Promise<void> {
  for (const { instances } of await service.shards(name)) {
    for (const { instance } of instances) {
      for (const password of keys) {
        const login = openLink(instance.socket, { user: 'default', password }, ENGINE_DEADLINE_MS);
        await assert.rejects(login, /WRONGPASS/, instance.socket);
      }
    }
  }
}

/** Ports that a client logs in at: the shards where they are direct, else the endpoint. */
async function doors(name: string, to: Target): Promise<number[]> {
  if (to.policy !== 'OSSCluster') return [to.port];
  const shards = await service.shards(name);
  return [to.port, ...shards.flatMap((s) => s.instances.map((i) => i.clientPort))];
}

for (const policy of ['EnterpriseCluster', 'OSSCluster', 'NoCluster'] as const) {
  test(`${policy}: a new primary key`, async () => {
    const name = `keys-${policy.toLowerCase()}`;
    const to = await cache(name, policy);
    const old = await service.keys(name);
    const second = { ...to, password: old.secondaryKey };
    const ports = await doors(name, to);
    const bystanders: Redis[] = [];
    const users: Redis[] = [];
    for (const port of ports) {
      for (const [list, who] of [
        [bystanders, second],
        [users, to],
      ] as const) {
        const redis = once(who, { port });
        await redis.connect();
        list.push(redis);
      }
    }
    const answer = await service.call('POST', `${service.database(name)}/regenerateKey`, {
      keyType: 'Primary',
    });
    assert.equal(answer.status, 200, answer.text);
    assert.notEqual(answer.body.primaryKey, old.primaryKey);
    assert.equal(answer.body.secondaryKey, old.secondaryKey);
    if (policy !== 'OSSCluster') {
      // The endpoint knows which key each session used: who used the old one is out at once.
      for (const redis of users) {
        await eventually(`${policy}: out`, HEAL_DEADLINE_MS, () => redis.status === 'end' || null);
      }
      await engineRefuses(name, [old.secondaryKey, answer.body.primaryKey]);
    }
    for (const [i, port] of ports.entries()) {
      assert.equal(await bystanders[i]?.call('PING'), 'PONG', `secondary key, port ${port}`);
      assert.equal(bystanders[i]?.status, 'ready');
      assert.match((await loginError(to, { port })) ?? 'let in', /WRONGPASS/, `port ${port}`);
      assert.equal(await loginError(second, { port }), null);
      assert.equal(await loginError({ ...to, password: answer.body.primaryKey }, { port }), null);
    }
    // Where it cannot be told which key a connection used it stays, unless its end is asked for.
    const ended = await service.call('POST', `${service.database(name)}/regenerateKey`, {
      keyType: 'Primary',
      disconnect: true,
    });
    assert.equal(ended.status, 200, ended.text);
    for (const redis of users) {
      await eventually(`${policy}: who used the old key is out`, HEAL_DEADLINE_MS, () =>
        redis.status === 'end' ? true : null,
      );
    }
    for (const redis of [...bystanders, ...users]) redis.disconnect();
  });
}

for (const policy of ['EnterpriseCluster', 'NoCluster'] as const) {
  test(`${policy}, keys off: nobody logs in, it is said, and on again they work`, async () => {
    const name = `off-${policy.toLowerCase()}`;
    const to = await cache(name, policy);
    const open = once(to);
    await open.connect();
    const patch = (state: string) =>
      service.call('PATCH', service.database(name), {
        properties: { accessKeysAuthentication: state },
      });
    assert.equal((await patch('Disabled')).status, 202);
    await service.settled(name);
    assert.match((await loginError(to)) ?? 'let in', /WRONGPASS|NOAUTH/);
    const shown = await service.call('GET', service.database(name));
    const [warning] = shown.body.properties.cinnabar.warnings;
    assert.equal(warning.code, 'nobody-can-log-in');
    assert.match(warning.message, /accessKeysAuthentication/);
    const refused = await service.call('POST', `${service.database(name)}/listKeys`);
    assert.equal(refused.body.error.code, 'AccessKeysAuthenticationDisabled');
    await assert.rejects(open.call('GET', 'a'), 'a session that was open is of no use');
    open.disconnect();
    assert.equal((await patch('Enabled')).status, 202);
    await service.settled(name);
    assert.equal(await loginError(to), null);
  });
}

test('keys off from the start, as Azure does it when nothing is said', async () => {
  const cluster = await service.putCluster('silent', { ha: false });
  assert.equal(cluster.status, 201, cluster.text);
  const database = await service.call('PUT', service.database('silent'), { properties: {} });
  assert.equal(database.status, 201, database.text);
  const ended = await service.settled('silent');
  assert.ok(ended.every((each) => each.status === 'Succeeded'));
  const { properties } = (await service.call('GET', service.database('silent'))).body;
  assert.equal(properties.clusteringPolicy, 'OSSCluster');
  assert.equal(properties.accessKeysAuthentication, 'Disabled');
  assert.equal(properties.cinnabar.warnings[0].code, 'nobody-can-log-in');
});

/** Administer the engine: refused always. Arguments are such that a command which is allowed does harm or fails otherwise. */
const NEVER = [
  'SHUTDOWN NOSAVE',
  'SAVE',
  'BGSAVE',
  'BGREWRITEAOF',
  'REPLICAOF NO ONE',
  'SLAVEOF NO ONE',
  'FAILOVER',
  'PSYNC ? -1',
  'SYNC',
  'REPLCONF listening-port 1',
  'MIGRATE localhost 1 k 0 10',
  'DEBUG SLEEP 0',
  'MODULE LOAD /nowhere.so',
  'CONFIG REWRITE',
  'CONFIG RESETSTAT',
  'CONFIG GET primaryauth',
  'CONFIG GET masterauth',
  'ACL SETUSER intruder on nopass ~* +@all',
  'ACL LIST',
  'CLUSTER FORGET 0',
  'CLUSTER RESET HARD',
  'CLUSTER FAILOVER TAKEOVER',
  'CLIENT PAUSE 1',
  'CLIENT UNPAUSE',
  'CLIENT NO-EVICT on',
];
/** Azure refuses them; here they work unless azureStrict asks for Azure's list. */
const BEYOND_AZURE = ['ROLE', 'LATENCY LATEST', 'MEMORY STATS', 'LASTSAVE'];

const REFUSED = /NOPERM|ERR unknown|ERR This|not allowed|no permissions/i;

/** What a fresh connection is told: RESET and others leave theirs changed. Null: done. */
async function told(to: Target, port: number, line: string): Promise<string | null> {
  const redis = once(to, { port });
  await redis.connect();
  const [command = '', ...args] = line.split(' ');
  try {
    const reply = await redis.call(command, ...args);
    // Of a secret setting, silence is a refusal too.
    const silent = command === 'CONFIG' && Array.isArray(reply) && reply.length === 0;
    return silent ? 'not allowed: nothing said' : null;
  } catch (error) {
    return String(error);
  } finally {
    redis.disconnect();
  }
}

for (const policy of ['EnterpriseCluster', 'OSSCluster', 'NoCluster'] as const) {
  test(`${policy}: what a client may not run, and what it may`, async () => {
    const free = await cache(`free-${policy.toLowerCase()}`, policy);
    const strict = await cache(`strict-${policy.toLowerCase()}`, policy, {
      cinnabar: { azureStrict: true },
    });
    const engine = async (name: string, to: Target) => (await doors(name, to)).at(-1) ?? 0;
    const freePort = await engine(`free-${policy.toLowerCase()}`, free);
    const strictPort = await engine(`strict-${policy.toLowerCase()}`, strict);
    const run = async (to: Target, port: number, lines: readonly string[], allowed: boolean) => {
      const wrong = [];
      for (const line of lines) {
        const said = await told(to, port, line);
        if (allowed ? said !== null : !REFUSED.test(said ?? '')) wrong.push(`${line}: ${said}`);
      }
      return wrong;
    };
    assert.deepEqual(await run(free, freePort, NEVER, false), [], 'administration');
    assert.deepEqual(await run(strict, strictPort, NEVER, false), [], 'administration, strict');
    assert.deepEqual(await run(free, freePort, BEYOND_AZURE, true), [], 'beyond Azure');
    assert.deepEqual(await run(strict, strictPort, BEYOND_AZURE, false), [], 'azureStrict');
    // No ACL of the engine reaches RESET: like AUTH and HELLO it needs no login.
    assert.equal(await told(free, freePort, 'RESET'), null);
    const reset = await told(strict, strictPort, 'RESET');
    if (policy === 'OSSCluster') assert.equal(reset, null, 'nobody stands before the engine');
    else assert.match(reset ?? '', REFUSED, 'the endpoint refuses what the engine cannot');
    assert.match((await told(strict, strict.port, 'RESET')) ?? '', REFUSED, 'at the seed, too');
    const select = await told(free, freePort, 'SELECT 3');
    if (policy === 'NoCluster') assert.equal(select, null, 'SELECT works without a cluster');
    else assert.notEqual(select, null, 'a cluster has one database');
    assert.match((await told(strict, strictPort, 'SELECT 3')) ?? '', REFUSED);
    const shards = await told(free, freePort, 'CLUSTER SHARDS');
    if (policy === 'OSSCluster') assert.equal(shards, null);
    for (const line of ['INFO', 'KEYS *', 'FLUSHALL', 'CLIENT LIST', 'MODULE LIST']) {
      const said = await told(strict, strictPort, line);
      assert.equal(REFUSED.test(said ?? ''), false, `${line}: ${said}`);
    }
    // Whatever was tried, the engines are what they were.
    await service.healthy(`free-${policy.toLowerCase()}`);
    await service.healthy(`strict-${policy.toLowerCase()}`);
  });
}
