/** The control process may be killed at any moment: the data path goes on, and the next one adopts it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect, target } from './clients.ts';
import { OPERATION_DEADLINE_MS } from './limits.ts';
import { isAlive, processesUnder } from './processes.ts';
import { eventually, Service } from './service.ts';

function endpointPids(service: Service): (number | null)[] {
  const { pid, workers } = service.status.endpoint;
  return [pid, ...workers.map((worker) => worker.pid)];
}

test('killed while clients work: nobody notices, and what runs is adopted', async (t) => {
  const service = await Service.start(t);
  await service.create('steady');
  const before = await service.healthy('steady');
  const endpoint = endpointPids(service);
  const client = connect(await target(service, 'steady', 'EnterpriseCluster'));
  t.after(() => client.close());
  let failed: unknown = null;
  let written = 0;
  let stop = false;
  const load = (async () => {
    while (!stop) {
      await client.call('SET', 'n', ++written).catch((error: unknown) => {
        failed ??= error;
      });
    }
  })();
  await eventually('load', OPERATION_DEADLINE_MS, () => (written > 50 ? true : null));
  await service.killControl();
  const atKill = written;
  await eventually('load without control', OPERATION_DEADLINE_MS, () =>
    written > atKill + 200 ? true : null,
  );
  await service.up();
  const after = await service.healthy('steady');
  stop = true;
  await load;
  assert.equal(failed, null);
  assert.equal(Number(await client.call('GET', 'n')), written);
  const pids = (shards: typeof before) =>
    shards.flatMap((s) => s.instances.map((i) => i.instance.process?.pid)).sort();
  assert.deepEqual(pids(after), pids(before), 'the same engines');
  // A second worker may have joined since; what served then serves still.
  const serving = new Set(endpointPids(service));
  assert.deepEqual(
    endpoint.filter((pid) => !serving.has(pid)),
    [],
    'the same endpoint',
  );
});

test('killed while no control process is there: the primary of a cache heals at the next start', async (t) => {
  const service = await Service.start(t);
  await service.create('orphan');
  const [shard] = await service.healthy('orphan');
  const client = connect(await target(service, 'orphan', 'EnterpriseCluster'));
  t.after(() => client.close());
  await client.call('SET', 'kept', 'yes');
  assert.equal(await client.call('WAIT', 1, 1_000), 1);
  const primary = shard?.instances.find((i) => i.role === 'primary')?.instance;
  const replica = shard?.instances.find((i) => i.role === 'replica')?.instance;
  assert.ok(primary?.process != null && replica !== undefined);
  await service.killControl();
  process.kill(primary.process.pid, 'SIGKILL');
  await service.up();
  const [now] = await service.healthy('orphan');
  assert.equal(now?.shard.primary, replica.id);
  const read = await eventually('readable', OPERATION_DEADLINE_MS, async () => ({
    value: await client.call('GET', 'kept'),
  }));
  assert.equal(read.value, 'yes');
});

/** Moments of a creation, by what can be seen of it; ms after the PUT where nothing can. */
const MOMENTS: readonly { readonly name: string; readonly afterMs: number }[] = [
  { name: 'm0', afterMs: 0 },
  { name: 'm20', afterMs: 20 },
  { name: 'm60', afterMs: 60 },
  { name: 'm120', afterMs: 120 },
  { name: 'm250', afterMs: 250 },
  { name: 'm500', afterMs: 500 },
];

test('killed at several moments of a creation: it ends, and says how', async (t) => {
  const service = await Service.start(t);
  for (const { name, afterMs } of MOMENTS) {
    const cluster = await service.putCluster(name);
    assert.equal(cluster.status, 201, cluster.text);
    const database = await service.putDatabase(name, {
      database: { clusteringPolicy: afterMs % 40 === 0 ? 'EnterpriseCluster' : 'NoCluster' },
    });
    assert.equal(database.status, 201, database.text);
    const at = performance.now() + afterMs;
    while (performance.now() < at) await new Promise((resolve) => setTimeout(resolve, 1));
    await service.killControl();
    await service.up();
    const ended = await service.settled(name);
    const create = ended.find((each) => each.kind === 'CreateDatabase');
    assert.ok(create !== undefined, `${name}: accepted, and forgotten`);
    if (create.status === 'Succeeded') {
      const client = connect(await target(service, name, 'EnterpriseCluster'));
      assert.equal(await client.call('SET', 'a', '1'), 'OK', name);
      client.close();
      await service.healthy(name);
    } else {
      assert.equal(create.status, 'Failed', name);
      assert.ok((create.error?.message.length ?? 0) > 0, `${name} says why`);
    }
  }
  // All of it can be deleted, and then nothing of it is left.
  const pids = (await Promise.all(MOMENTS.map(({ name }) => service.shards(name))))
    .flat()
    .flatMap((s) => s.instances.map((i) => i.instance.process?.pid ?? 0));
  assert.ok(pids.length > 0);
  for (const { name } of MOMENTS) {
    const answer = await service.call('DELETE', service.cluster(name));
    assert.equal(answer.status, 202, answer.text);
  }
  await eventually('engines gone', OPERATION_DEADLINE_MS, () =>
    processesUnder(service.home).some(({ args }) => args.includes('valkey-server')) ||
    pids.some(isAlive)
      ? null
      : true,
  );
});
