/**
 * Shards up and down under load: how long it takes, and what those who write meanwhile notice of it.
 * Every acknowledged write is read back afterwards.
 */
import type { MiniatureOption } from '../../control/boot-protocol.ts';
import { loadDataset } from '../data/load.ts';
import { ASK_MS } from '../failover/system.ts';
import type { Bench, BenchContext, Measured } from '../harness/result.ts';
import { runLoad, startLoad } from '../load/generator.ts';
import { PROFILES } from '../load/profile.ts';
import type { LoadReport } from '../load/report.ts';
import { until } from '../processes.ts';
import { workFolder } from '../rivals/launch.ts';
import { rivalEngine } from '../rivals/programs.ts';
import { reasonOf } from '../rivals/reason.ts';
import type { ScaleFigures } from '../scale/figures.ts';
import { rebalanced } from '../scale/rival.ts';
import { OurService } from './our-service.ts';

interface Plan {
  readonly bytes: number;
  /** One shard; the first figures are those of its creation, see below. */
  readonly first: { readonly sku: string; readonly miniature: MiniatureOption };
  readonly skus: readonly { readonly sku: string; readonly shards: number }[];
  readonly miniature: MiniatureOption;
  readonly beforeMs: number;
}

const MB = 1024 * 1024;
const FULL: Plan = {
  bytes: 1024 * MB,
  // No SKU has one shard for so much: a larger one is cut to one shard when it is made.
  first: { sku: 'Balanced_B3', miniature: { memoryDivisor: 1, maxShards: 1 } },
  skus: [
    { sku: 'Balanced_B10', shards: 2 },
    { sku: 'ComputeOptimized_X10', shards: 6 },
    { sku: 'Balanced_B10', shards: 2 },
  ],
  miniature: { memoryDivisor: 3, maxShards: 6 },
  beforeMs: 10_000,
};
const QUICK: Plan = {
  bytes: 100 * MB,
  first: { sku: 'Balanced_B1', miniature: { memoryDivisor: 2, maxShards: 3 } },
  skus: [
    { sku: 'ComputeOptimized_X10', shards: 3 },
    { sku: 'Balanced_B1', shards: 1 },
  ],
  miniature: { memoryDivisor: 2, maxShards: 3 },
  beforeMs: 3_000,
};
const SCALE_MS = 600_000;
const RATE = 1_000;
const CONNECTIONS = 8;
/** Of the longest waits, so many are told one by one. */
const TOLD_WAITS = 5;

export const scale: Bench = {
  name: 'scale',
  about:
    'The number of shards changes under load: 1 GB of the standard data set, 1 to 2 to 6 to 2 shards (quick: 100 MB, 1 to 3 to 1), replicas and TLS, 1,000 witnessed requests/s in an open loop over 8 connections through the endpoint, each acknowledged write read back. Rival: valkey-cli --cluster rebalance with an ioredis cluster client, no replicas, plain TCP.',
  async run(context): Promise<Measured[]> {
    const { build, server, tools } = await rivalEngine('valkey-9');
    context.engine(`${build.name} ${build.version}`);
    const plan = context.quick ? QUICK : FULL;
    const ours = await measureOurs(context, plan);
    if (context.quick || tools.cli === null) return measured(ours, {});
    const folder = await workFolder(true);
    context.defer(folder.remove);
    try {
      const rebalance = await rebalanced({
        server,
        cli: tools.cli,
        dir: folder.dir,
        bytes: plan.bytes,
        steps: plan.skus.map((step) => step.shards),
        rate: RATE,
        beforeMs: plan.beforeMs,
        say: context.say,
      });
      return measured(ours, { rebalance });
    } catch (error) {
      const note = `rebalance broke off and has no figures: ${reasonOf(error)}`;
      context.say(note);
      return measured(ours, {}).map((each) => ({ ...each, note }));
    }
  },
};

