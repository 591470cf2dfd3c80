/**
 * A thread that plays an application: readers of large values and one reader of small ones, on
 * connections of their own or all on one. Small reads are paced, not in a tight loop: what counts
 * is how long each one takes beside the large ones.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { encode, type Target } from '../load/asker.ts';
import { NanoHistogram } from '../load/histogram.ts';
import { SharedConnection } from './shared-connection.ts';

export interface PartOptions {
  readonly target: Target;
  readonly bulkReaders: number;
  readonly bulkKeys: readonly string[];
  readonly smallKey: string | null;
  /** All readers of this thread on one connection. */
  readonly shared: boolean;
  readonly durationMs: number;
  readonly warmUpMs: number;
}

export interface PartResult {
  readonly smallP99Ms: number | null;
  readonly smallCount: number;
  readonly bulkBytesPerSecond: number;
}

/** A small read is asked for this often, or as soon as the last one was answered. */
const SMALL_GAP_MS = 1;

async function play(options: PartOptions): Promise<PartResult> {
  const open: SharedConnection[] = [];
  const connection = async (): Promise<SharedConnection> => {
    const first = open[0];
    if (options.shared && first !== undefined) return first;
    const made = await SharedConnection.open(options.target);
    open.push(made);
    return made;
  };
  const start = performance.now();
  const measureFrom = start + options.warmUpMs;
  const end = measureFrom + options.durationMs;
  let bytes = 0;
  const bulk = async (reader: number): Promise<void> => {
    const own = await connection();
    const key = options.bulkKeys[reader % options.bulkKeys.length] ?? '';
    const request = encode(['GET', key]);
    while (performance.now() < end) {
      const size = await own.ask(request);
      const now = performance.now();
      if (now >= measureFrom && now <= end) bytes += size;
    }
  };
  const latency = new NanoHistogram();
  const small = async (key: string): Promise<void> => {
    const own = await connection();
    const request = encode(['GET', key]);
    let next = performance.now();
    while (next < end) {
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, next - performance.now())));
      const sent = performance.now();
      await own.ask(request);
      if (sent >= measureFrom) latency.record((performance.now() - sent) * 1e6);
      next = Math.max(next + SMALL_GAP_MS, performance.now());
    }
  };
  // The first opens the connection that the others share.
  if (options.shared) await connection();
  await Promise.all([
    ...Array.from({ length: options.bulkReaders }, (_, i) => bulk(i)),
    ...(options.smallKey === null ? [] : [small(options.smallKey)]),
  ]);
  for (const each of open) each.close();
  return {
    smallP99Ms: latency.count === 0 ? null : latency.quantile(0.99) / 1e6,
    smallCount: latency.count,
    bulkBytesPerSecond: (bytes * 1000) / options.durationMs,
  };
}

parentPort?.postMessage(await play(workerData as PartOptions));
