import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '../data/random.ts';
import { quantile } from '../harness/stats.ts';
import type { Target } from './asker.ts';
import { runLoad, startLoad } from './generator.ts';
import { type Mischief, PlantedServer } from './planted-server.ts';
import { PROFILES, type Profile } from './profile.ts';

const WITNESSES: Profile = {
  operations: [
    { kind: 'register', weight: 1, valueBytes: 64 },
    { kind: 'log', weight: 1 },
  ],
  streamsPerConnection: 3,
};

async function planted<T>(
  options: Parameters<typeof PlantedServer.listen>[0],
  body: (server: PlantedServer, target: Target) => Promise<T>,
): Promise<T> {
  const server = await PlantedServer.listen(options);
  try {
    return await body(server, { host: '127.0.0.1', port: server.port });
  } finally {
    await server.close();
  }
}

/**
 * Most replies quick, a heavy tail: p99 stands far from the middle, and high enough that 2 % of it is
 * more than a busy machine takes to wake a thread.
 */
function skewed(): () => number {
  const random = new Random(7);
  return () => (random.unit() < 0.9 ? random.between(10, 40) : random.between(240, 640));
}

for (const pace of [
  { kind: 'open', rate: 600, arrivals: 'poisson' },
  { kind: 'closed', depth: 1 },
] as const) {
  test(`a planted delay distribution is measured back within 2 % at p99, ${pace.kind} loop`, async () => {
    await planted({ delayMs: skewed() }, async (server, target) => {
      const report = await runLoad({
        targets: [target],
        pace,
        profile: PROFILES.ping,
        connections: 64,
        durationMs: 3_000,
      });
      const truth = quantile(server.delays, 0.99);
      const measured = report.latencyMs.p99;
      assert.ok(report.ok > 1_000, `only ${report.ok} requests`);
      assert.ok(truth > 500, `the planted p99 is ${truth} ms`);
      assert.ok(
        Math.abs(measured / truth - 1) < 0.02,
        `p99 ${measured} ms measured, ${truth} ms planted`,
      );
      assert.equal(report.ok, server.delays.length);
    });
  });
}

test('a stall shows in an open loop for every request that fell due in it', async () => {
  await planted({}, async (server, target) => {
    const load = await startLoad({
      targets: [target],
      pace: { kind: 'open', rate: 1_000, arrivals: 'even' },
      profile: PROFILES.ping,
      connections: 4,
      durationMs: 1_500,
    });
    server.stall(500);
    const report = await load.report;
    // A third of all requests fell due in the stall; half of those waited longer than 250 ms.
    assert.ok(report.latency.quantile(0.8) / 1e6 > 50, `p80 ${report.latency.quantile(0.8) / 1e6}`);
    assert.ok(report.latencyMs.p99 > 350, `p99 ${report.latencyMs.p99}`);
    assert.ok(report.longestGap.ms > 400, `longest gap ${report.longestGap.ms}`);
    assert.ok(report.arrivals >= 1_490 && report.arrivals <= 1_500, `${report.arrivals} arrivals`);
  });
});

test('a connection of which nothing was asked has not waited', async () => {
  await planted({}, async (_server, target) => {
    const report = await runLoad({
      targets: [target],
      pace: { kind: 'open', rate: 10, arrivals: 'even' },
      profile: PROFILES.ping,
      connections: 40,
      durationMs: 1_000,
    });
    assert.ok(report.longestGap.ms < 500, `longest gap ${report.longestGap.ms}`);
  });
});

