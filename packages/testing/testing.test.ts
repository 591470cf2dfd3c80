/** `cinnabar/testing` as another project uses it: real caches, and nothing left behind. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { startCache } from './index.ts';

const DEADLINE_MS = 20_000;

/** Living processes that name this folder. */
function living(folder: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return (
          readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(folder) &&
          !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
        );
      } catch {
        return false;
      }
    });
}

async function gone(folder: string): Promise<void> {
  const deadline = Date.now() + DEADLINE_MS;
  while (existsSync(folder) || living(folder).length > 0) {
    if (Date.now() > deadline) assert.fail(`${folder} is still there: ${living(folder).join(' ')}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test('a folder for temporary files that cannot be used is named, with what to do', async (t) => {
  const before = process.env['TMPDIR'];
  t.after(() => {
    if (before === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = before;
  });
  process.env['TMPDIR'] = '/proc/no-such-folder';
  await assert.rejects(startCache(), (error: Error & { code?: string }) => {
    assert.equal(error.code, 'temp-not-writable');
    assert.match(error.message, /\/proc\/no-such-folder cannot be used.*set TMPDIR/);
    return true;
  });
});

test('an option that does not exist is refused, with those that do', async () => {
  await assert.rejects(startCache({ polcy: 'OSSCluster' } as object), {
    code: 'unknown-option',
    message: /no option 'polcy'\. It has: policy, sku, .*timeoutMs\.$/,
  });
});

test('two caches at once, each its own; gone after stop', async () => {
  const [a, b] = await Promise.all([
    startCache(),
    startCache({ policy: 'NoCluster', highAvailability: true, evictionPolicy: 'NoEviction' }),
  ]);
  try {
    assert.notEqual(a.port, b.port);
    assert.notEqual(a.password, b.password);
    for (const cache of [a, b]) {
      const redis = new Redis(cache.url, { tls: { ca: cache.ca } });
      assert.equal(await redis.set('who', cache.engine), 'OK');
      assert.equal(await redis.get('who'), cache.engine);
      redis.disconnect();
    }
    const stranger = new Redis({
      host: a.host,
      port: a.port,
      password: b.password,
      tls: { ca: a.ca },
      retryStrategy: null,
      lazyConnect: true,
    });
    stranger.on('error', () => {});
    await assert.rejects(stranger.get('who'));
    stranger.disconnect();
  } finally {
    await Promise.all([a.stop(), b.stop()]);
  }
  for (const cache of [a, b]) await gone(path.dirname(path.dirname(cache.caFile)));
});

test('gone when the test process is killed', async () => {
  const child = spawn(
    process.execPath,
    [
      '--disable-warning=ExperimentalWarning',
      '--input-type=module',
      '-e',
      `import { startCache } from ${JSON.stringify(fileURLToPath(new URL('./index.ts', import.meta.url)))};
       const cache = await startCache({ tls: false });
       console.log(cache.caFile);
       setInterval(() => {}, 500);`,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'], detached: true },
  );
  const [line] = await once(child.stdout, 'data');
  const folder = path.dirname(path.dirname(String(line).trim()));
  assert.ok(living(folder).length > 0);
  // The whole group at once, as a CI system does it.
  process.kill(-(child.pid ?? 0), 'SIGKILL');
  await gone(folder);
});

test('a test that forgets to stop can end, and leaves nothing', async () => {
  const child = spawn(
    process.execPath,
    [
      '--disable-warning=ExperimentalWarning',
      '--input-type=module',
      '-e',
      `import { startCache } from ${JSON.stringify(fileURLToPath(new URL('./index.ts', import.meta.url)))};
       console.log((await startCache()).caFile);`,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const ended = once(child, 'exit');
  const [line] = await once(child.stdout, 'data');
  assert.deepEqual(await ended, [0, null]);
  await gone(path.dirname(path.dirname(String(line).trim())));
});

test('what cannot be started says why', async () => {
  await assert.rejects(startCache({ engine: '/bin/true' }), {
    name: 'StartCacheError',
    code: 'not-an-engine',
  });
  await assert.rejects(startCache({ sku: 'Balanced_B12345' }), { code: 'InvalidSku' });
  await assert.rejects(startCache({ timeoutMs: 1 }), { code: 'timeout' });
});
