/** When cluster clients come back whose connections one fault has ended: each at its own time. */
import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { after, before, describe, test } from 'node:test';
import { lanes, lanesOf } from '../index.ts';
import { clusterKinds } from '../testing/clients.ts';
import { ask, startCluster, type TestCluster } from '../testing/server.ts';
import { until } from '../testing/until.ts';

const CLIENTS = 40;
/** What comes within this comes at once. */
const WAVE_MS = 40;

let cluster: TestCluster;
before(async () => {
  cluster = await startCluster(2);
});
after(() => cluster?.stop());

/** Of a list in order: the most of them that are within `ms`. */
function largestWave(times: readonly number[], ms: number): number {
  return Math.max(...times.map((from, i) => times.slice(i).filter((at) => at - from <= ms).length));
}

const isReady = ({ state }: { readonly state: string }): boolean => state === 'ready';

/** Ends all connections, and looks at those that are made. */
async function cutAll(): Promise<{ readonly sockets: number; readonly wave: number }> {
  const made: number[] = [];
  const see = (): void => void made.push(performance.now());
  subscribe('net.client.socket', see);
  try {
    const ours = cluster.ports.length;
    await Promise.all(cluster.ports.map((port) => ask(port, 'CLIENT', 'KILL', 'TYPE', 'normal')));
    await until(() => made.length >= ours + CLIENTS);
    const times = made.slice(ours);
    return { sockets: times.length, wave: largestWave(times, WAVE_MS) };
  } finally {
    unsubscribe('net.client.socket', see);
  }
}

for (const kind of clusterKinds) {
  describe(kind.name, () => {
    test('connections that nobody waits for come back spread, and all of them', async (t) => {
      const clients = Array.from({ length: CLIENTS }, () => lanes(() => kind.make(cluster.ports)));
      t.after(() => Promise.all(clients.map((client) => kind.close(client))));
      await Promise.all(
        clients.map(async (client) => {
          await kind.connect(client);
          await Promise.all([client.get('a'), client.get('b'), client.get('c')]);
        }),
      );
      // A machine that is busy wakes several of them at once: what is spread shows once.
      const waves: number[] = [];
      for (let round = 0; round < 4 && !waves.some((share) => share < 0.5); round += 1) {
        const whole = (): boolean => clients.every((client) => lanesOf(client).every(isReady));
        await until(whole);
        const { sockets, wave } = await cutAll();
        waves.push(wave / sockets);
        t.diagnostic(`${wave} of ${sockets} within ${WAVE_MS} ms`);
      }
      assert.ok(Math.min(...waves) < 0.5, `at once: ${waves.map((share) => share.toFixed(2))}`);
      await until(() =>
        clients.every((client) => lanesOf(client).every((lane) => lane.state === 'ready')),
      );
      assert.deepEqual(
        await Promise.all(clients.map((client) => client.get('a'))),
        Array(CLIENTS).fill(null),
      );
    });
  });
}
