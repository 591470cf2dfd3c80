/** Order on each key, with all kinds of calls, while a proxy cuts connections at random: see testing/orders.ts. */
import { after, before, test } from 'node:test';
import { olderKinds, plainKinds } from '../testing/clients.ts';
import { loadInDisorder } from '../testing/orders.ts';
import { type FaultProxy, startProxy } from '../testing/proxy.ts';
import { ask, startServer, type TestServer } from '../testing/server.ts';

let server: TestServer;
before(async () => {
  server = await startServer();
});
after(() => server?.stop());

const SEEDS = [1, 2, 3];

for (const kind of [...plainKinds, ...olderKinds]) {
  for (const seed of SEEDS) {
    test(`${kind.name}, seed ${seed}`, async (t) => {
      const proxy: FaultProxy = await startProxy(server.port);
      t.after(() => proxy.stop());
      await ask(server.port, 'FLUSHALL');
      const homes = [{ tag: 'o', port: server.port }];
      const fault = (rand: () => number): void => {
        const dice = rand();
        // What is written and not answered, not even written, or in the middle of it.
        if (dice < 0.3) proxy.mute();
        else if (dice < 0.6) proxy.stall();
        setTimeout(() => {
          proxy.cut();
          proxy.resume();
        }, rand() * 15);
      };
      t.diagnostic(await loadInDisorder(kind, () => kind.make([proxy.port]), seed, fault, homes));
    });
  }
}
