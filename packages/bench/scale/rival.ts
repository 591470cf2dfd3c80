/**
 * What people do without us: `valkey-cli --cluster rebalance` on a cluster that an `ioredis` cluster
 * client writes to. Primaries only, plain TCP: no replicas to feed and nothing to encrypt, which is
 * to the rival's advantage.
 */
import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { Cluster } from 'ioredis';
import { loadDataset } from '../data/load.ts';
import { until } from '../processes.ts';
import { type PlainEngine, startEngine } from '../rivals/engine.ts';
import { freePort } from '../rivals/launch.ts';
import { commandOf, type Program } from '../rivals/programs.ts';
import { ask } from '../rivals/valkey-cluster.ts';
import type { ScaleFigures } from './figures.ts';

const run = promisify(execFile);
const SETTINGS = {
  'cluster-enabled': 'yes',
  'cluster-require-full-coverage': 'no',
  // A primary that gave all its slots away would become a replica, in the middle of the moves.
  'cluster-allow-replica-migration': 'no',
  // A node that has met nobody does not know its address, and clients would wait until it does.
  'cluster-announce-ip': '127.0.0.1',
} as const;
const FORMED_MS = 30_000;
const REBALANCE_MS = 1_200_000;
const WRITERS = 8;
const LAST_SLOT = 16_383;

export interface RivalOptions {
  readonly server: Program;
  readonly cli: Program;
  readonly dir: string;
  readonly bytes: number;
  readonly steps: readonly number[];
  readonly rate: number;
  readonly beforeMs: number;
  say(line: string): void;
}

export async function rebalanced(options: RivalOptions): Promise<ScaleFigures> {
  const nodes: { port: number; engine: PlainEngine }[] = [];
  let writers: Writers | null = null;
  const cli = async (...args: string[]): Promise<void> => {
    const [file, all] = commandOf(options.cli, ['--cluster', ...args]);
    const said = await run(file, all, { timeout: REBALANCE_MS, maxBuffer: 64 * 1024 * 1024 }).catch(
      (error: { stdout: string; stderr: string }) => error,
    );
    // Its exit code is 0 when a slot could not be moved.
    if (!(said instanceof Error) && !said.stdout.includes('clusterManagerMoveSlot failed')) return;
    const last = `${said.stdout}\n${said.stderr}`.trim().split('\n').slice(-3).join(' ');
    throw new Error(`valkey-cli --cluster ${args[0]}: ${last}`);
  };
  /** It refuses everything while nodes have not heard of each other's slots, for seconds after a change. */
  const agreed = (port: number): Promise<void> =>
    until(
      'the nodes agree',
      async () => {
        // A new node takes no keys in its first two seconds.
        for (const node of nodes) if (!(await serves(node.port))) return false;
        return cli('check', `127.0.0.1:${port}`).then(
          () => true,
          () => false,
        );
      },
      FORMED_MS,
    );
  const add = async (): Promise<void> => {
    const port = await clusterPort();
    const dir = path.join(options.dir, `s${port}`);
    await mkdir(dir, { recursive: true });
    const engine = await startEngine(options.server, { dir, name: 'n', port, settings: SETTINGS });
    const [first] = nodes;
    if (first !== undefined) await agreed(first.port);
    nodes.push({ port, engine });
    if (first === undefined) return;
    await cli('add-node', `127.0.0.1:${port}`, `127.0.0.1:${first.port}`);
    await until('the new node is known', () => knownBy(nodes, nodes.length), FORMED_MS);
  };
  try {
    await add();
    const [first] = nodes;
    if (first === undefined) throw new Error('no node');
    await ask(first.port, 'CLUSTER', 'ADDSLOTSRANGE', 0, LAST_SLOT);
    await until('the node serves', async () => serves(first.port), FORMED_MS);
    const target = { host: '127.0.0.1', port: first.port };
    const loaded = await loadDataset(target, { seed: 1, bytes: options.bytes });
    const writing = new Writers(first.port, options.rate);
    writers = writing;
    // A cluster client that has just been made has first to learn who is there.
    await until('a write is acknowledged', async () => writing.take().max > 0, FORMED_MS);
    await writers.for(options.beforeMs);
    const before = writers.take();
    const began = performance.now();
    let travelled = 0;
    for (const [i, shards] of options.steps.entries()) {
      const from = i === 0 ? 1 : (options.steps[i - 1] ?? 1);
      travelled += loaded.keys * (1 - Math.min(from, shards) / Math.max(from, shards));
      const asked = performance.now();
      while (nodes.length < shards) await add();
      const weights = await Promise.all(
        nodes.map(
          async ({ port }, n) =>
            `${String(await ask(port, 'CLUSTER', 'MYID'))}=${n < shards ? 1 : 0}`,
        ),
      );
      const at = `127.0.0.1:${first.port}`;
      const empty = '--cluster-use-empty-primaries';
      await agreed(first.port);
      await cli('rebalance', at, empty, '--cluster-weight', ...weights);
      for (const gone of nodes.splice(shards)) {
        await cli('del-node', at, String(await ask(gone.port, 'CLUSTER', 'MYID')));
        await gone.engine.stop();
      }
      const took = (performance.now() - asked) / 1000;
      options.say(`rebalance: ${from} to ${shards} shards: ${took.toFixed(1)} s`);
    }
    const seconds = (performance.now() - began) / 1000;
    const during = writers.take();
    return {
      seconds,
      keysPerSecond: travelled / seconds,
      errors: during.errors,
      longestPauseMs: during.max,
      p99Ratio: during.p99 / before.p99,
    };
  } finally {
    writers?.end();
    await Promise.all(nodes.map(({ engine }) => engine.stop()));
  }
}

