/** A load thread: connects, waits for the start, keeps the arrival clock, drains, verifies. */
import { performance } from 'node:perf_hooks';
import { parentPort, workerData } from 'node:worker_threads';
import { Random } from '../data/random.ts';
import { POLL_MS, START_DEADLINE_MS, STOP_DEADLINE_MS } from '../limits.ts';
import { Driver } from './driver.ts';
import type { FromThread, ThreadOptions, ToThread } from './protocol.ts';
import type { Verification } from './report.ts';
import { verifyStreams } from './verify.ts';

/** Arrivals handled in one turn when the generator is behind: replies must be read as well. */
const ARRIVALS_A_TURN = 2_000;
/** Timers are good to a millisecond; nearer than this the loop spins. */
const SPIN_BELOW_MS = 2;
const PROGRESS_MS = 250;

const options = workerData as ThreadOptions;
const port = parentPort;
if (port === null) throw new Error('this file is a worker thread');
const driver = new Driver(options);
let startedAt = 0;
let endedAt = 0;
let verification: Verification | null = null;
let ended = false;
let progress: NodeJS.Timeout | undefined;
let idle: ReturnType<typeof performance.eventLoopUtilization> | undefined;

function say(message: FromThread): void {
  port?.postMessage(message);
}

function start(): void {
  startedAt = performance.now();
  idle = performance.eventLoopUtilization();
  driver.begin(startedAt);
  progress = setInterval(() => {
    say({ type: 'progress', ok: driver.ok, failed: driver.failed });
  }, PROGRESS_MS);
  const { pace, durationMs } = options;
  if (pace.kind === 'closed') {
    if (Number.isFinite(durationMs)) setTimeout(() => void finish(), durationMs);
    return;
  }
  const gapMs = 1000 / pace.rate;
  const random = new Random(options.seed, ~options.thread);
  const gap = pace.arrivals === 'poisson' ? () => random.exponential(gapMs) : () => gapMs;
  let nextAt = startedAt + gap();
  const endAt = startedAt + durationMs;
  const lagFrom = startedAt + options.warmUpMs;
  const tick = (): void => {
    if (ended) return;
    const now = performance.now();
    let due = 0;
    while (nextAt <= now && nextAt < endAt && due < ARRIVALS_A_TURN) {
      // The warm-up compiles the very code that would be late.
      if (nextAt >= lagFrom) driver.lag.record((now - nextAt) * 1e6);
      driver.arrive(nextAt);
      nextAt += gap();
      due += 1;
    }
    if (due > 0) driver.flushAll();
    if (nextAt >= endAt && now >= endAt) {
      void finish();
      return;
    }
    const wait = Math.min(nextAt, endAt) - performance.now();
    if (wait > SPIN_BELOW_MS) setTimeout(tick, wait - SPIN_BELOW_MS + 1);
    else if (pace.sleepy === true) setTimeout(tick, 1);
    else setImmediate(tick);
  };
  tick();
}

/** No new arrivals; what is on the way gets its chance; then the connections end. */
async function finish(): Promise<void> {
  if (ended) return;
  ended = true;
  endedAt = performance.now();
  driver.stop();
  const deadline = endedAt + STOP_DEADLINE_MS;
  while (driver.outstanding > 0 && performance.now() < deadline) {
    driver.flushAll();
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  clearInterval(progress);
  say({ type: 'loaded' });
}

function done(): void {
  const busy = performance.eventLoopUtilization(idle).utilization;
  const gaps = driver.gaps(endedAt);
  driver.book.end(endedAt);
  driver.end();
  say({
    type: 'done',
    part: {
      arrivals: driver.arrivals,
      ok: driver.ok,
      errors: driver.errors,
      unknown: driver.unknown,
      shed: driver.shed,
      redirects: driver.redirects,
      connectionsLost: driver.connectionsLost,
      startedAt: performance.timeOrigin + startedAt,
      seconds: (endedAt - startedAt) / 1000,
      latency: driver.latency.data(),
      lag: driver.lag.data(),
      busy,
      timeline: driver.book.timeline,
      pauses: driver.book.pauses,
      waits: driver.book.waits,
      failures: driver.book.failures,
      gaps,
      verification,
    },
  });
}

port.on('message', (message: ToThread) => {
  switch (message.type) {
    case 'start':
      start();
      return;
    case 'stop':
      void finish();
      return;
    case 'verify':
      driver.end();
      verifyStreams(driver.streams, message.target, driver.nameConnection).then(
        (result) => {
          verification = result;
          done();
        },
        (error: unknown) => say({ type: 'failed', message: String(error) }),
      );
      return;
    case 'finish':
      done();
      return;
  }
});

try {
  await driver.connect();
  const wanted = driver.routes.lanes.length;
  const deadline = performance.now() + START_DEADLINE_MS;
  while (driver.connected < wanted && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  say({ type: 'ready', connected: driver.connected });
} catch (error) {
  say({
    type: 'failed',
    message: error instanceof Error ? (error.stack ?? error.message) : String(error),
  });
}
