import assert from 'node:assert/strict';
import { test } from 'node:test';
import { median } from '../harness/stats.ts';
import { startEngine } from '../rivals/engine.ts';
import { workFolder } from '../rivals/launch.ts';
import { rivalEngine } from '../rivals/programs.ts';
import { compareTools } from './generator.ts';
import { ACCESS_KEY } from './key.ts';
import { parseFigures } from './valkey-benchmark.ts';

const TRIES = 10;

function ratio(samples: Readonly<Record<string, readonly number[]>>): number {
  const theirs = samples['valkey_benchmark'] ?? [];
  return median((samples['ours'] ?? []).map((ours, i) => ours / (theirs[i] ?? 0)));
}

test('the generator agrees with valkey-benchmark within 5 % on the same load', async () => {
  const { server, tools } = await rivalEngine('valkey-9');
  assert.ok(tools.benchmark !== null);
  const folder = await workFolder();
  const settings = { requirepass: ACCESS_KEY };
  const engine = await startEngine(server, { dir: folder.dir, settings });
  try {
    const target = { host: '127.0.0.1', port: engine.port, password: ACCESS_KEY };
    // Other tests share the two cores: a generator that is off is off every time, noise is not.
    const tries: string[] = [];
    for (let i = 0; i < TRIES; i++) {
      const { rate, p50 } = await compareTools(tools.benchmark, target, 3);
      const [byRate, byP50] = [ratio(rate), ratio(p50)];
      if (Math.abs(byRate - 1) < 0.05 && Math.abs(byP50 - 1) < 0.05) return;
      tries.push(`rate ${byRate.toFixed(3)}, p50 ${byP50.toFixed(3)}`);
    }
    assert.fail(`ours against valkey-benchmark: ${tries.join('; ')}`);
  } finally {
    await engine.stop();
    await folder.remove();
  }
});

test('figures of valkey-benchmark are read by the names of their columns', () => {
  const head = '"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms"';
  const line = '"EVAL local s = 0, 0","5000.50","1.9","0.1","1.950","3.0"';
  assert.deepEqual(parseFigures(`WARNING: x\n${head}\n${line}\n`), { rate: 5000.5, p50Ms: 1.95 });
  assert.equal(parseFigures('nothing'), null);
});
