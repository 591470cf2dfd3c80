/**
 * CONFIG by a client: what it sets is on every copy of every shard, over the death of a primary, of the
 * control process and of everything; what it may not set it cannot, by no way.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openLink } from '../../engine/index.ts';
import { servicePassword } from '../auth/users.ts';
import { once, type Policy, type Target, target } from './clients.ts';
import { ENGINE_DEADLINE_MS, HEAL_DEADLINE_MS } from './limits.ts';
import { isAlive } from './processes.ts';
import { eventually, Service } from './service.ts';

const service = new Service({ miniature: { memoryDivisor: 16, maxShards: 2 } });
before(() => service.up());
after(() => service.close());

const SKUS: Readonly<Record<Policy, string>> = {
  EnterpriseCluster: 'ComputeOptimized_X3',
  NoCluster: 'Balanced_B0',
  OSSCluster: 'ComputeOptimized_X3',
};

/** What a fresh connection is told. */
async function ask(to: Target, line: string, port = to.port): Promise<unknown> {
  const redis = once(to, { port });
  await redis.connect();
  const [command = '', ...args] = line.split(' ').map((word) => (word === '""' ? '' : word));
  return redis
    .call(command, ...args)
    .catch((error: unknown) => String(error))
    .finally(() => redis.disconnect());
}

/** Each engine of the cache says so, replicas included. */
async function everywhere(name: string, wanted: Record<string, string>): Promise<void> {
  await eventually(`${JSON.stringify(wanted)} on ${name}`, HEAL_DEADLINE_MS, async () => {
    const instances = (await service.shards(name)).flatMap((each) => each.instances);
    for (const { instance } of instances) {
      const link = await service.engine(instance.socket, instance.databaseId);
      const found = await link
        .readSettings(Object.keys(wanted), ENGINE_DEADLINE_MS)
        .finally(() => link.close());
      for (const [setting, value] of Object.entries(wanted)) {
        if (found[setting] !== value) throw new Error(`${setting} is ${found[setting]}`);
      }
    }
    return instances.length > 1 ? true : null;
  });
}

const FIRST = { 'slowlog-max-len': '200', 'busy-reply-threshold': '4000' };

for (const policy of ['EnterpriseCluster', 'OSSCluster', 'NoCluster'] as const) {
  test(`${policy}: settings by CONFIG`, async () => {
    const name = `config-${policy.toLowerCase()}`;
    await service.create(name, { sku: SKUS[policy], database: { clusteringPolicy: policy } });
    const to = await target(service, name, policy);
    assert.equal(await ask(to, 'CONFIG SET slowlog-max-len 200 lua-time-limit 4000'), 'OK');
    await everywhere(name, FIRST);
    assert.deepEqual(await ask(to, 'CONFIG GET slowlog-max-*'), ['slowlog-max-len', '200']);

    for (const [line, said] of [
      ['CONFIG SET maxmemory 1', /Unknown option/],
      ['CONFIG SET slowlog-max-len 100000', /between 128 and 1024/],
      ['CONFIG SET slowlog-max-len 300 hash-max-listpack-entries many', /CONFIG SET failed/],
      ['CONFIG SET notify-keyspace-events gx', /CONFIG SET failed/],
      ['CONFIG SET slowlog-max-len', /wrong number of arguments/],
      ['CONFIG RESETSTAT', /unknown subcommand/],
    ] as const) {
      assert.match(String(await ask(to, line)), said, line);
    }
    const all = String(await ask(to, 'CONFIG GET *'));
    assert.match(all, /maxmemory-policy/);
    assert.doesNotMatch(all, /auth|tls-|requirepass/);
    await everywhere(name, FIRST);

    await fences(name, to);

    assert.equal(await ask(to, 'CONFIG SET notify-keyspace-events Ex'), 'OK');
    const { properties } = (await service.call('GET', service.database(name))).body;
    assert.deepEqual(properties.cinnabar.config, FIRST);
    const second = { ...FIRST, 'notify-keyspace-events': 'xE' };
    await everywhere(name, second);

    const [shard] = await service.healthy(name);
    const victim = shard?.instances.find((each) => each.role === 'primary')?.instance.process;
    assert.ok(victim != null);
    process.kill(victim.pid, 'SIGKILL');
    await eventually('gone', HEAL_DEADLINE_MS, () => (isAlive(victim.pid) ? null : true));
    await service.healthy(name);
    await everywhere(name, second);
  });
}

/** Neither the user behind the endpoint's question nor a client at an engine's own port sets anything. */
async function fences(name: string, to: Target): Promise<void> {
  const [shard] = await service.healthy(name);
  const instance = shard?.instances[0]?.instance;
  assert.ok(instance !== undefined);
  const password = servicePassword(await service.internalSecrets(instance.databaseId));
  const link = await openLink(instance.socket, { user: 'service', password }, ENGINE_DEADLINE_MS);
  try {
    for (const command of [
      ['CONFIG', 'SET', 'slowlog-max-len', '150'],
      ['GET', 'key'],
      ['ACL', 'LIST'],
    ]) {
      const said = await link.command(command, ENGINE_DEADLINE_MS);
      assert.match(String(said), /NOPERM|permission/, command.join(' '));
    }
  } finally {
    link.close();
  }
  if (to.policy !== 'OSSCluster') return;
  assert.match(
    String(await ask(to, 'CONFIG SET slowlog-max-len 150', instance.port)),
    /NOPERM|permission/,
  );
}

test('asked while the control process is away, and after everything was stopped', async () => {
  await service.create('later', { sku: SKUS.EnterpriseCluster });
  const to = await target(service, 'later', 'EnterpriseCluster');
  await service.killControl();
  const asked = ask(to, 'CONFIG SET stream-node-max-entries 77 notify-keyspace-events KA');
  await service.up();
  // On a slow machine the answer is that nobody knows yet; the change is made all the same.
  assert.match(String(await asked), /^(OK|.*OUTCOMEUNKNOWN config-timeout.*)$/);
  const wanted = { 'stream-node-max-entries': '77', 'notify-keyspace-events': 'AK' };
  await everywhere('later', wanted);
  await service.down();
  await service.up();
  await everywhere('later', wanted);
});
