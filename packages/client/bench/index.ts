/**
 * What `npm run -s bench -- client` measures.
 *
 * (a) Small GETs in the same process as two readers of 10 MB values. Every rival as its README shows
 * it, with one client and with two (one for the readers). `lanes` with the values as they are, and
 * `chunked`, are two metrics and never one. (b) 1, 50 and 1,000 callers of small GETs and SETs: each
 * client unwrapped with its defaults, unwrapped with its best settings, and in lanes(). All sides of
 * a metric take turns in one run, in slices short enough that a disturbance hits all of them.
 */
import { Redis } from 'ioredis';
import iovalkey from 'iovalkey';
import { createClient } from 'redis';
import { chunked, lanes } from '../index.ts';
import { startServer } from '../testing/server.ts';
import { faults } from './faults.ts';
import { glideSide } from './glide.ts';

export interface Measured {
  readonly metric: string;
  readonly unit: string;
  readonly samples: Readonly<Record<string, readonly number[]>>;
  readonly void?: string;
  readonly note?: string;
}

export interface BenchContext {
  readonly quick: boolean;
  say(line: string): void;
  defer(undo: () => Promise<void> | void): void;
}

/** A way to do (a): small GETs and large values. */
export interface Beside {
  small(): Promise<unknown>;
  large(reader: number): Promise<{ readonly length: number } | null>;
  close(): Promise<void> | void;
}

/** A way to do (b). */
interface Caller {
  get(key: string): Promise<unknown>;
  set(key: string, value: string): Promise<unknown>;
  close(): Promise<unknown> | unknown;
}

const LARGE_BYTES = 10 * 1024 * 1024;
const READERS = 2;
const MB = 1024 * 1024;
const SMALL = 'x'.repeat(100);
const SMALL_PAUSE_MS = 1;

export async function runClientBench(context: BenchContext): Promise<Measured[]> {
  const server = await startServer();
  context.defer(() => server.stop());
  const results: Measured[] = [];
  results.push(...(await beside(server.port, context)));
  for (const callers of context.quick ? [50] : [1, 50, 1_000]) {
    results.push(...(await throughput(server.port, callers, context)));
  }
  if (!context.quick) results.push(...(await faults(context)));
  return results;
}

async function besideSides(
  port: number,
  quick: boolean,
  context: BenchContext,
): Promise<Map<string, Beside>> {
  const sides = new Map<string, Beside>();
  const io = (make: () => Redis, two: boolean): Beside => {
    const one = make();
    const other = two ? make() : one;
    return {
      small: () => one.get('small'),
      large: (i) => other.getBuffer(`large:${i}`),
      close: () => {
        one.disconnect();
        other.disconnect();
      },
    };
  };
  const node = async (two: boolean): Promise<Beside> => {
    const one = await nodeRedis(port);
    const other = two ? await nodeRedis(port) : one;
    const bytes = other.withTypeMapping({ 36: Buffer });
    return {
      small: () => one.get('small'),
      large: (i) => bytes.get(`large:${i}`) as Promise<Buffer | null>,
      close: () => {
        one.destroy();
        if (two) other.destroy();
      },
    };
  };
  const plain = (): Redis => new Redis({ port });
  const auto = (): Redis => new Redis({ port, enableAutoPipelining: true });
  const valkey = (): Redis => new iovalkey.default({ port }) as unknown as Redis;
  for (const two of [false, true]) {
    const suffix = two ? '_two_clients' : '';
    sides.set(`ioredis${suffix}`, io(plain, two));
    sides.set(`redis${suffix}`, await node(two));
    if (quick) continue;
    sides.set(`ioredis_auto${suffix}`, io(auto, two));
    sides.set(`iovalkey${suffix}`, io(valkey, two));
    const glide = await glideSide(port, two, context);
    if (glide !== undefined) sides.set(`glide${suffix}`, glide);
  }
  const laned = lanes(plain);
  sides.set('lanes', {
    small: () => laned.get('small'),
    large: (i) => laned.getBuffer(`large:${i}`),
    close: () => laned.disconnect(),
  });
  // As the README shows it to who reads large values all the time; and with new memory for each value.
  for (const own of [true, false]) {
    const split = lanes(plain);
    const values = chunked(split);
    const memory = Array.from({ length: READERS }, () =>
      own ? { into: Buffer.alloc(LARGE_BYTES) } : {},
    );
    sides.set(own ? 'chunked' : 'chunked_new_memory', {
      small: () => split.get('small'),
      large: (i) => values.get(`chunked:${i}`, memory[i]),
      close: () => split.disconnect(),
    });
  }
  return sides;
}