const kinds: readonly (readonly [Mischief, 'lost' | 'duplicated' | 'reordered'])[] = [
  ['lose', 'lost'],
  ['double', 'duplicated'],
  ['reorder', 'reordered'],
];
for (const [mischief, verdict] of kinds) {
  test(`a server that ${mischief}s a share of the writes is found out exactly`, async () => {
    await planted({ mischief, every: 97 }, async (server, target) => {
      const report = await runLoad({
        targets: [target],
        pace: { kind: 'open', rate: 8_000, arrivals: 'poisson' },
        profile: WITNESSES,
        connections: 10,
        durationMs: 1_000,
      });
      const found = report.verification;
      assert.ok(found !== null);
      const planned = server.wronged.log + server.wronged.register;
      assert.ok(planned > 30, `${planned} writes wronged`);
      const expected = { lost: 0, duplicated: 0, reordered: 0, [verdict]: planned };
      const { lost, duplicated, reordered, impossible, unknown, unread } = found;
      assert.deepEqual({ lost, duplicated, reordered }, expected);
      assert.deepEqual({ impossible, unknown, unread }, { impossible: 0, unknown: 0, unread: [] });
      assert.equal(found.acknowledged, report.ok);
      const example = found.examples[0];
      assert.ok(example !== undefined && example.kind === verdict);
      assert.match(example.connection, /^0\/\d+#1$/);
      assert.ok(Date.parse(example.acknowledgedAt) >= Date.parse(example.sentAt));
    });
  });
}

test('an honest server is not accused, also when connections break in between', async () => {
  await planted({ delayMs: () => 3 }, async (server, target) => {
    const load = await startLoad({
      targets: [target],
      pace: { kind: 'open', rate: 3_000, arrivals: 'even' },
      profile: WITNESSES,
      connections: 8,
      durationMs: 1_200,
      threads: 2,
    });
    // Only while it writes: what reads back afterwards is not what is tested.
    let left = 5;
    const breaks = setInterval(() => {
      if (left-- > 0) server.dropConnections();
    }, 200);
    const report = await load.report;
    clearInterval(breaks);
    const found = report.verification;
    assert.ok(found !== null);
    assert.ok(report.unknown > 0 && found.unknown === report.unknown, `${report.unknown} unknown`);
    // This server applies at once and replies late, so the broken ones did happen.
    assert.ok(found.unknownApplied > 0, 'unknown outcomes that happened are counted');
    const { lost, duplicated, reordered, impossible } = found;
    assert.deepEqual(
      { lost, duplicated, reordered, impossible },
      { lost: 0, duplicated: 0, reordered: 0, impossible: 0 },
    );
    assert.equal(found.acknowledged + found.unknown + found.refused, report.arrivals);
    assert.ok(Object.keys(report.connectionsLost).length > 0);
  });
});

test('more arrivals than a thread can send are reported as the generator’s limit', async () => {
  await planted({}, async (_server, target) => {
    const report = await runLoad({
      targets: [target],
      pace: { kind: 'open', rate: 3_000_000, arrivals: 'even' },
      profile: PROFILES.ping,
      connections: 2,
      durationMs: 300,
    });
    assert.match(report.generatorLimited ?? '', /late/);
  });
});

/** Far more than the clocks of two threads differ by. */
const APART_MS = 8;
const CLOCKS_MS = 2;

test('an error in answer to WAIT is about every write that no WAIT has confirmed', async () => {
  const answers: Readonly<Record<number, string>> = {
    3: ':0',
    4: ':0',
    5: '-OUTCOMEUNKNOWN lost',
    6: '-OUTCOMEUNKNOWN lost',
    9: ':0',
    10: ':1',
    11: '-OUTCOMEUNKNOWN lost',
  };
  // When each WAIT came here: a write of a closed loop lies between its own and the one before, whatever timers do.
  const heard: number[] = [0];
  const waits = (nth: number): string => {
    heard[nth] = performance.timeOrigin + performance.now();
    return answers[nth] ?? ':1';
  };
  const options = { delayMs: () => APART_MS, waits };
  await planted(options, async (_server, target) => {
    const report = await runLoad({
      targets: [target],
      pace: { kind: 'closed', depth: 1 },
      profile: { operations: [{ kind: 'register', weight: 1, waitMs: 10 }] },
      connections: 1,
      durationMs: 1_000,
    });
    assert.equal(report.failures.length, 3);
    const own = report.failures.map((failure) => failure.intendedAt - failure.since);
    assert.deepEqual(own.slice(1), [0, 0], 'told, and confirmed');
    const since = report.failures[0]?.since ?? 0;
    assert.ok((heard[2] ?? 0) < since, 'what was confirmed is not doubted');
    assert.ok(since < (heard[3] ?? 0) + CLOCKS_MS, 'two writes before its own');
  });
});
