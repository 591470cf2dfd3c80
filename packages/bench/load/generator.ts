/**
 * The load generator as a library: `startLoad(options)` answers a handle, `runLoad(options)` the
 * report. One worker thread is good for 50,000 requests a second and more on one core.
 */
import { Worker } from 'node:worker_threads';
import { GENERATOR_BUSY, GENERATOR_LAG_MS, START_DEADLINE_MS } from '../limits.ts';
import type { Target } from './asker.ts';
import { NanoHistogram } from './histogram.ts';
import type { Profile } from './profile.ts';
import type { FromThread, Pace, ThreadOptions, ToThread } from './protocol.ts';
import { combine, type LoadPart, type LoadReport } from './report.ts';

export interface LoadOptions {
  readonly targets: readonly Target[];
  /** Requests a second in all (open loop), or requests kept on the way by each connection. */
  readonly pace: Pace;
  readonly profile: Profile;
  readonly connections: number;
  /** Absent: until `stop()`. */
  readonly durationMs?: number;
  readonly warmUpMs?: number;
  readonly threads?: number;
  readonly protocol?: 2 | 3;
  readonly cluster?: boolean;
  readonly sentinels?: { readonly ports: readonly number[]; readonly name: string };
  readonly seed?: number;
  /** Read every witness back afterwards; default: when the profile has any. */
  readonly verify?: boolean;
  /** Where they are read back; default: the first target. */
  readonly verifyAt?: Target;
  readonly unknownError?: string;
}

export interface LoadHandle {
  /** Successes and failures so far. */
  progress(): { readonly ok: number; readonly failed: number };
  /** No more arrivals. The report follows. */
  stop(): void;
  /** Ends its threads; there is no report. */
  abandon(): Promise<void>;
  readonly report: Promise<LoadReport>;
}

/** Error texts by which a server says that a write may have happened. */
const UNKNOWN_ERROR = 'unknown outcome|may or may not|outcome of this';

export async function startLoad(options: LoadOptions): Promise<LoadHandle> {
  const threads = options.threads ?? 1;
  const run = Math.random().toString(36).slice(2, 8);
  const members = Array.from({ length: threads }, (_, thread) => {
    return new Member(threadOptions(options, thread, threads, run));
  });
  try {
    await Promise.all(members.map((m) => m.ready));
  } catch (error) {
    await Promise.all(members.map((m) => m.end()));
    throw error;
  }
  for (const member of members) member.send({ type: 'start' });
  const verify =
    options.verify ?? options.profile.operations.some((operation) => operation.kind !== 'plain');
  const report = collect(members, options, verify);
  // It may fail before anybody awaits it; who does sees that.
  report.catch(() => undefined);
  return {
    progress: () => ({
      ok: members.reduce((sum, m) => sum + m.ok, 0),
      failed: members.reduce((sum, m) => sum + m.failed, 0),
    }),
    stop: () => {
      for (const member of members) member.send({ type: 'stop' });
    },
    abandon: async () => {
      await Promise.all(members.map((m) => m.end()));
    },
    report,
  };
}

export async function runLoad(options: LoadOptions): Promise<LoadReport> {
  return (await startLoad(options)).report;
}

async function collect(
  members: readonly Member[],
  options: LoadOptions,
  verify: boolean,
): Promise<LoadReport> {
  try {
    await Promise.all(members.map((m) => m.loaded));
    const target = options.verifyAt ?? options.targets[0];
    if (target === undefined) throw new Error('a load needs at least one target');
    for (const member of members) {
      member.send(verify ? { type: 'verify', target } : { type: 'finish' });
    }
    const parts = await Promise.all(members.map((m) => m.done));
    return combine(parts, limitOf(parts, options));
  } finally {
    await Promise.all(members.map((m) => m.end()));
  }
}

/** Whether the figures are the generator's. Its lag is its own: waiting connections do not count. */
function limitOf(parts: readonly LoadPart[], options: LoadOptions): string | null {
  for (const [thread, part] of parts.entries()) {
    if (options.pace.kind === 'open') {
      const lag = new NanoHistogram();
      lag.add(part.lag);
      const p99 = lag.quantile(0.99) / 1e6;
      if (p99 > GENERATOR_LAG_MS) {
        return `thread ${thread} sent ${p99.toFixed(1)} ms late (p99): fewer requests a second, or more threads`;
      }
    } else if (part.busy > GENERATOR_BUSY) {
      return `thread ${thread} was busy ${(part.busy * 100).toFixed(1)} % of the time: more threads would send more`;
    }
  }
  return null;
}

function threadOptions(
  options: LoadOptions,
  thread: number,
  threads: number,
  run: string,
): ThreadOptions {
  const share = (n: number): number => Math.floor(n / threads) + (thread < n % threads ? 1 : 0);
  return {
    thread,
    run,
    targets: options.targets,
    cluster: options.cluster ?? false,
    sentinels: options.sentinels ?? null,
    protocol: options.protocol ?? 2,
    connections: Math.max(1, share(options.connections)),
    pace:
      options.pace.kind === 'open'
        ? { ...options.pace, rate: options.pace.rate / threads }
        : options.pace,
    profile: options.profile,
    durationMs: options.durationMs ?? Number.POSITIVE_INFINITY,
    warmUpMs: options.warmUpMs ?? 0,
    seed: options.seed ?? 1,
    unknownError: options.unknownError ?? UNKNOWN_ERROR,
  };
}

/** One thread and its promises. */
class Member {
  ok = 0;
  failed = 0;
  readonly ready: Promise<void>;
  readonly loaded: Promise<void>;
  readonly done: Promise<LoadPart>;
  private readonly worker: Worker;

  constructor(options: ThreadOptions) {
    this.worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData: options });
    const ready = Promise.withResolvers<void>();
    const loaded = Promise.withResolvers<void>();
    const done = Promise.withResolvers<LoadPart>();
    this.ready = ready.promise;
    this.loaded = loaded.promise;
    this.done = done.promise;
    const fail = (error: Error): void => {
      for (const promise of [ready, loaded, done]) promise.reject(error);
    };
    // Whoever awaits one of them sees the failure; the others must not count as unhandled.
    for (const promise of [ready, loaded, done]) promise.promise.catch(() => undefined);
    const timer = setTimeout(
      () => fail(new Error('a load thread did not start')),
      START_DEADLINE_MS * 2,
    );
    this.worker.on('error', fail);
    this.worker.on('exit', () => fail(new Error('a load thread ended early')));
    this.worker.on('message', (message: FromThread) => {
      switch (message.type) {
        case 'ready':
          clearTimeout(timer);
          if (message.connected === 0) fail(new Error('no connection to the target could be made'));
          else ready.resolve();
          return;
        case 'progress':
          this.ok = message.ok;
          this.failed = message.failed;
          return;
        case 'loaded':
          loaded.resolve();
          return;
        case 'done':
          done.resolve(message.part);
          return;
        case 'failed':
          clearTimeout(timer);
          fail(new Error(message.message));
          return;
      }
    });
  }

  send(message: ToThread): void {
    this.worker.postMessage(message);
  }

  async end(): Promise<void> {
    await this.worker.terminate();
  }
}
