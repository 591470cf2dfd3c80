/**
 * The load generator itself: what one of its threads can do, and whether it agrees with
 * `valkey-benchmark` on the same load (the same commands, connections and depth, closed loop).
 */
import { interleave } from '../harness/pairs.ts';
import type { Bench, Measured } from '../harness/result.ts';
import { MIN_PAIRS } from '../limits.ts';
import { runLoad } from '../load/generator.ts';
import type { Profile } from '../load/profile.ts';
import { startEngine } from '../rivals/engine.ts';
import { workFolder } from '../rivals/launch.ts';
import { rivalEngine } from '../rivals/programs.ts';
import { ACCESS_KEY } from './our-endpoint.ts';
import { shoot } from './valkey-benchmark.ts';

/** Keys as `valkey-benchmark -t get -r` names them, so both ask for the same. */
const GET: Profile = {
  operations: [{ kind: 'plain', args: ['GET', '{key}'], weight: 1, keys: 10_000 }],
};
const CONNECTIONS = 50;
const QUICK_MS = 600;
const FULL_MS = 2_000;
/** Well under what either can do: then the server's answer, not the tool, decides the figure. */
const COMPARED_CONNECTIONS = 1;

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
    const load = async (
      connections: number,
      pace: Parameters<typeof runLoad>[0]['pace'],
    ): Promise<Awaited<ReturnType<typeof runLoad>>> =>
      runLoad({ targets: [target], pace, profile: GET, connections, durationMs, warmUpMs: 100 });
    const shot = {
      port: engine.port,
      tls: null,
      pipeline: 1,
      verb: 'get',
      bytes: 100,
      connections: COMPARED_CONNECTIONS,
    } as const;
    const requests = Math.ceil(
      (await shoot(benchmark, { ...shot, requests: 5_000 })) * (durationMs / 1000),
    );
    const agreement = await interleave(
      [
        {
          name: 'ours',
          measure: async () =>
            (await load(COMPARED_CONNECTIONS, { kind: 'closed', depth: 1 })).rate,
        },
        { name: 'valkey_benchmark', measure: () => shoot(benchmark, { ...shot, requests }) },
      ],
      MIN_PAIRS,
    );
    const open: number[] = [];
    const lag: number[] = [];
    for (let round = 0; round < MIN_PAIRS; round += 1) {
      const report = await load(CONNECTIONS, { kind: 'open', rate: 60_000, arrivals: 'poisson' });
      // A rate at which the generator itself was late is not one that it can do.
      open.push(report.generatorLimited === null ? report.rate : 0);
      lag.push(report.lag.quantile(0.99) / 1e6);
    }
    return [
      {
        metric: 'one_thread_rate',
        unit: 'requests/s',
        samples: { ours: open },
        note: `open loop, ${CONNECTIONS} connections, 60,000 arrivals a second; 0 where the generator was late; its p99 lag ${lag.map((x) => x.toFixed(2)).join('/')} ms`,
      },
      {
        metric: 'one_connection_rate',
        unit: 'requests/s',
        samples: agreement,
        note: 'closed loop, one connection, depth 1: round trips of the same engine',
      },
    ];
  },
};
