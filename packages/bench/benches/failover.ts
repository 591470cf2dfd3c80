/**
 * How long nobody can write when a primary dies, hangs, or is replaced on request; and whether
 * anything that was acknowledged is lost by it. Figures of one blow each, never an average over a
 * second; the writers are open-loop, so that a pause is seen by everybody who would have written.
 */
import { CRASHES } from '../failover/blows.ts';
import {
  type Deed,
  experiment,
  fill,
  hanging,
  killing,
  killingTwice,
  type Outcome,
} from '../failover/experiment.ts';
import { type OurSystem, ourSystem } from '../failover/ours.ts';
import { planned } from '../failover/planned.ts';
import { clusterRival, type Rival, sentinelRival } from '../failover/rivals.ts';
import type { Bench, BenchContext, Measured } from '../harness/result.ts';
import { median } from '../harness/stats.ts';
import { workFolder } from '../rivals/launch.ts';
import { type Program, rivalEngine } from '../rivals/programs.ts';
import { reasonOf } from '../rivals/reason.ts';
import { OurService } from './our-service.ts';

const DATA_MB = 100;
/** Memory of the SKUs is divided by this: what is left holds the data twice over. */
const MINIATURE = { memoryDivisor: 3, maxShards: 3 };
const RIVAL_KILLS = 12;
const ONE_OF_THREE = 1;
/** Acknowledged a second: below it the figures are of another load than the one described. */
const WANTED_RATE = 1_900;

interface Topology {
  readonly cache: string;
  readonly sku: string;
  readonly policy: 'EnterpriseCluster' | 'NoCluster';
  readonly shard: number;
  readonly kills: number;
  readonly hangs: number;
  readonly switches: number;
}

const FULL: readonly Topology[] = [
  {
    cache: 'one-shard',
    sku: 'Balanced_B1',
    policy: 'EnterpriseCluster',
    shard: 0,
    kills: 22,
    hangs: 1,
    switches: 10,
  },
  {
    cache: 'three-shards',
    sku: 'ComputeOptimized_X10',
    policy: 'EnterpriseCluster',
    shard: ONE_OF_THREE,
    kills: 12,
    hangs: 1,
    switches: 10,
  },
  {
    cache: 'no-cluster',
    sku: 'Balanced_B1',
    policy: 'NoCluster',
    shard: 0,
    kills: 12,
    hangs: 1,
    switches: 10,
  },
  {
    cache: 'busy-control',
    sku: 'Balanced_B1',
    policy: 'EnterpriseCluster',
    shard: 0,
    kills: 8,
    hangs: 1,
    switches: 5,
  },
  {
    cache: 'hang-more',
    sku: 'Balanced_B1',
    policy: 'EnterpriseCluster',
    shard: 0,
    kills: 0,
    hangs: 1,
    switches: 0,
  },
];
const QUICK: readonly Topology[] = [
  {
    cache: 'one-shard',
    sku: 'Balanced_B1',
    policy: 'EnterpriseCluster',
    shard: 0,
    kills: 6,
    hangs: 1,
    switches: 5,
  },
  {
    cache: 'three-shards',
    sku: 'ComputeOptimized_X10',
    policy: 'EnterpriseCluster',
    shard: ONE_OF_THREE,
    kills: 3,
    hangs: 0,
    switches: 0,
  },
  {
    cache: 'no-cluster',
    sku: 'Balanced_B1',
    policy: 'NoCluster',
    shard: 0,
    kills: 3,
    hangs: 0,
    switches: 0,
  },
];

