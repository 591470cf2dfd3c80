/** Connections of cluster clients that say nothing more, without an end: found out, those that listen, too. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { lanes } from '../index.ts';
import { clusterKinds, type Kind } from '../testing/clients.ts';
import { type FaultProxy, startProxy } from '../testing/proxy.ts';
import { ask, startCluster, type TestCluster } from '../testing/server.ts';
import { until } from '../testing/until.ts';

let cluster: TestCluster;
let relays: FaultProxy[];
before(async () => {
  cluster = await startCluster(2);
  relays = await Promise.all(cluster.ports.map((port) => startProxy(port)));
});
after(() => Promise.all([cluster?.stop(), ...(relays ?? []).map((relay) => relay.stop())]));

const often = { pingMs: 50, deadlines: { connectMs: 300 } };

/** Of each library: where a client goes instead of the address that a node has told. */
function through(kind: Kind): object {
  const places = cluster.ports.map((port, i) => [
    `127.0.0.1:${port}`,
    { host: '127.0.0.1', port: relays[i]?.port ?? 0 },
  ]);
  return { [kind.library === 'redis' ? 'nodeAddressMap' : 'natMap']: Object.fromEntries(places) };
}

/** At the servers: the connections that listen. */
async function listeners(): Promise<string[]> {
  const lists = await Promise.all(
    cluster.ports.map((port) => ask(port, 'CLIENT', 'LIST', 'TYPE', 'pubsub')),
  );
  return lists.flatMap((text, i) =>
    [...text.matchAll(/^id=(\d+) /gm)].map(([, id]) => `${i}:${id}`),
  );
}

for (const kind of clusterKinds) {
  describe(kind.name, () => {
    test('a subscription whose other end is gone without a word is made anew', async (t) => {
      const made = (): object =>
        kind.make(
          relays.map((relay) => relay.port),
          { ...through(kind) },
        );
      const redis = lanes(made, often);
      t.after(() => kind.close(redis));
      await kind.connect(redis);
      const heard: string[] = [];
      const channel = `news of ${kind.name}`;
      await kind.subscribe(redis, channel, (message) => heard.push(message));
      const before = await listeners();
      assert.equal(before.length, 1);
      const begun = performance.now();
      await until(() => performance.now() - begun > 700);
      assert.deepEqual(await listeners(), before, 'one that answers is kept');
      for (const relay of relays) relay.mute();
      await until(async () => !(await listeners()).includes(before[0] ?? ''));
      for (const relay of relays) relay.resume();
      await until(async () => {
        await ask(cluster.ports[0] ?? 0, 'PUBLISH', channel, 'again');
        return heard.length > 0;
      });
    });
  });
}