async function measureOurs(context: BenchContext, plan: Plan): Promise<ScaleFigures> {
  const service = await OurService.make({ miniature: plan.miniature });
  context.defer(() => service.destroy());
  await service.start({}, plan.first.miniature);
  const { cache } = await service.create('scale', { sku: plan.first.sku });
  // The figures of a cache stay as they were made; those of later SKUs are the next process's.
  await service.killControl();
  await service.start();
  const loaded = await loadDataset(cache.target, { seed: 1, bytes: plan.bytes });
  context.say(`${loaded.keys} keys, ${Math.round(loaded.payload / MB)} MB`);
  const load = {
    targets: [cache.target],
    pace: { kind: 'open', rate: RATE, arrivals: 'poisson', sleepy: true },
    profile: PROFILES.witness,
    connections: CONNECTIONS,
  } as const;
  const before = await runLoad({ ...load, durationMs: plan.beforeMs, verify: false, seed: 1 });
  const running = await startLoad({ ...load, seed: 2, verify: true });
  const began = performance.now();
  let travelled = 0;
  let shards = 1;
  for (const step of plan.skus) {
    const at = performance.now();
    const { operation } = await service.api.patchCluster('scale', { sku: { name: step.sku } });
    const over = async () => !(operation !== null && (await isUnderWay(service, operation)));
    await until('the change of shards ends', over, SCALE_MS, ASK_MS);
    await service.wait(operation);
    travelled += loaded.keys * (1 - Math.min(shards, step.shards) / Math.max(shards, step.shards));
    context.say(
      `${shards} to ${step.shards} shards: ${((performance.now() - at) / 1000).toFixed(1)} s`,
    );
    shards = step.shards;
  }
  const seconds = (performance.now() - began) / 1000;
  running.stop();
  const during = await running.report;
  for (const event of await service.api.events({ limit: 200 })) {
    if (event.reason === 'scaled' || event.severity !== 'info') context.say(event.message);
  }
  for (const line of longest(during)) context.say(line);
  return {
    seconds,
    keysPerSecond: travelled / seconds,
    errors: mistakes(during),
    longestPauseMs: during.latencyMs.max,
    p99Ratio: during.latencyMs.p99 / before.latencyMs.p99,
  };
}

async function isUnderWay(service: OurService, operation: string): Promise<boolean> {
  // An answer that does not come is not the end.
  const record = await service.api.operation(operation).catch(() => null);
  return record === null || record.status === 'Pending' || record.status === 'InProgress';
}

/** When the longest waits were, to be found in the logs of the service: by the clock, too. */
function longest({ waits, startedAt }: LoadReport): string[] {
  return waits
    .toSorted((a, b) => b.longestMs - a.longestMs)
    .slice(0, TOLD_WAITS)
    .map(({ from, longestMs, requests }) => {
      const after = ((from - startedAt) / 1000).toFixed(1);
      return `A wait of ${longestMs.toFixed(0)} ms (${requests} requests) began ${after} s after the beginning, at ${new Date(from).toISOString()}.`;
    });
}

/** What was refused, what nobody answered, and what was acknowledged and is not so. */
function mistakes(report: LoadReport): number {
  const told = Object.values(report.errors).reduce((sum, count) => sum + count, 0);
  const { lost = 0, duplicated = 0, reordered = 0, impossible = 0 } = report.verification ?? {};
  const unread = report.verification?.unread.length ?? 0;
  return told + report.unknown + lost + duplicated + reordered + impossible + unread;
}

function measured(ours: ScaleFigures, peers: Readonly<Record<string, ScaleFigures>>): Measured[] {
  const metric = (name: string, unit: string, of: (figures: ScaleFigures) => number): Measured => ({
    metric: name,
    unit,
    samples: {
      ours: [of(ours)],
      ...Object.fromEntries(Object.entries(peers).map(([peer, each]) => [peer, [of(each)]])),
    },
  });
  return [
    metric('seconds', 's', (f) => f.seconds),
    metric('keys_s', 'keys/s', (f) => f.keysPerSecond),
    metric('errors', 'commands', (f) => f.errors),
    metric('longest_pause_ms', 'ms', (f) => f.longestPauseMs),
    metric('p99_ratio', 'during / before', (f) => f.p99Ratio),
  ];
}
