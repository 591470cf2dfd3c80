/** The rivals under the same writers. Whoever runs them starts a killed engine again, as a follower. */
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { slotOf } from '../load/slots.ts';
import { inspectProcess, until } from '../processes.ts';
import { type PlainEngine, startEngine } from '../rivals/engine.ts';
import type { Program } from '../rivals/programs.ts';
import { SENTINEL_NAME, startSentinelGroup } from '../rivals/sentinel.ts';
import { ask, startValkeyCluster } from '../rivals/valkey-cluster.ts';
import { ASK_MS, type System } from './system.ts';

const WHOLE_MS = 60_000;
const TAG = 'rival';

export interface Rival extends System {
  stop(): Promise<void>;
}

export async function sentinelRival(server: Program, dir: string): Promise<Rival> {
  const group = await startSentinelGroup(server, dir);
  const engines = new Map<number, PlainEngine>(group.engines.map((each) => [each.port, each]));
  const primary = async () => {
    const found = engines.get(await group.primaryPort());
    if (found === undefined) throw new Error('the sentinels name an engine that is not ours');
    return found;
  };
  const restart = async (dead: PlainEngine, primaryPort: number): Promise<void> => {
    // It is gone already; what would have ended it with this process goes, too.
    await dead.stop();
    const own = path.join(dir, `r${dead.port}`);
    await mkdir(own, { recursive: true });
    const settings = {
      'repl-diskless-sync-delay': '0',
      replicaof: `127.0.0.1 ${primaryPort}`,
    };
    engines.set(
      dead.port,
      await startEngine(server, { dir: own, name: 'e', port: dead.port, settings }),
    );
  };
  return {
    name: 'sentinel',
    tag: TAG,
    reach: {
      targets: [{ host: '127.0.0.1', port: (await primary()).port }],
      sentinels: { ports: group.sentinelPorts, name: SENTINEL_NAME },
    },
    entrance: async () => ({ host: '127.0.0.1', port: (await primary()).port }),
    primary: async () => (await primary()).process,
    whole: async () => {
      // Who is primary is asked each time: sentinels may change their mind while the replica fills itself.
      const isWhole = async (): Promise<boolean> => {
        const { port } = await primary();
        for (const engine of engines.values()) {
          const dead = inspectProcess(engine.process).state === 'gone';
          if (dead && engine.port !== port) await restart(engine, port);
        }
        const [first = 0] = group.sentinelPorts;
        const replica = await ask(first, 'SENTINEL', 'replicas', SENTINEL_NAME);
        const flags = Array.isArray(replica) && Array.isArray(replica[0]) ? replica[0] : [];
        const known = flags.some(
          (each, i) => String(each) === 'flags' && String(flags[i + 1]) === 'slave',
        );
        return known && (await hasOnlineReplica(port));
      };
      const what = 'sentinel: the replica is in sync, and known to the sentinels';
      // What an operator does with sentinels that have lost sight of a replica that came back.
      await until(what, () => isWhole().catch(() => false), WHOLE_MS, ASK_MS).catch(async () => {
        for (const each of group.sentinelPorts) await ask(each, 'SENTINEL', 'RESET', SENTINEL_NAME);
        await until(what, isWhole, WHOLE_MS, ASK_MS);
      });
    },
    beginSnapshot: async () => {
      await ask((await primary()).port, 'BGSAVE');
    },
    stop: async () => {
      await Promise.all([...engines.values()].map((each) => each.stop()));
      await group.stop();
    },
  };
}

export async function clusterRival(server: Program, dir: string): Promise<Rival> {
  const cluster = await startValkeyCluster(server, dir);
  const slot = slotOf(Buffer.from(TAG));
  const primary = async () => {
    const found = cluster.nodes.get(await cluster.primaryOf(slot));
    if (found === undefined) throw new Error('the cluster names a node that is not ours');
    return found;
  };
  const seed = { host: '127.0.0.1', port: (await primary()).port };
  return {
    name: 'valkey_cluster',
    tag: TAG,
    reach: { targets: [seed], cluster: true },
    entrance: async () => ({ host: '127.0.0.1', port: (await primary()).port }),
    primary: async () => (await primary()).process,
    whole: async () => {
      const isWhole = async (): Promise<boolean> => {
        const { port } = await primary();
        for (const node of cluster.nodes.values()) {
          const dead = inspectProcess(node.process).state === 'gone';
          if (dead && node.port !== port) await cluster.restart(node.port);
        }
        const info = String(await ask(port, 'CLUSTER', 'INFO'));
        return info.includes('cluster_state:ok') && (await hasOnlineReplica(port));
      };
      const what = 'valkey_cluster: the replica is in sync';
      await until(what, () => isWhole().catch(() => false), WHOLE_MS, ASK_MS);
    },
    beginSnapshot: async () => {
      await ask((await primary()).port, 'BGSAVE');
    },
    stop: () => cluster.stop(),
  };
}

async function hasOnlineReplica(port: number): Promise<boolean> {
  return /slave0:.*state=online/.test(String(await ask(port, 'INFO', 'replication')));
}
