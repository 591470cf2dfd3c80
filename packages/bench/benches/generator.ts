/**
 * The load generator itself: what one of its threads can do, and whether it agrees with
 * `valkey-benchmark` on the same load (the same commands, connections and depth, closed loop).
 */
import type { Samples } from '../harness/pairs.ts';
import type { Bench, Measured } from '../harness/result.ts';
import { MIN_PAIRS, TIMELINE_GRAIN_MS } from '../limits.ts';
import type { Target } from '../load/asker.ts';
import { runLoad, startLoad } from '../load/generator.ts';
import type { Profile } from '../load/profile.ts';
import { startEngine } from '../rivals/engine.ts';
import { workFolder } from '../rivals/launch.ts';
import { type Program, rivalEngine } from '../rivals/programs.ts';
import { ACCESS_KEY } from './key.ts';
import { shootCommand } from './valkey-benchmark.ts';

const GET: Profile = {
  operations: [{ kind: 'plain', args: ['GET', '{key}'], weight: 1, keys: 10_000 }],
};
const CONNECTIONS = 50;
const ARRIVALS = 60_000;
const QUICK_MS = 500;
const FULL_MS = 2_000;
/**
 * Takes the engine about a millisecond, and enough connections wait for it: then the engine decides
 * the figures, and neither tool's turn at a busy processor.
 */
export const SLOW_COMMAND = [
  'EVAL',
  'local s = 0 for i = 1, 40000 do s = s + i % 7 end return s',
  '0',
] as const;
const SLOW: Profile = { operations: [{ kind: 'plain', args: SLOW_COMMAND, weight: 1 }] };
const COMPARED_CONNECTIONS = 50;
/** `valkey-benchmark` warms up for one second and measures for two. */
const TOGETHER_MS = 3_300;
/** Moments of our time line in which both are surely at work, and measured. */
const BOTH_FROM = 12;
const BOTH_TO = 28;

/**
 * Both tools at the same time on one engine, with the same commands and as many connections each:
 * the engine serves all in turn, so each must see the same rate and the same latency, whatever else
 * this machine does meanwhile. One after the other they would be measured in different seconds.
 */
export async function compareTools(
  benchmark: Program,
  target: Target & { readonly port: number },
  rounds: number,
): Promise<{ rate: Samples; p50: Samples }> {
  const rate: Samples = { ours: [], valkey_benchmark: [] };
  const p50: Samples = { ours: [], valkey_benchmark: [] };
  for (let round = 0; round < rounds; round += 1) {
    const load = await startLoad({
      targets: [target],
      pace: { kind: 'closed', depth: 1 },
      profile: SLOW,
      connections: COMPARED_CONNECTIONS,
      durationMs: TOGETHER_MS,
    });
    const shot = { port: target.port, tls: null, connections: COMPARED_CONNECTIONS };
    const theirs = await shootCommand(
      benchmark,
      { ...shot, pipeline: 1, requests: { warmUpSeconds: 1, seconds: 2 } },
      SLOW_COMMAND,
    );
    const ours = await load.report;
    const both = ours.timeline.slice(BOTH_FROM, BOTH_TO);
    const seconds = (both.length * TIMELINE_GRAIN_MS) / 1000;
    rate['ours']?.push(both.reduce((sum, moment) => sum + moment.ok, 0) / seconds);
    rate['valkey_benchmark']?.push(theirs.rate);
    p50['ours']?.push(ours.latencyMs.p50);
    p50['valkey_benchmark']?.push(theirs.p50Ms);
  }
  return { rate, p50 };
}

export const generator: Bench = {
  name: 'generator',
  about:
    'Requests a second that one thread of the load generator sends and checks, and its agreement with `valkey-benchmark` on the same load.',
  async run(context): Promise<Measured[]> {
    const folder = await workFolder();
    context.defer(folder.remove);
    const provisioned = await rivalEngine('valkey-9');
    const { benchmark } = provisioned.tools;
    if (benchmark === null) throw new Error('this build of Valkey came without valkey-benchmark');
    context.engine(`${provisioned.build.name} ${provisioned.build.version}`);
    const engine = await startEngine(provisioned.server, {
      dir: folder.dir,
      settings: { requirepass: ACCESS_KEY },
    });
    context.defer(engine.stop);
    const durationMs = context.quick ? QUICK_MS : FULL_MS;
    const target = { host: '127.0.0.1', port: engine.port, password: ACCESS_KEY };
    const open: number[] = [];
    const lag: number[] = [];
    for (let round = 0; round < MIN_PAIRS; round += 1) {
      const report = await runLoad({
        targets: [target],
        pace: { kind: 'open', rate: ARRIVALS, arrivals: 'poisson' },
        profile: GET,
        connections: CONNECTIONS,
        durationMs,
        warmUpMs: durationMs / 3,
      });
      open.push(report.rate);
      lag.push(report.lag.quantile(0.99) / 1e6);
    }
    const { rate, p50 } = await compareTools(benchmark, target, context.quick ? 3 : MIN_PAIRS);
    const note = `both at once, closed loop, ${COMPARED_CONNECTIONS} connections each, a script of about 1 ms: the engine decides`;
    return [
      {
        metric: 'one_thread_rate',
        unit: 'requests/s',
        samples: { ours: open },
        note: `open loop, ${CONNECTIONS} connections, ${ARRIVALS} arrivals a second, each reply checked`,
      },
      { metric: 'send_lag_p99_ms', unit: 'ms', samples: { ours: lag }, note: 'how late it sent' },
      { metric: 'same_load_rate', unit: 'requests/s', samples: rate, note },
      { metric: 'same_load_p50_ms', unit: 'ms', samples: p50, note },
    ];
  },
};
