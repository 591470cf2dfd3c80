/**
 * Speed of the endpoint: one worker and one shard against a direct connection to the same engine,
 * HAProxy and twemproxy; then how it grows with shards and workers.
 */
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { measureCell, type Side } from '../harness/pairs.ts';
import type { Bench, BenchContext, Measured } from '../harness/result.ts';
import { MIN_PAIRS } from '../limits.ts';
import { type BenchCertificate, makeCertificate } from '../rivals/certificates.ts';
import { type PlainEngine, startEngine } from '../rivals/engine.ts';
import { startHaproxy } from '../rivals/haproxy.ts';
import { workFolder } from '../rivals/launch.ts';
import {
  optional,
  type Program,
  type ProvisionedEngine,
  rivalEngine,
  rivalProgram,
} from '../rivals/programs.ts';
import { startTwemproxy } from '../rivals/twemproxy.ts';
import { ACCESS_KEY } from './key.ts';
import { ENDPOINT_ENGINE_SETTINGS, type OurEndpoint, startOurEndpoint } from './our-endpoint.ts';
import { calibrate, type Shot, shoot } from './valkey-benchmark.ts';

/** An address under comparison. Clients log in with the same key everywhere. */
export interface Contender {
  readonly name: string;
  readonly port: number;
  readonly tlsPort: number;
}

export interface Stage {
  readonly dir: string;
  readonly engine: PlainEngine;
  readonly provisioned: ProvisionedEngine;
  readonly benchmark: Program;
  readonly certificate: BenchCertificate;
  readonly ours: OurEndpoint;
  readonly contenders: readonly Contender[];
}

const QUICK_SECONDS = 0.5;
const FULL_SECONDS = 1;

/** One engine with all that stands in front of it. What a suite does not offer is left out, and said. */
export async function setStage(
  context: BenchContext,
  settings: Readonly<Record<string, string>> = {},
): Promise<Stage> {
  const folder = await workFolder();
  context.defer(folder.remove);
  const { dir } = folder;
  const provisioned = await rivalEngine('valkey-9');
  const benchmark = provisioned.tools.benchmark;
  if (benchmark === null) throw new Error('this build of Valkey came without valkey-benchmark');
  context.engine(`${provisioned.build.name} ${provisioned.build.version}`);
  const certificate = await makeCertificate(dir);
  const engine = await startEngine(provisioned.server, {
    dir,
    certificate,
    settings: { ...ENDPOINT_ENGINE_SETTINGS, ...settings },
  });
  context.defer(engine.stop);
  const ours = await startOurEndpoint({ dir, engines: [engine], certificate, workers: 1 });
  context.defer(ours.stop);
  const contenders: Contender[] = [
    { name: 'ours', port: ours.port, tlsPort: ours.tlsPort },
    { name: 'direct', port: engine.port, tlsPort: engine.tlsPort },
  ];
  const haproxy = await optional('haproxy', () => rivalProgram('haproxy'), context.say);
  if (haproxy !== null) {
    const running = await startHaproxy(haproxy, { dir, engineSocket: engine.socket, certificate });
    context.defer(running.stop);
    contenders.push({ name: 'haproxy', port: running.port, tlsPort: running.tlsPort });
  }
  const twemproxy = await optional('twemproxy', () => rivalProgram('twemproxy'), context.say);
  if (twemproxy !== null) {
    const running = await startTwemproxy(twemproxy, {
      dir,
      engineSocket: engine.socket,
      password: ACCESS_KEY,
    });
    context.defer(running.stop);
    contenders.push({ name: 'twemproxy', port: running.port, tlsPort: 0 });
  }
  return { dir, engine, provisioned, benchmark, certificate, ours, contenders };
}

interface Cell {
  readonly tls: boolean;
  readonly pipeline: 1 | 16;
  readonly verb: 'get' | 'set';
  readonly bytes: 100 | 1024;
}

function cells(quick: boolean): Cell[] {
  const all: Cell[] = [];
  for (const verb of quick ? (['get'] as const) : (['get', 'set'] as const)) {
    for (const bytes of quick ? ([100] as const) : ([100, 1024] as const)) {
      for (const tls of [false, true]) {
        for (const pipeline of [1, 16] as const) all.push({ tls, pipeline, verb, bytes });
      }
    }
  }
  return all;
}

