/** Why a command was late, at the server: it was told to wait, or the server does not answer. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { calling, type DeadlineError, lanes } from '../index.ts';
import { clusterKinds, plainKinds } from '../testing/clients.ts';
import {
  ask,
  startCluster,
  startServer,
  type TestCluster,
  type TestServer,
} from '../testing/server.ts';

let server: TestServer;
let cluster: TestCluster;
before(async () => {
  [server, cluster] = await Promise.all([startServer(), startCluster(2)]);
});
after(() => Promise.all([server?.stop(), cluster?.stop()]));

for (const kind of [...plainKinds, ...clusterKinds]) {
  test(`${kind.name}: it says that it waited as it was told to, and does not open the circuit`, async (t) => {
    const redis = lanes(
      () => kind.make(clusterKinds.includes(kind) ? cluster.ports : [server.port]),
      {
        // Only a cluster can tell: elsewhere the answer to CLIENT UNBLOCK closes the circuit again.
        retries: { breaker: { minCalls: 3, failureRatio: 0.1, openMs: 60_000 } },
      },
    );
    t.after(() => kind.close(redis));
    await kind.connect(redis);
    const view = calling(redis, { deadlineMs: 400 });
    for (let i = 0; i < 4; i += 1) {
      await assert.rejects(kind.call(view, 'BLPOP', 'none', '5'), (error: DeadlineError) => {
        assert.equal(error.code, 'ERR_CLIENT_DEADLINE');
        assert.match(error.message, /waits at the server, and its own time was not over/);
        return true;
      });
    }
    assert.equal(await redis.set('goes', 'on'), 'OK');
  });
}

// After all others: for a moment the servers answer nobody.
for (const kind of [...plainKinds, ...clusterKinds]) {
  test(`${kind.name}: of a server that does not answer it says so`, async (t) => {
    const ports = clusterKinds.includes(kind) ? cluster.ports : [server.port];
    const redis = lanes(() => kind.make(ports));
    t.after(() => kind.close(redis));
    await kind.connect(redis);
    await redis.get('mute');
    for (const port of ports) await ask(port, 'CLIENT', 'PAUSE', '700', 'ALL');
    await assert.rejects(
      kind.call(calling(redis, { deadlineMs: 100 }), 'GET', 'mute'),
      /GET mute: .* at the server, .* The server did not answer: it is busy/,
    );
  });
}
