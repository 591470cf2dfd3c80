/**
 * No space left for the store. The kernel is made to refuse the control process every write that
 * would make a file longer than the store's log is now, at run time and for that process alone: the
 * same refusal at the same place as a full disk, without a file system to mount.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { eventually } from '../../engine/testing.ts';
import { Service } from './service.ts';

function limitFiles(pid: number, bytes: string): void {
  execFileSync('prlimit', ['--pid', String(pid), `--fsize=${bytes}:unlimited`]);
}

test('a full disk: changes are refused with 507 and change nothing; caches and reads go on', async (t) => {
  const service = await Service.start(t, { miniature: { memoryDivisor: 16, maxShards: 1 } });
  await service.create('before');
  const list = async () => {
    const answer = await service.call(
      'GET',
      `/subscriptions/${service.cluster('x').split('/')[2]}/providers/Microsoft.Cache/redisEnterprise`,
    );
    assert.equal(answer.status, 200, answer.text);
    return answer.body.value.map((each: { name: string }) => each.name);
  };
  const body = {
    location: 'local',
    sku: { name: 'Balanced_B0' },
    properties: { highAvailability: 'Disabled', publicNetworkAccess: 'Enabled' },
  };
  const pid = service.pid;
  // The write-ahead log may not grow; what is shorter (the log of this test) may.
  limitFiles(pid, String(statSync(path.join(service.home, 'store.db-wal')).size));
  for (let i = 0; i < 3; i++) {
    const refused = await service.call('PUT', service.cluster('after'), body);
    assert.deepEqual([refused.status, refused.body?.error?.code], [507, 'DiskFull'], refused.text);
  }
  assert.deepEqual(await list(), ['before']);
  const [shard] = await service.shards('before');
  assert.ok(shard !== undefined);
  assert.equal(shard.shard.phase, 'serving');

  // Nor may anything else be written, the log of that process included.
  limitFiles(pid, '1');
  for (let i = 0; i < 3; i++) {
    const refused = await service.call('PUT', service.cluster('after'), body);
    assert.deepEqual([refused.status, refused.body?.error?.code], [507, 'DiskFull'], refused.text);
  }
  // Who takes over cannot be recorded, so nobody does; and whoever looks is told why.
  process.kill(
    shard.instances.find((each) => each.condition === 'serving')?.instance.process?.pid ?? 0,
    'SIGKILL',
  );
  await eventually('the warning', async () => {
    const { body } = await service.call('GET', service.database('before'));
    const { warnings } = body.properties.cinnabar;
    return warnings.some(
      (each: { code: string; message: string }) =>
        each.code === 'shard-stalled' && each.message.includes('no room'),
    );
  });
  limitFiles(pid, 'unlimited');
  assert.equal(service.pid, pid, 'the same process');
  await service.healthy('before');
  const made = await service.call('PUT', service.cluster('after'), body);
  assert.equal(made.status, 201, made.text);
  assert.deepEqual((await list()).sort(), ['after', 'before']);
});
