/**
 * Redis or Valkey with Sentinel: a primary, a replica and three sentinels, as a team would run
 * high availability without a managed service. Settings that differ from the defaults make it
 * faster, not slower: a rival is measured at its best.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Asker } from '../load/asker.ts';
import { until } from '../processes.ts';
import { type PlainEngine, startEngine } from './engine.ts';
import { accepts, freePort, type Launched, launch } from './launch.ts';
import type { Program } from './programs.ts';

const SENTINELS = 3;
const QUORUM = 2;
export const SENTINEL_NAME = 'bench';

export function sentinelConfig(options: {
  port: number;
  primaryPort: number;
  dir: string;
}): string {
  return `# Sentinel as a rival. Every setting that is not its default has its reason here.
port ${options.port}
bind 127.0.0.1
dir ${options.dir}
sentinel monitor ${SENTINEL_NAME} 127.0.0.1 ${options.primaryPort} ${QUORUM}
# Default 30 s. One second is as low as its users dare; below it a slow command fails over.
sentinel down-after-milliseconds ${SENTINEL_NAME} 1000
# Default 3 min: the wait before a second attempt. Ten seconds so that a lost vote is no lost run.
sentinel failover-timeout ${SENTINEL_NAME} 10000
`;
}

export interface SentinelGroup {
  readonly engines: readonly PlainEngine[];
  readonly sentinelPorts: readonly number[];
  /** The port of the engine that the sentinels call primary now. */
  primaryPort(): Promise<number>;
  stop(): Promise<void>;
}

export async function startSentinelGroup(server: Program, dir: string): Promise<SentinelGroup> {
  const running: Launched[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(running.map((each) => each.stop()));
  };
  try {
    const engines: PlainEngine[] = [];
    for (let i = 0; i < 2; i += 1) {
      const own = path.join(dir, `e${i}`);
      await mkdir(own, { recursive: true });
      const primary = engines[0];
      const settings: Record<string, string> =
        primary === undefined ? {} : { replicaof: `127.0.0.1 ${primary.port}` };
      const engine = await startEngine(server, {
        dir: own,
        name: `e${i}`,
        // At once, as ours: the default waits 5 s for more replicas.
        settings: { 'repl-diskless-sync-delay': '0', ...settings },
      });
      engines.push(engine);
      running.push(engine);
    }
    const primary = engines[0];
    if (primary === undefined) throw new Error('no primary was started');
    const sentinelPorts: number[] = [];
    for (let i = 0; i < SENTINELS; i += 1) {
      const port = await freePort();
      const own = path.join(dir, `s${i}`);
      await mkdir(own, { recursive: true });
      const file = path.join(own, 'sentinel.conf');
      await writeFile(file, sentinelConfig({ port, primaryPort: primary.port, dir: own }));
      const args = [file, '--sentinel'];
      running.push(await launch(`sentinel ${i}`, server, args, () => accepts({ port })));
      sentinelPorts.push(port);
    }
    const group = { engines, sentinelPorts, stop, primaryPort: () => primaryOf(sentinelPorts) };
    await until(
      'the sentinels know each other and the replica',
      () => complete(sentinelPorts),
      20_000,
    );
    return group;
  } catch (error) {
    await stop();
    throw error;
  }
}

async function primaryOf(ports: readonly number[]): Promise<number> {
  const address = await ask(ports[0] ?? 0, 'get-master-addr-by-name');
  return Array.isArray(address) ? Number(address[1]) : 0;
}

async function complete(ports: readonly number[]): Promise<boolean> {
  for (const port of ports) {
    const others = await ask(port, 'sentinels');
    const replicas = await ask(port, 'replicas');
    if (!Array.isArray(others) || others.length < SENTINELS - 1) return false;
    if (!Array.isArray(replicas) || replicas.length < 1) return false;
  }
  return true;
}

async function ask(port: number, what: string) {
  const asker = await Asker.open({ host: '127.0.0.1', port });
  try {
    return await asker.ask('SENTINEL', what, SENTINEL_NAME);
  } finally {
    asker.close();
  }
}
