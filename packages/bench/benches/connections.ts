/**
 * What a connection costs: 10,000 idle ones, half of them over TLS, logged in and having asked once;
 * resident memory of the endpoint's worker for each, engine connections behind them, and how many
 * new TLS connections a second it takes, beside HAProxy.
 */
import { readFile } from 'node:fs/promises';
import { interleave } from '../harness/pairs.ts';
import type { Bench, BenchContext, Measured } from '../harness/result.ts';
import { MIN_PAIRS } from '../limits.ts';
import { Asker, type Target } from '../load/asker.ts';
import { inspectProcess, requireRef } from '../processes.ts';
import { setStage } from './endpoint.ts';
import { Holder, raiseFileLimit } from './holder.ts';
import { ACCESS_KEY } from './key.ts';
import type { OurEndpoint } from './our-endpoint.ts';

const EACH_KIND = 5_000;
const CONNECT_SECONDS_QUICK = 0.6;
const CONNECT_SECONDS_FULL = 2;
const CONNECT_CONCURRENCY = 16;
/** Descriptors that are not connections of the benchmark. */
const SPARE_FILES = 500;
const KB = 1024;
const LOOK_MS = 50;
const GONE_DEADLINE_MS = 30_000;

/** As many as the hard limit of open files allows; the soft one is raised. */
async function affordable(say: (line: string) => void): Promise<number> {
  const { soft, hard } = await raiseFileLimit();
  const each = Math.min(EACH_KIND, Math.floor((soft - SPARE_FILES) / 2));
  if (each < EACH_KIND) say(`the hard limit of ${hard} open files allows ${2 * each} connections`);
  return each;
}

function residentBytes(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + inspectProcess(requireRef(pid)).rssBytes, 0);
}

async function engineConnections(engine: Target): Promise<number> {
  const asker = await Asker.open(engine);
  try {
    const info = String(await asker.ask('INFO', 'clients'));
    // One of them is this one.
    return Number(/^connected_clients:(\d+)/m.exec(info)?.[1]) - 1;
  } finally {
    asker.close();
  }
}

export const connections: Bench = {
  name: 'connections',
  about:
    'Resident memory of the endpoint for each idle, logged-in connection (10,000, half over TLS), engine connections behind them, and new TLS connections a second.',
  async run(context): Promise<Measured[]> {
    const each = await affordable(context.say);
    const stage = await setStage(context, { maxclients: '20000' });
    const ours = stage.ours;
    const engine: Target = { path: stage.engine.socket, password: ACCESS_KEY };
    const holder = new Holder(context);
    // What every worker allocates once, for the first clients, is not the price of the others.
    await holder.ask({ open: 50, target: ours.target(true) });
    await holder.ask({ open: 50, target: ours.target(false) });
    const before = residentBytes(ours.workers());
    await holder.ask({ open: each, target: ours.target(false) });
    const withPlain = residentBytes(ours.workers());
    context.say(`${each} plain connections: ${Math.round((withPlain - before) / each)} bytes each`);
    await holder.ask({ open: each, target: ours.target(true) });
    const withTls = residentBytes(ours.workers());
    context.say(`${each} TLS connections: ${Math.round((withTls - withPlain) / each)} bytes each`);
    const alive = await holder.ask({ check: true });
    const behind = await engineConnections(engine);
    await holder.end();
    await allGone(ours, context.say);
    const rates = await connectRates(context, stage);
    const cap = (await readFile('/proc/self/limits', 'latin1')).match(
      /Max open files\s+(\d+)/,
    )?.[1];
    const few = alive.open < EACH_KIND;
    return [
      {
        metric: 'idle_connections',
        unit: 'connections',
        samples: { ours: [alive.open] },
        ...(few ? { note: `open files are limited to ${cap ?? 'unknown'}` } : {}),
      },
      {
        metric: 'plain_kb_per_connection',
        unit: 'KB',
        samples: { ours: [(withPlain - before) / each / KB] },
        ...(few ? { void: 'fewer than 5,000 connections could be opened' } : {}),
      },
      {
        metric: 'tls_kb_per_connection',
        unit: 'KB',
        samples: { ours: [(withTls - withPlain) / each / KB] },
        ...(few ? { void: 'fewer than 5,000 connections could be opened' } : {}),
      },
      { metric: 'engine_connections', unit: 'connections', samples: { ours: [behind] } },
      { metric: 'tls_connects_per_s', unit: 'connections/s', samples: rates },
    ];
  },
};

/**
 * Who closes ten thousand connections at once keeps the endpoint busy for seconds, which is no part of
 * what a new one costs: without this the first sample was a quarter of the others.
 */
async function allGone(ours: OurEndpoint, say: (line: string) => void): Promise<void> {
  const start = performance.now();
  for (;;) {
    const left = await ours.connections();
    const ms = performance.now() - start;
    if (left === 0) return say(`the held connections were gone after ${Math.round(ms)} ms`);
    if (ms > GONE_DEADLINE_MS) throw new Error(`${left} closed connections are still held`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

/** Full handshakes, no resumption: the first connection of each new client. */
async function connectRates(
  context: BenchContext,
  stage: Awaited<ReturnType<typeof setStage>>,
): Promise<Record<string, number[]>> {
  const seconds = context.quick ? CONNECT_SECONDS_QUICK : CONNECT_SECONDS_FULL;
  const holder = new Holder(context);
  const sides = stage.contenders
    .filter(({ tlsPort }) => tlsPort > 0)
    .map(({ name, tlsPort }) => ({
      name,
      measure: async (): Promise<number> => {
        const target: Target = {
          host: '127.0.0.1',
          port: tlsPort,
          password: ACCESS_KEY,
          tls: { ca: stage.certificate.ca },
        };
        const { rate } = await holder.ask({
          connectFor: seconds,
          concurrency: CONNECT_CONCURRENCY,
          target,
        });
        return rate;
      },
    }));
  const samples = await interleave(sides, MIN_PAIRS);
  context.say(JSON.stringify(samples));
  return samples;
}