async function clusterPort(): Promise<number> {
  for (;;) {
    const port = await freePort();
    if (port + 10_000 < 65_536) return port;
  }
}

async function serves(port: number): Promise<boolean> {
  return String(await ask(port, 'CLUSTER', 'INFO')).includes('cluster_state:ok');
}

async function knownBy(nodes: readonly { port: number }[], count: number): Promise<boolean> {
  const known = await Promise.all(
    nodes.map(async ({ port }) =>
      String(await ask(port, 'CLUSTER', 'NODES'))
        .trim()
        .split('\n'),
    ),
  );
  return known.every((lines) => lines.length === count);
}

/** Open loop: latencies count from when a command should have been sent. */
class Writers {
  readonly #cluster: Cluster;
  readonly #timer: NodeJS.Timeout;
  #latencies: number[] = [];
  #errors = 0;
  #sent = 0;
  readonly #began = performance.now();

  constructor(port: number, rate: number) {
    this.#cluster = new Cluster([{ host: '127.0.0.1', port }], { redisOptions: {} });
    this.#cluster.on('error', () => undefined);
    const value = 'x'.repeat(100);
    this.#timer = setInterval(() => {
      const due = Math.floor(((performance.now() - this.#began) / 1000) * rate);
      for (; this.#sent < due; this.#sent += 1) {
        const intended = this.#began + (this.#sent / rate) * 1000;
        this.#cluster
          .set(`w${this.#sent % WRITERS}:${this.#sent % 1_000}`, value)
          .then(() => this.#latencies.push(performance.now() - intended))
          .catch(() => {
            this.#errors += 1;
          });
      }
    }, 1);
  }

  for(ms: number): Promise<void> {
    return new Promise((done) => setTimeout(done, ms));
  }

  take(): { p99: number; max: number; errors: number } {
    const sorted = this.#latencies.sort((a, b) => a - b);
    const errors = this.#errors;
    this.#latencies = [];
    this.#errors = 0;
    return {
      p99: sorted[Math.floor(sorted.length * 0.99)] ?? 0,
      max: sorted.at(-1) ?? 0,
      errors,
    };
  }

  end(): void {
    clearInterval(this.#timer);
    this.#cluster.disconnect();
  }
}