export const failover: Bench = {
  name: 'failover',
  about:
    'The longest time between two acknowledged writes to a shard around each SIGKILL of its primary (at any moment, during a snapshot, with half of a 5 MB value sent, with a transaction on its way), SIGSTOP, and failover on request. 100 MB on the shard, its replica in sync before each; 2,100 writes/s over 10 TLS connections through the endpoint, plus 40/s that ask with WAIT 1; open loop, never waiting. Rivals: the same writers, plain TCP, on the same engine.',
  async run(context): Promise<Measured[]> {
    const { build, server } = await rivalEngine('valkey-9');
    context.engine(`${build.name} ${build.version}`);
    const topologies = context.quick ? QUICK : FULL;
    const service = await OurService.make({ miniature: MINIATURE, workers: 'one-a-core' });
    context.defer(() => service.destroy());
    await service.start();
    const outcomes: { readonly topology: Topology; readonly outcome: Outcome }[] = [];
    let syncing: Outcome | null = null;
    context.soFar(() => figures(outcomes, NO_RIVALS, syncing));
    for (const topology of topologies) {
      const system = await ourSystem(service, topology);
      await fill(system, DATA_MB);
      const stir = topology.cache === 'busy-control' ? keepBusy(service) : null;
      const deeds = deedsOf(service, system, topology);
      const outcome = await experiment(system, deeds, { seed: 1, say: context.say });
      outcomes.push({ topology, outcome });
      await stir?.();
      if (topology.cache === 'hang-more') {
        syncing = await experiment(system, [killingTwice], { seed: 2, say: context.say });
      }
      await service.remove(topology.cache);
    }
    const rivals = context.quick ? NO_RIVALS : await measureRivals(context, server);
    return figures(outcomes, rivals, syncing);
  },
};

/** Hangs first: after one, a shard is not failed over for another for a minute. */
function deedsOf(service: OurService, system: OurSystem, topology: Topology): Deed[] {
  return [
    ...Array.from({ length: topology.hangs }, () => hanging),
    ...crashes(topology.kills),
    ...Array.from({ length: topology.switches }, () => planned(service, system)),
  ];
}

/** All kinds in turn; half of them at any moment. */
function crashes(count: number): Deed[] {
  return Array.from({ length: count }, (_, i) => {
    const kind = i % 2 === 0 ? CRASHES[0] : CRASHES[1 + (((i - 1) / 2) % (CRASHES.length - 1))];
    return killing(kind ?? CRASHES[0]);
  });
}

/** Caches come and go beside the one that is measured, one after the other, until it is ended. */
function keepBusy(service: OurService): () => Promise<void> {
  let ended = false;
  const work = (async () => {
    for (let i = 0; !ended; i += 1) {
      const { cache } = await service.create(`busy-${i}`, { sku: 'Balanced_B0' });
      await service.remove(cache.name);
    }
  })();
  return async () => {
    ended = true;
    await work;
  };
}

interface Rivals {
  readonly outcomes: Readonly<Record<string, Outcome>>;
  /** Which of them broke off, and why. */
  readonly broken: readonly string[];
}
const NO_RIVALS: Rivals = { outcomes: {}, broken: [] };

/** One that breaks off costs its own figures only. */
async function measureRivals(context: BenchContext, server: Program): Promise<Rivals> {
  const outcomes: Record<string, Outcome> = {};
  const broken: string[] = [];
  for (const [name, start] of Object.entries({ sentinelRival, clusterRival })) {
    const folder = await workFolder(true);
    let rival: Rival | null = null;
    try {
      rival = await start(server, folder.dir);
      await fill(rival, DATA_MB);
      outcomes[rival.name] = await experiment(rival, crashes(RIVAL_KILLS), {
        seed: 1,
        say: context.say,
      });
    } catch (error) {
      broken.push(`${rival?.name ?? name} broke off and has no figures: ${reasonOf(error)}`);
      context.say(broken.at(-1) ?? '');
    } finally {
      await rival?.stop();
      await folder.remove();
    }
  }
  return { outcomes, broken };
}

/** How long after its blow the pause of this length began: the failover itself, or what came of it. */
function afterCrash(all: readonly Outcome[], gapMs: number | undefined): string {
  const blow = all.flatMap(({ blows }) => blows).find((each) => each.gapMs === gapMs);
  return (blow?.gapAfterMs ?? 0).toFixed(0);
}

