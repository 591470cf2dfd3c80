/** One soak: real processes, load on every policy, a story of faults and operations from a seed. */

import { cp, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Faults } from '../../faults/index.ts';
import { OurService } from '../benches/our-service.ts';
import { Random } from '../data/random.ts';
import { type LoadHandle, startLoad } from '../load/generator.ts';
import { PROFILES } from '../load/profile.ts';
import type { LoadReport } from '../load/report.ts';
import { olderCache } from './older-engine.ts';
import { chooseStep, SCALE_DEADLINE_MS } from './steps.ts';
import { endpointWhole, type Footprint, footprint, healed, leaks } from './watch.ts';

export interface SoakOptions {
  readonly seed: number;
  readonly minutes: number;
  /** Ends after this many steps, too: to replay a story up to its bad end. */
  readonly steps: number;
  readonly say: (line: string) => void;
  /** Ends after the step that is running; everything is verified and taken down as usual. */
  readonly stop: AbortSignal;
  /** Before each step; for going through a story step by step. */
  readonly pause: (step: number, name: string) => Promise<void>;
}

export interface SoakResult {
  readonly seed: number;
  readonly steps: number;
  readonly seconds: number;
  readonly problems: readonly string[];
  readonly before: Footprint;
  readonly after: Footprint;
  readonly loads: Readonly<
    Record<
      string,
      {
        readonly acknowledged: number;
        readonly lost: number;
        readonly duplicated: number;
        readonly reordered: number;
        readonly unknown: number;
        /** By code, and arrivals that found too much outstanding. */
        readonly errors: Readonly<Record<string, number>>;
        readonly shed: number;
        readonly longestGapMs: number;
        /** Since the soak began, as in the time line. */
        readonly longestGapAtS: number;
        readonly longestGapOf: string;
      }
    >
  >;
}

/** Whatever is killed, stopped or starved: a connection that gets nothing for longer has been forgotten. */
const LONGEST_GAP_MS = 60_000;
/** After this what is still there is a leak. */
const LEAVING_MS = 10_000;

/** A problem that does not come again can only be understood from what was recorded. No data, no keys. */
async function keepEvidence(home: string): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'cinnabar-soak-'));
  for (const name of ['store.db', 'store.db-wal', 'store.db-shm', 'logs']) {
    await cp(path.join(home, name), path.join(folder, name), { recursive: true }).catch(() => null);
  }
  return folder;
}

const FIRST_SKU = 'Balanced_B1';
const CACHES = [
  { name: 'enterprise', policy: 'EnterpriseCluster', cluster: false },
  { name: 'single', policy: 'NoCluster', cluster: false },
  { name: 'oss', policy: 'OSSCluster', cluster: true },
] as const;
/** Beside them: steps about them must mean the same where there is no second engine. */
const OLDER = 'older';
const CONNECTIONS = 6;
/** Low: two cores carry everything, and what counts is every single write. */
const RATE = 150;
/** The newest of them; the service keeps so many at least. */
const EVENTS = 1_000;
/** Steps before the first footprint: what is allocated once is allocated by then. */
const SETTLING_STEPS = 4;