async function beside(port: number, context: BenchContext): Promise<Measured[]> {
  const seed = new Redis({ port });
  for (let i = 0; i < READERS; i += 1) {
    await seed.set(`large:${i}`, Buffer.alloc(LARGE_BYTES, 'v'));
    await chunked(seed).set(`chunked:${i}`, Buffer.alloc(LARGE_BYTES, 'v'));
  }
  await seed.set('small', SMALL);
  seed.disconnect();
  const sides = await besideSides(port, context.quick, context);
  const p99: Record<string, number[]> = {};
  const bulk: Record<string, number[]> = {};
  const rounds = context.quick ? 3 : 5;
  const sliceMs = context.quick ? 650 : 1_500;
  for (let round = 0; round <= rounds; round += 1) {
    for (const [name, side] of rotate([...sides], round)) {
      const { p99Ms, mbPerSecond } = await besideSlice(side, sliceMs);
      // The first round warms up code and connections, and teaches lanes() what is large.
      if (round === 0) continue;
      p99[name] = [...(p99[name] ?? []), p99Ms];
      bulk[name] = [...(bulk[name] ?? []), mbPerSecond];
    }
    context.say(`client: small beside large, round ${round} of ${rounds}`);
  }
  for (const side of sides.values()) await side.close();
  const rivals = [...sides.keys()].filter(
    (name) => name !== 'lanes' && !name.startsWith('chunked'),
  );
  const two = rivals.filter((name) => name.endsWith('_two_clients'));
  const pick = (
    from: Record<string, number[]>,
    ours: string,
    names: readonly string[],
  ): Record<string, number[]> => ({
    ours: from[ours] ?? [],
    ...Object.fromEntries(names.map((name) => [name, from[name] ?? []])),
  });
  return [
    {
      metric: 'small_get_p99_ms_lanes',
      unit: 'ms',
      samples: { ...pick(p99, 'lanes', rivals), best_rival_two_clients: lowest(p99, two) },
    },
    {
      metric: 'small_get_p99_ms_chunked',
      unit: 'ms',
      samples: { ...pick(p99, 'chunked', rivals), best_rival: lowest(p99, rivals) },
    },
    {
      metric: 'bulk_mb_s',
      unit: 'MB/s',
      samples: { ...pick(bulk, 'chunked', rivals), best_rival: bulk[highest(bulk, rivals)] ?? [] },
      note: 'ours: chunked, read into memory of the reader',
    },
    { metric: 'bulk_mb_s_lanes', unit: 'MB/s', samples: pick(bulk, 'lanes', rivals) },
    {
      metric: 'small_get_p99_ms_chunked_new_memory',
      unit: 'ms',
      samples: pick(p99, 'chunked_new_memory', rivals),
      note: 'chunked, with new memory for each value',
    },
    {
      metric: 'bulk_mb_s_chunked_new_memory',
      unit: 'MB/s',
      samples: pick(bulk, 'chunked_new_memory', rivals),
    },
  ];
}

/** The samples of the rival whose median is lowest. */
function lowest(all: Record<string, number[]>, names: readonly string[]): number[] {
  const sorted = [...names].sort((a, b) => median(all[a] ?? []) - median(all[b] ?? []));
  return all[sorted[0] ?? ''] ?? [];
}

async function besideSlice(
  side: Beside,
  ms: number,
): Promise<{ p99Ms: number; mbPerSecond: number }> {
  let bytes = 0;
  let stop = false;
  const times: number[] = [];
  await side.small();
  const started = performance.now();
  const readers = Array.from({ length: READERS }, async (_, i) => {
    while (!stop) bytes += (await side.large(i))?.length ?? 0;
  });
  while (performance.now() - started < ms) {
    const asked = performance.now();
    await side.small();
    times.push(performance.now() - asked);
    await new Promise((resolve) => setTimeout(resolve, SMALL_PAUSE_MS));
  }
  stop = true;
  await Promise.all(readers);
  // Whole values only, and the time until the last one was there: no reader's half is lost.
  const seconds = (performance.now() - started) / 1_000;
  times.sort((a, b) => a - b);
  return {
    p99Ms: times[Math.min(times.length - 1, Math.floor(times.length * 0.99))] ?? 0,
    mbPerSecond: bytes / MB / seconds,
  };
}

