/**
 * Everything ends at the worst moment of a cold start: the file of the stop is set aside as read, and
 * that its shard serves is not recorded. The next start has the data all the same, and says so.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FAILPOINT_VARIABLE } from '../databases/failpoints.ts';
import { connect, target } from './clients.ts';
import { OPERATION_DEADLINE_MS } from './limits.ts';
import { isAlive } from './processes.ts';
import { eventually, Service } from './service.ts';

for (const policy of ['EnterpriseCluster', 'NoCluster'] as const) {
  test(`${policy}: killed between the file of the stop and the record`, async (t) => {
    const service = await Service.start(t);
    await service.create('cold', { database: { clusteringPolicy: policy } });
    const client = connect(await target(service, 'cold', policy));
    await client.call('SET', 'kept', 'yes');
    client.close();
    await service.down();

    await assert.rejects(
      service.boot({ [FAILPOINT_VARIABLE]: 'consume-file:after=crash' }),
      /control ended: SIGKILL/,
    );
    const pids = await service.store((store) =>
      store
        .databases()
        .flatMap((database) => store.instances(database.id))
        .flatMap((instance) => (instance.process === null ? [] : [instance.process.pid])),
    );
    assert.ok(pids.length > 0, 'no engine was started');
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    await eventually('engines gone', OPERATION_DEADLINE_MS, () =>
      pids.some(isAlive) ? null : true,
    );

    await service.up();
    await service.healthy('cold');
    const again = connect(await target(service, 'cold', policy));
    t.after(() => again.close());
    assert.equal(await again.call('GET', 'kept'), 'yes');
    const { body } = await service.call('GET', '/cinnabar/events', undefined, { query: '' });
    const reasons = (body.value as { reason: string }[]).map((each) => each.reason);
    assert.ok(reasons.includes('saved-file-again'), reasons.join());
    assert.ok(!reasons.includes('data-lost'), reasons.join());
  });
}
