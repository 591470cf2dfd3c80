/**
 * Whether large replies delay small ones: four readers of 10 MB values without pause, and one
 * reader of a small value. Slowing the large ones down is not isolation, so their bytes a second
 * are measured, too.
 *
 * - ours: five clients, each with its connection to the endpoint, which multiplexes.
 * - twemproxy: the same; it has one connection to the engine.
 * - direct: one connection to the engine that all five share, as in one application process.
 * - bulk `direct`: the same five clients, each with its own connection to the engine.
 */
import { randomBytes } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import { interleave } from '../harness/pairs.ts';
import type { Bench, Measured } from '../harness/result.ts';
import { MIN_PAIRS } from '../limits.ts';
import { Asker, type Target } from '../load/asker.ts';
import { setStage } from './endpoint.ts';
import type { PartOptions, PartResult } from './isolation-load.ts';
import { ACCESS_KEY } from './key.ts';

const BULK_BYTES = 10 * 1024 * 1024;
const BULK_READERS = 4;
const BULK_KEYS = Array.from({ length: BULK_READERS }, (_, i) => `bulk:${i}`);
const SMALL_KEY = 'small';
const QUICK_MS = 700;
const FULL_MS = 2_000;
/** The first large reply of a key teaches the endpoint; what counts is from the second on. */
const WARM_UP_MS = 500;

function part(options: PartOptions): Promise<PartResult> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./isolation-load.ts', import.meta.url), {
      workerData: options,
    });
    worker.once('message', resolve);
    worker.once('error', (error) => {
      reject(new Error(`port ${options.target.port}: ${String(error)}`));
    });
  });
}

/** Bulk readers and the small reader in threads of their own, or on one connection in one thread. */
async function run(
  target: Target,
  options: { readonly bulk: boolean; readonly shared: boolean; readonly durationMs: number },
): Promise<{ p99: number; mbPerSecond: number }> {
  const base = {
    target,
    bulkKeys: BULK_KEYS,
    durationMs: options.durationMs,
    warmUpMs: WARM_UP_MS,
    shared: options.shared,
  };
  const bulkReaders = options.bulk ? BULK_READERS : 0;
  const parts = options.shared
    ? [part({ ...base, bulkReaders, smallKey: SMALL_KEY })]
    : [
        part({ ...base, bulkReaders: 0, smallKey: SMALL_KEY }),
        ...(options.bulk ? [part({ ...base, bulkReaders, smallKey: null })] : []),
      ];
  const results = await Promise.all(parts);
  const small = results.find((r) => r.smallP99Ms !== null);
  if (small === undefined || small.smallP99Ms === null) {
    throw new Error('not one small read was answered');
  }
  const bytes = results.reduce((sum, r) => sum + r.bulkBytesPerSecond, 0);
  return { p99: small.smallP99Ms, mbPerSecond: bytes / 1e6 };
}

export const isolation: Bench = {
  name: 'isolation',
  about:
    'The p99 of small GETs beside four clients that read 10 MB values without pause, and how many bytes a second those get.',
  async run(context): Promise<Measured[]> {
    const stage = await setStage(context, { 'client-output-buffer-limit': 'normal 0 0 0' });
    const login = { username: 'default', password: ACCESS_KEY };
    const loader = await Asker.open({ path: stage.engine.socket, ...login });
    for (const key of BULK_KEYS) await loader.ask('SET', key, randomBytes(BULK_BYTES));
    await loader.ask('SET', SMALL_KEY, 'x'.repeat(100));
    loader.close();
    const targets = new Map<string, Target>();
    for (const { name, port } of stage.contenders) {
      targets.set(name, { host: '127.0.0.1', port, password: ACCESS_KEY });
    }
    const target = (name: string): Target => {
      const found = targets.get(name);
      if (found === undefined) throw new Error(`${name} is not there`);
      return found;
    };
    const durationMs = context.quick ? QUICK_MS : FULL_MS;
    const bulk: Record<string, number[]> = { ours: [], direct: [] };
    const sides = [
      {
        name: 'alone',
        measure: async () =>
          (await run(target('ours'), { bulk: false, shared: false, durationMs })).p99,
      },
      {
        name: 'ours',
        measure: async () => {
          const result = await run(target('ours'), { bulk: true, shared: false, durationMs });
          bulk['ours']?.push(result.mbPerSecond);
          return result.p99;
        },
      },
      {
        name: 'direct',
        measure: async () =>
          (await run(target('direct'), { bulk: true, shared: true, durationMs })).p99,
      },
      {
        name: 'direct_own_connections',
        measure: async () => {
          const result = await run(target('direct'), { bulk: true, shared: false, durationMs });
          bulk['direct']?.push(result.mbPerSecond);
          return result.p99;
        },
      },
      ...(targets.has('twemproxy')
        ? [
            {
              name: 'twemproxy',
              measure: async () =>
                (await run(target('twemproxy'), { bulk: true, shared: false, durationMs })).p99,
            },
          ]
        : []),
    ];
    const samples = await interleave(sides, MIN_PAIRS);
    context.say(JSON.stringify({ samples, bulk }));
    return [
      { metric: 'small_get_p99_ms', unit: 'ms', samples },
      {
        metric: 'small_get_p99_alone_ms',
        unit: 'ms',
        samples: { ours: samples['alone'] ?? [] },
        note: 'through the endpoint, nobody else there',
      },
      { metric: 'bulk_mb_s', unit: 'MB/s', samples: bulk },
    ];
  },
};
