/** Who may run commands in an engine, from its first moment to when its shard serves. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EngineLaunch } from '../../engine/contract.ts';
import { eventually } from '../../engine/testing.ts';
import { newAccessKeys } from '../auth/keys.ts';
import type { AccessKeys, InternalSecrets } from '../store/index.ts';
import { world } from './testing.ts';

const DEADLINE_MS = 2_000;

for (const policy of ['EnterpriseCluster', 'NoCluster', 'OSSCluster'] as const) {
  test(`${policy}: nobody before its shard serves, then those who should`, async (t) => {
    const w = await world(t);
    const launches: EngineLaunch[] = [];
    const start = w.node.start.bind(w.node);
    w.node.start = (launch) => {
      launches.push(launch);
      return start(launch);
    };
    const id = await w.create({ policy });
    assert.equal(launches.length, 2);
    for (const { users } of launches) {
      const on = users.filter((user) => user.enabled).map((user) => user.name);
      assert.deepEqual(on.sort(), ['admin', 'replication', 'service']);
    }
    const secrets = w.store.secret<InternalSecrets>(id);
    const keys = w.store.secret<AccessKeys>(`${id}/keys`);
    assert.ok(secrets !== null && keys !== null);
    const login = (socket: string, user: string, password: string): Promise<string> =>
      w.node.link(socket, { user, password }, DEADLINE_MS).then((link) => {
        link.close();
        return 'in';
      }, String);
    for (const { socket } of w.store.instances(id)) {
      await eventually('the endpoint is let in', async () => {
        return (await login(socket, 'endpoint', secrets.endpoint)) === 'in';
      });
      const said = await login(socket, 'default', keys.primaryKey);
      if (policy === 'OSSCluster') assert.equal(said, 'in');
      else assert.match(said, /WRONGPASS/);
    }
    // Another key counts at the endpoint when the call is over, not some time later.
    const next = newAccessKeys();
    w.store.write(() => w.store.putSecret(`${id}/keys`, next));
    const before = w.views().find((view) => view.id === id)?.users[0]?.secretHashes;
    await w.databases.applyUsers(id, { disconnect: false });
    const after = w.views().find((view) => view.id === id)?.users[0]?.secretHashes;
    assert.equal(after?.length, 2);
    assert.ok(after.every((hash) => !before?.includes(hash)));
  });
}
