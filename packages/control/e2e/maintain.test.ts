/**
 * Every process of a cache made anew while clients of the one address count, read and block: none of
 * them sees an error, and what was acknowledged is there; with replicas and without. And the calendar.
 * (Two shards: upgrade.test.ts.)
 */
import assert from 'node:assert/strict';
import { after, before, type TestContext, test } from 'node:test';
import { once, target } from './clients.ts';
import { HEAL_DEADLINE_MS } from './limits.ts';
import { type Answer, eventually, Service } from './service.ts';

const WRITERS = 4;
const MAINTAINED_MS = 60_000;
const WEEKEND = [
  { type: 'Weekly', startHourUtc: 0, duration: 'PT10H', schedule: { dayOfWeek: 'Saturday' } },
  { type: 'Weekly', startHourUtc: 0, duration: 'PT10H', schedule: { dayOfWeek: 'Sunday' } },
];

const service = new Service({ miniature: { memoryDivisor: 16, maxShards: 2 } });
before(() => service.up());
after(() => service.close());

async function pids(name: string): Promise<number[]> {
  const shards = await service.healthy(name);
  return shards.flatMap((s) => s.instances.map((i) => i.instance.process?.pid ?? 0));
}

async function ended(name: string, answer: Answer): Promise<Answer['body']> {
  assert.equal(answer.status, 202, answer.text);
  return eventually(`${name} is maintained`, MAINTAINED_MS, async () => {
    const { body } = await service.call('GET', `/cinnabar/operations/${answer.body.operation}`);
    return body.endedAt === null ? null : body;
  });
}

for (const ha of [true, false]) {
  test(`${ha ? 'with' : 'without'} replicas: clients go on, nothing is lost`, async (t) => {
    const name = ha ? 'pairs' : 'singles';
    await service.create(name, {
      sku: 'Balanced_B0',
      ha,
      database: { clusteringPolicy: 'EnterpriseCluster' },
    });
    const old = await pids(name);
    const to = await target(service, name, 'EnterpriseCluster');
    const clients = await Promise.all(
      Array.from({ length: WRITERS }, async () => {
        const client = once(to);
        await client.connect();
        t.after(() => client.disconnect());
        return client;
      }),
    );
    let stop = false;
    const counts = clients.map(() => 0);
    const counting = Promise.all(
      clients.map(async (client, i) => {
        while (!stop) {
          const next = (counts[i] ?? 0) + 1;
          assert.equal(await client.incr(`n${i}`), next);
          assert.equal(await client.get(`n${i}`), String(next));
          counts[i] = next;
        }
      }),
    );
    counting.catch(() => undefined);
    const body = await ended(
      name,
      await service.call('POST', `${service.database(name)}/maintain`, {}),
    );
    assert.equal(body.status, 'Succeeded', JSON.stringify(body.error));
    const now = await pids(name);
    assert.equal(now.length, old.length);
    assert.ok(
      now.every((pid) => !old.includes(pid)),
      'every process is another one',
    );
    stop = true;
    await counting;
    t.diagnostic(`${counts.reduce((a, b) => a + b, 0)} increments acknowledged and read`);
  });
}

test('the calendar: what is due, windows, skipping, and what cannot be asked for', async () => {
  const name = 'pairs';
  const view = async () =>
    (await service.call('GET', `${service.database(name)}/maintenance`)).body;
  assert.deepEqual([(await view()).plan, (await view()).windows], ['nothing-due', 0]);
  const patch = (maintenanceWindows: unknown) =>
    service.call(
      'PATCH',
      service.cluster(name),
      { properties: { maintenanceConfiguration: { maintenanceWindows } } },
      { query: 'api-version=2025-08-01-preview' },
    );
  const refused = await patch(WEEKEND.slice(1));
  assert.equal(refused.status, 400, refused.text);
  assert.match(refused.text, /at least 2 a week/);
  const accepted = await patch(WEEKEND);
  assert.ok(accepted.status < 300, accepted.text);
  await eventually('the windows are there', HEAL_DEADLINE_MS, async () =>
    (await view()).windows === 2 ? true : null,
  );
  assert.ok((await view()).next.endsAt > Date.now());
  const skip = await service.call('POST', `${service.database(name)}/maintain`, '{"skip":true}');
  assert.equal(skip.status, 409, 'nothing is due');
  const upgrade = await service.call('POST', `${service.database(name)}/upgradeDBRedisVersion`);
  assert.equal(upgrade.status, 409, upgrade.text);
  assert.match(upgrade.text, /EngineUpToDate/);
  const all = (await service.call('GET', '/cinnabar/maintenance')).body.value;
  assert.deepEqual(all.map((row: { cluster: string }) => row.cluster).sort(), ['pairs', 'singles']);
});

for (const ha of [true, false]) {
  test(`${ha ? 'with' : 'without'} replicas: an engine that executes no script any more is replaced by itself`, (t) =>
    scripts(t, ha));
}

async function scripts(t: TestContext, ha: boolean): Promise<void> {
  const name = ha ? 'scripts' : 'scripts-single';
  await service.create(name, { sku: 'Balanced_B0', ha });
  await service.healthy(name);
  const client = once(await target(service, name, 'EnterpriseCluster'));
  await client.connect();
  t.after(() => client.disconnect());
  await client.mset('user:1', '1', 'user:2', '2', 'kept', 'k');
  const script = (body: string, ...args: string[]): Promise<unknown> =>
    client.call('EVAL', body, ...args).catch((error: Error) => error.message);
  const get = (): Promise<unknown> => script("return redis.call('GET', KEYS[1])", '1', 'kept');
  const poison = (): Promise<unknown> =>
    script("return redis.call('DEL', unpack(redis.call('KEYS', 'user:*')))", '0');
  await poison();
  // Versions without this fault have refused that one script only.
  if ((await get()) === 'k') return;
  const refusedOnce = /^ERR (scripts-refused: shard .*'cinnabar maintain'|Attempted)/;
  await eventually('scripts are executed', MAINTAINED_MS, async () => {
    const answer = String(await get());
    if (answer !== 'k') assert.match(answer, refusedOnce);
    return answer === 'k' ? true : null;
  });
  await eventually('the operation ended', MAINTAINED_MS, async () => {
    const { body } = await service.call('GET', '/cinnabar/operations');
    const [last] = body.value;
    return last.kind === 'Maintain' && last.status === 'Succeeded' ? true : null;
  });
  assert.deepEqual(await client.mget('user:1', 'user:2'), ['1', '2']);
  const events = async (reason: string): Promise<string[]> => {
    const query = `cluster=${name}&top=200`;
    const { body } = await service.call('GET', '/cinnabar/events', undefined, { query });
    const all = body.value as { reason: string; message: string }[];
    return all.filter((each) => each.reason === reason).map(({ message }) => message);
  };
  assert.match((await events('scripts-refused')).join(), /^Shard .* is replaced as soon as/);
  assert.match(
    (await events('maintenance-began')).join(),
    /executes no script .*by Cinnabar itself/,
  );
  assert.match((await events('maintained')).join(), /^What was to be replaced has been; all/);

  // Whoever did that does it again.
  await poison();
  await eventually('it is told', HEAL_DEADLINE_MS, async () => {
    await get();
    return (await events('scripts-refused')).length === 2 ? true : null;
  });
  assert.match(
    (await events('scripts-refused')).join(),
    /was replaced a short while ago.* At once: cinnabar maintain scripts/,
  );
  assert.equal((await events('maintenance-began')).length, 1);
  await ended(name, await service.call('POST', `${service.database(name)}/maintain`, {}));
  assert.equal(await get(), 'k');
}