async function measure(
  stage: Stage,
  cell: Cell,
  seconds: number,
  say: (line: string) => void,
): Promise<Measured> {
  // Reads find their keys: a miss is another, shorter reply.
  if (cell.verb === 'get') await fill(stage, stage.engine.port, cell.bytes);
  const sides: Side[] = [];
  for (const contender of stage.contenders) {
    const port = cell.tls ? contender.tlsPort : contender.port;
    if (port === 0) continue;
    const shot: Omit<Shot, 'requests'> = {
      port,
      tls: cell.tls ? { ca: stage.certificate.ca } : null,
      pipeline: cell.pipeline,
      verb: cell.verb,
      bytes: cell.bytes,
    };
    const requests = await calibrate(stage.benchmark, shot, seconds);
    sides.push({
      name: contender.name,
      measure: () => shoot(stage.benchmark, { ...shot, requests }),
    });
  }
  const kind = `${cell.tls ? 'tls' : 'plain'}_p${cell.pipeline}`;
  const metric = `${kind}_${cell.verb}_${cell.bytes}`;
  const { samples, void: reason } = await measureCell(kind, sides, MIN_PAIRS);
  say(
    `${metric}: ${Object.entries(samples)
      .map(([n, v]) => `${n} ${v.map((x) => Math.round(x / 1000)).join('/')}k`)
      .join(', ')}`,
  );
  return {
    metric,
    unit: 'requests/s',
    samples,
    ...(reason === undefined ? {} : { void: reason }),
  };
}

async function fill(stage: Stage, port: number, bytes: number): Promise<void> {
  await shoot(stage.benchmark, {
    port,
    tls: null,
    pipeline: 50,
    verb: 'set',
    bytes,
    requests: 200_000,
  });
}

const GROWTH = [
  { shards: 1, workers: 1 },
  { shards: 3, workers: 1 },
  { shards: 1, workers: 2 },
  { shards: 3, workers: 2 },
] as const;

/** Interleaved like everything else; without rivals, which do not shard. */
async function growth(context: BenchContext, stage: Stage, seconds: number): Promise<Measured[]> {
  const extra: PlainEngine[] = [];
  for (const name of ['shard1', 'shard2']) {
    const dir = path.join(stage.dir, name);
    await mkdir(dir);
    const engine = await startEngine(stage.provisioned.server, {
      dir,
      name,
      settings: ENDPOINT_ENGINE_SETTINGS,
    });
    context.defer(engine.stop);
    extra.push(engine);
  }
  const sides: Side[] = [];
  const refused: Measured[] = [];
  for (const { shards, workers } of GROWTH) {
    const dir = path.join(stage.dir, `g${shards}${workers}`);
    await mkdir(dir);
    const metric = `grow_${shards}s${workers}w`;
    const endpoint = await startOurEndpoint({
      dir,
      engines: [stage.engine, ...extra].slice(0, shards),
      certificate: null,
      workers,
    }).catch((error: Error) => error);
    if (endpoint instanceof Error) {
      // The cells that were measured still count.
      refused.push({ metric, unit: 'requests/s', samples: { ours: [] }, void: endpoint.message });
      continue;
    }
    context.defer(endpoint.stop);
    // Each shard has its keys, and the cells before left others behind, of another size.
    await fill(stage, endpoint.port, 100);
    const shot = {
      port: endpoint.port,
      tls: null,
      pipeline: 16,
      verb: 'get',
      bytes: 100,
    } as const;
    const requests = await calibrate(stage.benchmark, shot, seconds);
    sides.push({
      name: metric,
      measure: () => shoot(stage.benchmark, { ...shot, requests }),
    });
  }
  const { samples } = await measureCell('growth', sides, MIN_PAIRS);
  const base = samples['grow_1s1w'] ?? [];
  const grown = Object.entries(samples).map(([metric, ours]) => ({
    metric,
    unit: 'requests/s',
    samples: metric === 'grow_1s1w' ? { ours } : { ours, one_shard_one_worker: base },
    note: 'plain, pipeline 16, GET 100 B; engines, workers and load share the same cores',
  }));
  return [...grown, ...refused];
}

export const endpoint: Bench = {
  name: 'endpoint',
  about:
    'Throughput through the endpoint, 50 connections of `valkey-benchmark`, random keys of 10,000: one worker and one shard against the same engine directly, HAProxy (TCP mode, ends TLS) and twemproxy (no TLS).',
  async run(context) {
    const stage = await setStage(context);
    const seconds = context.quick ? QUICK_SECONDS : FULL_SECONDS;
    const measured: Measured[] = [];
    context.soFar(() => measured);
    for (const cell of cells(context.quick)) {
      measured.push(await measure(stage, cell, seconds, context.say));
    }
    if (!context.quick) measured.push(...(await growth(context, stage, seconds)));
    return measured;
  },
};