function figures(
  outcomes: readonly { readonly topology: Topology; readonly outcome: Outcome }[],
  { outcomes: rivals, broken }: Rivals,
  syncing: Outcome | null,
): Measured[] {
  const all = outcomes.map(({ outcome }) => outcome);
  const gaps = (outcome: Outcome, which: (kind: string) => boolean): number[] =>
    outcome.blows.filter((blow) => which(blow.kind)).map((blow) => blow.gapMs);
  const isCrash = (kind: string): boolean => CRASHES.some((each) => each === kind);
  const crash = all.flatMap((outcome) => gaps(outcome, isCrash));
  const hang = all.flatMap((outcome) => gaps(outcome, (kind) => kind === 'hang'));
  const switches = all.flatMap((outcome) => gaps(outcome, (kind) => kind === 'planned'));
  const ofRivals = (value: (outcome: Outcome) => number[]): Record<string, number[]> =>
    Object.fromEntries(Object.entries(rivals).map(([name, outcome]) => [name, value(outcome)]));
  const sum = (value: (outcome: Outcome) => number): number =>
    all.reduce((total, outcome) => total + value(outcome), 0);
  const worst = (values: readonly number[]): number[] =>
    values.length === 0 ? [] : [Math.max(...values)];
  const examples = [...new Set(all.flatMap((outcome) => outcome.errors.examples))];
  const inPlanned = outcomes.flatMap(({ topology, outcome }) =>
    outcome.plannedErrors.map((error) => `${topology.cache}: ${error}`),
  );
  const slow = all.map((outcome) => outcome.rate).filter((rate) => rate < WANTED_RATE);
  return [
    {
      metric: 'crash_p50_ms',
      unit: 'ms',
      samples: { ours: crash, ...ofRivals((outcome) => gaps(outcome, isCrash)) },
      note: [`${crash.length} kills`, ...broken].join('; '),
      ...(slow.length > 0 ? { void: `only ${Math.round(Math.min(...slow))} writes/s` } : {}),
    },
    {
      metric: 'crash_p99_ms',
      unit: 'ms',
      samples: { ours: worst(crash), ...ofRivals((outcome) => worst(gaps(outcome, isCrash))) },
      note: `the worst one; it began ${afterCrash(all, worst(crash)[0])} ms after its kill`,
    },
    {
      metric: 'hang_p99_ms',
      unit: 'ms',
      samples: { ours: worst(hang) },
      note: `the worst of ${hang.length}`,
    },
    {
      metric: 'planned_p99_ms',
      unit: 'ms',
      samples: { ours: worst(switches) },
      note:
        switches.length === 0
          ? 'failover on request is not there'
          : `the worst of ${switches.length}, median ${median(switches).toFixed(1)}`,
    },
    {
      metric: 'planned_errors',
      unit: 'errors',
      samples: { ours: [inPlanned.length] },
      ...(inPlanned.length > 0 ? { note: inPlanned.join('; ') } : {}),
    },
    {
      metric: 'lost_with_wait',
      unit: 'writes',
      samples: {
        ours: [sum((outcome) => outcome.lostWithWait)],
        ...ofRivals((outcome) => [outcome.lostWithWait]),
      },
    },
    {
      metric: 'unexplained_errors',
      unit: 'errors',
      samples: { ours: [sum((outcome) => outcome.errors.unexplained + outcome.halfTransactions)] },
      ...(examples.length > 0 ? { note: examples.join('; ') } : {}),
    },
    {
      metric: 'lost_without_wait',
      unit: 'writes',
      samples: {
        ours: [sum((outcome) => outcome.lost)],
        ...ofRivals((outcome) => [outcome.lost]),
      },
      note: 'acknowledged by a primary that died before its replica had read them',
    },
    {
      metric: 'unknown_outcomes',
      unit: 'writes',
      samples: { ours: [sum((outcome) => outcome.errors.explained)] },
      note: 'in flight at a crash or in the second of a hang, and said to be unknown',
    },
    {
      metric: 'longest_write_ms',
      unit: 'ms',
      samples: { ours: all.map((outcome) => outcome.longestWriteMs) },
      note: 'from when it was due to its acknowledgement, hangs included',
    },
    ...outcomes.flatMap(({ topology, outcome }): Measured[] => {
      const own = gaps(outcome, isCrash);
      if (own.length === 0) return [];
      const note = `worst ${Math.max(...own).toFixed(1)}`;
      return [
        {
          metric: `crash_p50_ms_${topology.cache.replaceAll('-', '_')}`,
          unit: 'ms',
          samples: { ours: own },
          note,
        },
      ];
    }),
    ...(syncing === null
      ? []
      : [
          {
            metric: 'crash_while_syncing_ms',
            unit: 'ms',
            samples: { ours: syncing.blows.map((blow) => blow.gapMs) },
            note: `the only whole copy killed while its new replica was being built: the data set is gone (${syncing.lost} acknowledged writes), the shard starts empty and says so`,
          },
        ]),
  ];
}
