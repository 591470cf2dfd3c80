/** A value whose size nobody knew before its header came has a large value's time. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { calling, lanes } from '../index.ts';
import { plainKinds } from '../testing/clients.ts';
import { type FaultProxy, startProxy } from '../testing/proxy.ts';
import { ask, startServer, type TestServer } from '../testing/server.ts';

let server: TestServer;
let proxy: FaultProxy;
before(async () => {
  server = await startServer();
  proxy = await startProxy(server.port);
  await ask(server.port, 'SET', 'A', 'x'.repeat(500_000));
});
after(async () => {
  await proxy?.stop();
  await server?.stop();
});

for (const kind of plainKinds) {
  test(`${kind.name}: the first large value on a slow link, beyond the deadline of quick commands`, async (t) => {
    const redis = lanes(() => kind.make([proxy.port]), { deadlines: { fastMs: 400 } });
    t.after(async () => {
      proxy.limit(0);
      await kind.close(redis);
    });
    await kind.connect(redis);
    await redis.get('small');
    proxy.limit(500_000);
    const began = Date.now();
    assert.equal((await redis.get('A'))?.length, 500_000);
    assert.ok(Date.now() - began > 400, 'the link was not slow');
    // A deadline of its own is meant.
    await assert.rejects(calling(redis, { deadlineMs: 300 }).get('A'), {
      code: 'ERR_CLIENT_DEADLINE',
    });
  });
}
