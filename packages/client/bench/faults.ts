/**
 * (c) Faults: a server that stalls for 5 s, a killed connection, a server that is replaced, and the
 * reconnects of 200 processes' worth of clients. Beside ioredis as its README shows it.
 */
import { Redis } from 'ioredis';
import { lanes } from '../index.ts';
import { type FaultProxy, startProxy } from '../testing/proxy.ts';
import { ask, freePort, startServer } from '../testing/server.ts';
import type { BenchContext, Measured } from './index.ts';

const STALL_MS = 5_000;
const CLIENTS = 200;
const WRITERS = 20;
const AFTER_MS = 15_000;
/** Waits are random: one round is luck. */
const ROUNDS = 5;
/**
 * How long a failed server stays away: of several lengths, because a client that connects again at fixed times
 * is always early after one and always late after another.
 */
const OUTAGES_MS = [600, 750, 900, 1_050, 1_200, 1_350, 1_500, 1_650, 1_800];

interface Outcome {
  readonly firstSuccessMs: number;
  readonly errors: number;
  readonly duplicates: number;
}

type Make = (port: number) => Redis;

const makes: Readonly<Record<string, Make>> = {
  ours: (port) => quiet(lanes(() => quiet(new Redis({ port })))),
  ioredis: (port) => quiet(new Redis({ port })),
};

function quiet(redis: Redis): Redis {
  redis.on('error', () => {});
  return redis;
}

export async function faults(context: BenchContext): Promise<Measured[]> {
  const results: Measured[] = [];
  const kinds: [string, number, (proxy: FaultProxy, round: number) => Promise<void>][] = [
    [
      'stall',
      1,
      async (proxy) => {
        proxy.stall();
        await pause(STALL_MS);
        proxy.resume();
      },
    ],
    ['killed_connection', ROUNDS, async (proxy) => proxy.cut()],
    [
      'failover',
      OUTAGES_MS.length,
      async (proxy, round) => {
        proxy.refuse(true);
        proxy.cut();
        await pause(OUTAGES_MS[round] ?? 1_000);
        proxy.refuse(false);
      },
    ],
  ];
  for (const [name, rounds, fault] of kinds) {
    const outcomes: Record<string, Outcome[]> = {};
    for (let round = 0; round < rounds; round += 1) {
      for (const [side, make] of Object.entries(makes)) {
        outcomes[side] ??= [];
        outcomes[side].push(await underFault(make, (proxy) => fault(proxy, round)));
      }
    }
    const of = (part: keyof Outcome): Record<string, number[]> =>
      Object.fromEntries(
        Object.entries(outcomes).map(([side, all]) => [side, all.map((one) => one[part])]),
      );
    results.push({
      metric: `${name}_first_success_ms`,
      unit: 'ms',
      samples: of('firstSuccessMs'),
      note: 'from the end of the fault',
    });
    results.push({ metric: `${name}_errors`, unit: 'calls', samples: of('errors') });
    results.push({ metric: `${name}_duplicates`, unit: 'writes', samples: of('duplicates') });
    context.say(`client: fault ${name}`);
  }
  results.push(await storm(context));
  return results;
}

/** Writers count on INCR; what the server has beyond what was acknowledged or unknown ran twice. */
async function underFault(
  make: Make,
  fault: (proxy: FaultProxy) => Promise<void>,
): Promise<Outcome> {
  const server = await startServer();
  const proxy = await startProxy(server.port);
  const redis = make(proxy.port);
  await redis.set('n', '0');
  let asked = 0;
  let errors = 0;
  let stop = false;
  let faulted = 0;
  let firstSuccess = 0;
  const writers = Array.from({ length: WRITERS }, async () => {
    while (!stop) {
      asked += 1;
      try {
        await redis.incr('n');
        if (faulted > 0 && firstSuccess === 0) firstSuccess = performance.now();
      } catch {
        errors += 1;
        await pause(1);
      }
    }
  });
  await pause(300);
  await fault(proxy);
  faulted = performance.now();
  firstSuccess = 0;
  const deadline = faulted + AFTER_MS;
  while (firstSuccess === 0 && performance.now() < deadline) await pause(5);
  await pause(300);
  stop = true;
  await Promise.race([Promise.all(writers), pause(AFTER_MS)]);
  const ran = Number(/\n(\d+)/.exec(await ask(server.port, 'GET', 'n'))?.[1] ?? 0);
  redis.disconnect();
  await proxy.stop();
  await server.stop();
  return {
    firstSuccessMs: firstSuccess === 0 ? AFTER_MS : firstSuccess - faulted,
    errors,
    // Every INCR asked for may have run once: what is above that ran a second time.
    duplicates: Math.max(0, ran - asked),
  };
}

/** All connections of many clients break at once: how many attempts to connect does the worst 100 ms see? */
async function storm(context: BenchContext): Promise<Measured> {
  const samples: Record<string, number[]> = {};
  for (const [side, make] of Object.entries(makes)) {
    const server = await startServer(['--maxclients', '2000'], await freePort());
    const proxy = await startProxy(server.port);
    // One after the other: what is measured begins when all are there.
    const clients: Redis[] = [];
    for (let i = 0; i < CLIENTS; i += 1) {
      const client = make(proxy.port);
      clients.push(client);
      await client.ping();
    }
    const before = proxy.opened;
    proxy.cut();
    let worst = 0;
    let last = before;
    const end = performance.now() + AFTER_MS;
    while (proxy.opened - before < CLIENTS && performance.now() < end) {
      await pause(100);
      worst = Math.max(worst, proxy.opened - last);
      last = proxy.opened;
    }
    samples[side] = [worst];
    for (const client of clients) client.disconnect();
    await proxy.stop();
    await server.stop();
  }
  context.say(`client: reconnects of ${CLIENTS} clients`);
  return { metric: 'storm_connects_in_100_ms', unit: 'connections', samples };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
