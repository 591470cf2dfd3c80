/**
 * After a whole life - caches of each policy, new keys, kills, refusals, a restart - no access key,
 * token or internal password is in any log or other plain file, argument, environment, status or event.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { connect, loginError, type Policy, target } from './clients.ts';
import { HEAL_DEADLINE_MS } from './limits.ts';
import { processesUnder } from './processes.ts';
import { eventually, Service } from './service.ts';

const service = new Service({ miniature: { memoryDivisor: 16, maxShards: 2 } });
before(() => service.up());
after(() => service.close());

const CACHES: readonly (readonly [name: string, policy: Policy])[] = [
  ['s-one', 'EnterpriseCluster'],
  ['s-alone', 'NoCluster'],
  ['s-many', 'OSSCluster'],
];

/** Where secrets are kept on purpose, each private to its owner. */
const KEPT = /\/(api-token|secret\.key|store\.db(-wal|-shm)?)$/;
/** What an engine must be told in a file: its replication password, and its private keys. */
const ENGINE_FILE = /\/home\/data\/.+\.conf$/;

function filesUnder(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const file = path.join(folder, entry.name);
    if (entry.isDirectory()) return filesUnder(file);
    return entry.isFile() ? [file] : [];
  });
}

/** As it is, and as it looks in a connection string, in base64 and in hexadecimal. */
function faces(secret: string): string[] {
  return [
    secret,
    encodeURIComponent(secret),
    Buffer.from(secret).toString('base64'),
    Buffer.from(secret).toString('hex'),
  ];
}

async function live(secrets: Map<string, string>): Promise<void> {
  secrets.set('token', service.token);
  for (const [name, policy] of CACHES) {
    await service.create(name, {
      sku: policy === 'OSSCluster' ? 'ComputeOptimized_X3' : 'Balanced_B0',
      database: { clusteringPolicy: policy },
    });
    const to = await target(service, name, policy);
    const [shard] = await service.healthy(name);
    assert.ok(shard !== undefined);
    const remember = async (when: string) => {
      for (const [which, key] of Object.entries(await service.keys(name))) {
        secrets.set(`${which} of ${name} ${when}`, key);
      }
    };
    await remember('at first');
    for (const keyType of ['Primary', 'Secondary']) {
      await service.call('POST', `${service.database(name)}/regenerateKey`, { keyType });
    }
    await remember('afterwards');
    for (const [user, password] of Object.entries(
      await service.internalSecrets(shard.shard.databaseId),
    )) {
      secrets.set(`${user} of ${name}`, password);
    }
    assert.notEqual(await loginError(to), null, 'an old key');
    // Secrets in places where they do not belong: a refusal must not repeat them in the log.
    const key = secrets.get(`primaryKey of ${name} afterwards`) ?? '';
    const odd = `/cinnabar/events?cluster=${encodeURIComponent(key)}`;
    await service.call('GET', `${service.status.api.http}${odd}`);
    await service.call('PUT', service.cluster('odd'), { location: 'local', sku: { name: key } });
    const client = connect({ ...to, password: key });
    await client.call('SET', 'a', '1');
    const primary = shard.instances.find((i) => i.role === 'primary')?.instance.process;
    assert.ok(primary != null);
    process.kill(primary.pid, 'SIGKILL');
    await eventually('works again', HEAL_DEADLINE_MS, () => client.call('SET', 'a', '2'));
    client.close();
  }
  const [worker] = service.status.endpoint.workers;
  if (worker !== undefined) process.kill(worker.pid, 'SIGKILL');
  await service.killControl();
  await service.up();
  for (const [name] of CACHES) await service.healthy(name);
  // What the kills set aside is dropped now; then the folders hold still.
  await eventually('nothing set aside', HEAL_DEADLINE_MS, () =>
    filesUnder(service.home).some((file) => /\/data\/[^/]+\/[^/]+\.\d+\//.test(file)) ? null : true,
  );
}

/** Null: gone since it was listed. A folder that was set aside is dropped once its successor is in sync. */
function textOf(file: string): string | null {
  try {
    return readFileSync(file, 'latin1');
  } catch (error) {
    if (!existsSync(file)) return null;
    throw error;
  }
}

test('no secret is where it can be read', async (t) => {
  const secrets = new Map<string, string>();
  await live(secrets);
  assert.ok(secrets.size >= 3 * 7 + 1, [...secrets.keys()].join());
  const seek = (text: string, where: string) => {
    for (const [name, secret] of secrets) {
      assert.ok(secret.length >= 16, name);
      for (const face of faces(secret)) assert.ok(!text.includes(face), `${name} is in ${where}`);
    }
  };

  await t.test('files: none but those made for it, and these are private', () => {
    const files = filesUnder(service.scratch);
    assert.ok(files.some((file) => file.endsWith('control.log')));
    for (const file of files) {
      const text = textOf(file);
      if (text === null) continue;
      if (ENGINE_FILE.test(file)) {
        assert.equal(statSync(file).mode & 0o077, 0, file);
        continue;
      }
      if (KEPT.test(file)) assert.equal(statSync(file).mode & 0o077, 0, file);
      if (!file.endsWith('/api-token')) seek(text, file);
    }
  });

  await t.test('arguments and environments of every process', () => {
    const all = processesUnder(service.scratch);
    assert.ok(all.length >= 4, `${all.length} processes`);
    for (const { pid, args, environment } of all) seek(args + environment, `process ${pid}`);
  });

  await t.test('status, events, operations, resources', async () => {
    const places = ['/cinnabar/status', '/cinnabar/events', '/cinnabar/operations'];
    for (const [name] of CACHES) places.push(service.cluster(name), service.database(name));
    for (const [name] of CACHES) places.push(`${service.database(name)}/shards`);
    for (const place of places) {
      const answer = await service.call('GET', place);
      assert.equal(answer.status, 200, answer.text);
      seek(answer.text, place);
    }
  });
});
