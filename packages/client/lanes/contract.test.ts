/** The same promises over every wrapped client, on a plain server and on a cluster. */
import { after, before, describe } from 'node:test';
import { clusterKinds, olderKinds, plainKinds } from '../testing/clients.ts';
import { contract } from '../testing/contract.ts';
import { startCluster, startServer, type TestCluster, type TestServer } from '../testing/server.ts';

let server: TestServer;
let cluster: TestCluster;
before(async () => {
  [server, cluster] = await Promise.all([startServer(), startCluster(3)]);
});
after(async () => {
  await Promise.all([server?.stop(), cluster?.stop()]);
});

for (const kind of [...plainKinds, ...olderKinds])
  describe(kind.name, () =>
    contract(kind, () => [server.port], { oneAddress: true, databases: true }),
  );
for (const kind of clusterKinds)
  describe(kind.name, () =>
    contract(kind, () => cluster.ports, { oneAddress: false, databases: false }),
  );
