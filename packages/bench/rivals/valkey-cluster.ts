/**
 * Valkey Cluster left to itself: three primaries, a replica each, its own vote. Settings that differ
 * from the defaults make it faster, not slower: a rival is measured at its best.
 */
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { Asker } from '../load/asker.ts';
import { slotMap } from '../load/slots.ts';
import { until } from '../processes.ts';
import { type PlainEngine, startEngine } from './engine.ts';
import { freePort } from './launch.ts';
import type { Program } from './programs.ts';

const PRIMARIES = 3;
const SLOTS = 16_384;
const FORMED_MS = 30_000;

const SETTINGS: Readonly<Record<string, string>> = {
  'cluster-enabled': 'yes',
  // Default 15 s. One second is as low as its users dare.
  'cluster-node-timeout': '1000',
  // Default yes: one dead shard would stop the others, too.
  'cluster-require-full-coverage': 'no',
  // At once, as ours: the default waits 5 s for more replicas.
  'repl-diskless-sync-delay': '0',
};

export interface ValkeyCluster {
  /** By port; a node that was killed stands here until it is started again. */
  readonly nodes: Map<number, PlainEngine>;
  /** Port of the primary that owns this slot, by a node that lives. */
  primaryOf(slot: number): Promise<number>;
  /** Starts what was killed, as an init system would once its successor serves. */
  restart(port: number): Promise<void>;
  stop(): Promise<void>;
}

export async function startValkeyCluster(server: Program, dir: string): Promise<ValkeyCluster> {
  const nodes = new Map<number, PlainEngine>();
  const stop = async (): Promise<void> => {
    await Promise.all([...nodes.values()].map((node) => node.stop()));
  };
  const start = async (port: number): Promise<void> => {
    await nodes.get(port)?.stop();
    const own = path.join(dir, `c${port}`);
    await mkdir(own, { recursive: true });
    nodes.set(port, await startEngine(server, { dir: own, name: 'n', port, settings: SETTINGS }));
  };
  try {
    for (let i = 0; i < 2 * PRIMARIES; i += 1) await start(await clusterPort());
    await form([...nodes.keys()]);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    nodes,
    primaryOf: async (slot) => {
      const maps = [...nodes.keys()].map(async (port) => {
        const address = (await slotsBy(port))[slot] ?? '';
        if (address === '') throw new Error(`node ${port} knows no owner of slot ${slot}`);
        return Number(address.split(':').at(-1));
      });
      return Promise.any(maps);
    },
    restart: start,
    stop,
  };
}

/** Its bus is 10,000 above. */
async function clusterPort(): Promise<number> {
  for (;;) {
    const port = await freePort();
    if (port + 10_000 < 65_536) return port;
  }
}

async function form(ports: readonly number[]): Promise<void> {
  const [first = 0] = ports;
  for (const port of ports.slice(1)) await ask(first, 'CLUSTER', 'MEET', '127.0.0.1', port);
  const primaries = ports.slice(0, PRIMARIES);
  for (const [i, port] of primaries.entries()) {
    const from = Math.floor((i * SLOTS) / PRIMARIES);
    const to = Math.floor(((i + 1) * SLOTS) / PRIMARIES) - 1;
    await ask(port, 'CLUSTER', 'ADDSLOTSRANGE', from, to);
  }
  for (const [i, port] of ports.slice(PRIMARIES).entries()) {
    const primary = String(await ask(primaries[i] ?? 0, 'CLUSTER', 'MYID'));
    await until(
      'a replica knows its primary',
      async () => {
        const answer = await ask(port, 'CLUSTER', 'REPLICATE', primary).catch(() => null);
        return String(answer) === 'OK';
      },
      FORMED_MS,
    );
  }
  await until(
    'the cluster serves',
    async () => {
      for (const port of ports) {
        if (!String(await ask(port, 'CLUSTER', 'INFO')).includes('cluster_state:ok')) return false;
        if ((await slotsBy(port)).includes('')) return false;
      }
      return true;
    },
    FORMED_MS,
  );
}

async function slotsBy(port: number): Promise<string[]> {
  return slotMap(await ask(port, 'CLUSTER', 'SLOTS'), '127.0.0.1');
}

export async function ask(port: number, ...args: (string | number)[]) {
  const asker = await Asker.open({ host: '127.0.0.1', port });
  try {
    return await asker.ask(...args);
  } finally {
    asker.close();
  }
}