export async function soak(options: SoakOptions): Promise<SoakResult> {
  const began = performance.now();
  const since = (): string => `+${((performance.now() - began) / 1000).toFixed(1).padStart(6)}s`;
  const say = (line: string): void => options.say(`${since()} ${line}`);
  const service = await OurService.make();
  const faults = new Faults();
  const loads = new Map<string, LoadHandle>();
  const problems: string[] = [];
  let steps = 0;
  let before: Footprint | null = null;
  let after: Footprint | null = null;
  const reports = new Map<string, LoadReport>();
  const names: string[] = CACHES.map(({ name }) => name);
  const clustered = CACHES.filter(({ policy }) => policy !== 'NoCluster').map(({ name }) => name);
  try {
    say(`seed ${options.seed}; control ready after ${Math.round(await service.start())} ms`);
    for (const { name, policy, cluster } of CACHES) {
      const { cache, ms } = await service.create(name, { sku: FIRST_SKU, policy });
      say(`${name} (${policy}) served after ${Math.round(ms)} ms`);
      await healed(service, [name]);
      loads.set(
        name,
        await startLoad({ ...loadOf(options.seed), targets: [cache.target], cluster }),
      );
    }
    const older = await olderCache(service, OLDER, FIRST_SKU, say);
    if (older !== null) {
      names.push(OLDER);
      say(`${OLDER} was made on an older engine`);
      loads.set(OLDER, await startLoad({ ...loadOf(options.seed), targets: [older.target] }));
    }
    const random = new Random(options.seed);
    const end = began + options.minutes * 60_000;
    while (performance.now() < end && steps < options.steps && !options.stop.aborted) {
      const step = chooseStep(random);
      steps += 1;
      await options.pause(steps, step.name);
      say(`step ${steps} ${step.name}`);
      const done = await step.run({
        service,
        faults,
        caches: CACHES.map(({ name: cache }) => cache),
        clustered,
        older: older === null ? null : OLDER,
        random,
      });
      await healed(service, names);
      say(`step ${steps} ${done}; all whole`);
      if (steps === SETTLING_STEPS) before = await footprintAtFirst(service, names);
    }
    after = await footprintAtFirst(service, names);
    before ??= after;
    // What is over lives on for some seconds on purpose: the address of a shard that left serves its clients.
    const until = performance.now() + LEAVING_MS;
    while (leaks(before, after).length > 0 && performance.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, LEAVING_MS / 20));
      after = await footprint(service);
    }
    problems.push(...leaks(before, after).map((leak) => `leak: ${leak}`));
    // What the service itself calls an error is the first thing to look at when a write is missing.
    for (const event of await service.api.events({ limit: EVENTS })) {
      if (event.severity === 'error') say(`event ${event.reason} of ${event.at}: ${event.message}`);
    }
    for (const load of loads.values()) load.stop();
    for (const [name, load] of loads) reports.set(name, await load.report);
    problems.push(...[...reports].flatMap(([name, report]) => wrongsOf(name, report)));
    for (const name of names) await service.remove(name);
    const engines = service.engines();
    if (engines.length > 0) problems.push(`${engines.length} engines left after the deletes`);
  } catch (error) {
    problems.push(error instanceof Error ? error.message : String(error));
    problems.push(...service.logs.slice(-5).map((line) => line.trim()));
  } finally {
    for (const load of loads.values()) load.stop();
    await Promise.allSettled([...loads.values()].map((load) => load.report));
    await faults.close();
    if (problems.length > 0) say(`store and logs are kept in ${await keepEvidence(service.home)}`);
    await service.destroy();
  }
  for (const problem of problems) say(`PROBLEM ${problem}`);
  const none = {
    controlRssMb: 0,
    controlFiles: 0,
    endpointRssMb: 0,
    processes: 0,
    engines: 0,
    ports: 0,
    sockets: 0,
  };
  return {
    seed: options.seed,
    steps,
    seconds: Math.round((performance.now() - began) / 1000),
    problems,
    before: before ?? none,
    after: after ?? none,
    loads: Object.fromEntries(
      [...reports].map(([name, report]) => [
        name,
        {
          acknowledged: report.verification?.acknowledged ?? 0,
          lost: report.verification?.lost ?? 0,
          duplicated: report.verification?.duplicated ?? 0,
          reordered: report.verification?.reordered ?? 0,
          unknown: report.verification?.unknown ?? 0,
          errors: report.errors,
          shed: report.shed,
          longestGapMs: Math.round(report.longestGap.ms),
          longestGapAtS:
            Math.round((report.longestGap.at - performance.timeOrigin - began) / 100) / 10,
          longestGapOf: report.longestGap.connection,
        },
      ]),
    ),
  };
}

function loadOf(seed: number) {
  return {
    connections: CONNECTIONS,
    pace: { kind: 'open', rate: RATE, arrivals: 'poisson' },
    profile: PROFILES.witness,
    seed,
  } as const;
}

/** Caches of more shards have more processes: only the same caches can be compared. */
async function footprintAtFirst(service: OurService, names: readonly string[]): Promise<Footprint> {
  for (const name of names) {
    const { operation } = await service.api.patchCluster(name, { sku: { name: FIRST_SKU } });
    await service.wait(operation, SCALE_DEADLINE_MS);
  }
  await healed(service, names);
  await endpointWhole(service);
  return footprint(service);
}

function wrongsOf(name: string, report: LoadReport): string[] {
  const found = report.verification;
  if (found === null) return [`${name}: nothing was verified`];
  const wrongs = [
    ...(['lost', 'duplicated', 'reordered', 'impossible'] as const)
      .filter((kind) => found[kind] > 0)
      .map(
        (kind) =>
          `${name}: ${found[kind]} writes ${kind}, e.g. ${JSON.stringify(found.examples.find((e) => e.kind === kind))}`,
      ),
    ...found.unread.map((what) => `${name}: could not be read back: ${what}`),
  ];
  if (report.longestGap.ms > LONGEST_GAP_MS) {
    const { ms, connection } = report.longestGap;
    wrongs.push(
      `${name}: connection ${connection} got nothing acknowledged for ${Math.round(ms)} ms`,
    );
  }
  if (found.acknowledged === 0) wrongs.push(`${name}: not one write was acknowledged`);
  return wrongs;
}