async function throughput(
  port: number,
  callers: number,
  context: BenchContext,
): Promise<Measured[]> {
  const options = { port };
  const redis = (make: () => Redis): Caller => {
    const client = make();
    return {
      get: (k) => client.get(k),
      set: (k, v) => client.set(k, v),
      close: () => client.disconnect(),
    };
  };
  const node = async (unlimited: boolean): Promise<Caller> => {
    const client = await nodeRedis(port, unlimited);
    return {
      get: (k) => client.get(k),
      set: (k, v) => client.set(k, v),
      close: () => client.destroy(),
    };
  };
  const lanedNode = lanes(() => createClient({ socket: { port } }));
  lanedNode.on('error', () => {});
  await lanedNode.connect();
  const families: Record<string, Record<string, Caller>> = {
    ioredis: {
      ours: redis(() => lanes(() => new Redis(options))),
      ioredis: redis(() => new Redis(options)),
      ioredis_auto: redis(() => new Redis({ ...options, enableAutoPipelining: true })),
    },
    redis: {
      ours: {
        get: (k) => lanedNode.get(k),
        set: (k, v) => lanedNode.set(k, v),
        close: () => lanedNode.destroy(),
      },
      redis: await node(false),
      redis_no_timeout: await node(true),
    },
  };
  // Two sides of the same client and settings differ by up to a fifth in one slice: who of client and server
  // wakes whom on which core goes on for seconds. Many short slices, not few long ones.
  const rounds = context.quick ? 5 : 15;
  const sliceMs = 300;
  const results: Measured[] = [];
  for (const operation of ['get', 'set'] as const) {
    for (const [family, sides] of Object.entries(families)) {
      const samples: Record<string, number[]> = {};
      for (let round = 0; round <= rounds; round += 1) {
        for (const [name, side] of rotate(Object.entries(sides), round)) {
          const rate = await rateSlice(side, operation, callers, sliceMs);
          if (round > 0) samples[name] = [...(samples[name] ?? []), rate];
        }
      }
      const best = highest(
        samples,
        Object.keys(samples).filter((name) => name !== 'ours'),
      );
      const suffix = family === 'ioredis' ? '' : `_${family}`;
      results.push({
        metric: `${operation}_c${callers}${suffix}`,
        unit: 'requests/s',
        samples: {
          ...samples,
          best_settings: samples[best] ?? [],
          defaults: samples[family] ?? [],
        },
        note: `best settings of ${family}: ${best}`,
      });
      context.say(`client: ${operation}, ${callers} callers, ${family}`);
    }
  }
  for (const sides of Object.values(families))
    for (const side of Object.values(sides)) await side.close();
  return results;
}

/** The side whose median is highest. */
function highest(samples: Record<string, number[]>, names: readonly string[]): string {
  return [...names].sort((a, b) => median(samples[b] ?? []) - median(samples[a] ?? []))[0] ?? '';
}

async function rateSlice(
  side: Caller,
  operation: 'get' | 'set',
  callers: number,
  ms: number,
): Promise<number> {
  let count = 0;
  const started = performance.now();
  const end = started + ms;
  const one = operation === 'get' ? () => side.get('small') : () => side.set('small', SMALL);
  await Promise.all(
    Array.from({ length: callers }, async () => {
      while (performance.now() < end) {
        await one();
        count += 1;
      }
    }),
  );
  return (count * 1_000) / (performance.now() - started);
}

async function nodeRedis(port: number, unlimited = false) {
  // `timeout: 0`: without the library's own timer a command, which costs more than the command.
  const client = createClient({
    socket: { port },
    ...(unlimited ? { commandOptions: { timeout: 0 } } : {}),
  });
  client.on('error', () => {});
  await client.connect();
  return client;
}

/** Another one begins each round. */
function rotate<T>(items: readonly T[], by: number): T[] {
  const at = items.length === 0 ? 0 : by % items.length;
  return [...items.slice(at), ...items.slice(0, at)];
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}
