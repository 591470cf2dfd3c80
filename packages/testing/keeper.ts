/**
 * The keeper of one test cache: starts a Cinnabar of its own, makes the cache, tells the test, and
 * ends everything as soon as its standard input closes. It is the last one to leave: whatever of this
 * folder still runs then is killed, and the folder removed.
 */
import { randomInt } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { ApiClient } from '../cli/api/client.ts';
import { waitFor } from '../cli/api/operations.ts';
import { killAll } from '../cli/ending.ts';
import { CliError } from '../cli/errors.ts';
import { foldersFrom, makePrivate } from '../cli/folders.ts';
import { connectionString } from '../cli/output/connection.ts';
import { Output } from '../cli/output/output.ts';
import type { ParentReport } from '../cli/up/parent.ts';
import { runParent } from '../cli/up/parent.ts';
import {
  CREATE_TIMEOUT_MS,
  END_TIMEOUT_MS,
  LEAST_TEMPORARY_BYTES,
  PORT_BLOCK,
  PORTS_FROM,
  PORTS_TO,
} from './limits.ts';
import type { CacheFacts, CacheOptions, FromKeeper } from './protocol.ts';

const NAME = 'test';
const stop = new AbortController();

function say(word: FromKeeper): void {
  process.stdout.write(`${JSON.stringify(word)}\n`);
}

// The test is gone: nobody reads this any more.
process.stdout.on('error', () => {});

const input = createInterface({ input: process.stdin });
input.on('close', () => stop.abort());
input.once('line', (line) => {
  keep(JSON.parse(line) as CacheOptions).catch((error: unknown) => {
    process.stderr.write(`cinnabar/testing: ${error instanceof Error ? error.stack : error}\n`);
    process.exitCode = 1;
  });
});

async function keep(options: CacheOptions): Promise<void> {
  // Socket paths have at most 107 bytes, so a deep TMPDIR is not used.
  const home = temporaryHome(tmpdir().length <= 40 ? tmpdir() : '/tmp');
  if (home === null) return;
  const runDir = path.join(home, 'r');
  try {
    makePrivate(runDir);
    const running = runParent({
      start: {
        home,
        runDir,
        engineCache: foldersFrom(process.env).engineCache,
        listen: [],
        domain: null,
        apiPort: 0,
        httpsPort: 0,
        workers: 1,
        firstPorts: portBlock(),
        ...(options.engine === undefined ? {} : { engine: options.engine }),
      },
      ignoreHangup: true,
      stop: stop.signal,
      report: report(home, options),
    });
    const late = Promise.withResolvers<void>();
    stop.signal.addEventListener('abort', () => setTimeout(late.resolve, END_TIMEOUT_MS).unref());
    await Promise.race([running, late.promise]);
  } finally {
    await killAll({ home, runDir });
    rmSync(home, { recursive: true, force: true });
    input.close();
    process.exit(process.exitCode ?? 0);
  }
}

/** Says so when the folder for temporary files is full or cannot be written: nothing is left in it. */
function temporaryHome(root: string): string | null {
  let home: string | null = null;
  try {
    home = mkdtempSync(path.join(root, 'cinnabar-t-'));
    const probe = path.join(home, 'probe');
    writeFileSync(probe, Buffer.alloc(LEAST_TEMPORARY_BYTES));
    rmSync(probe);
    return home;
  } catch (error) {
    if (home !== null) rmSync(home, { recursive: true, force: true });
    say({
      type: 'failed',
      code: 'temp-not-writable',
      message: `A cache for tests lives in the folder for temporary files, and ${root} cannot be used: ${error instanceof Error ? error.message : String(error)}.`,
      remedy: 'Free some space there (df -h), or set TMPDIR to a folder that you may write.',
    });
    return null;
  }
}

function report(home: string, options: CacheOptions): ParentReport {
  let asked = false;
  return {
    message(message) {
      if (message.type === 'fatal') {
        const { code, remedy } = message;
        say({ type: 'failed', code, message: message.message, remedy });
      }
      if (message.type !== 'ready' || asked) return;
      asked = true;
      make(home, options, `${message.status.engine.name} ${message.status.engine.version}`)
        .then((cache) => say({ type: 'ready', cache }))
        .catch((error: unknown) => say(failure(error)));
    },
    crashed: (code, pauseMs, logFile) => {
      process.stderr.write(
        `cinnabar/testing: the control process ended (${code}), again in ${pauseMs} ms: ${tail(logFile)}\n`,
      );
    },
    gaveUp: (logFile) =>
      say({
        type: 'failed',
        code: 'control-keeps-crashing',
        message: `The control process crashed at each start: ${tail(logFile)}`,
        remedy: '',
      }),
    hung: () => {},
    unclean: () => {},
  };
}

async function make(home: string, options: CacheOptions, engine: string): Promise<CacheFacts> {
  const api = ApiClient.forHome(home);
  const quiet = new Output({ write: () => true }, { write: () => true }, {}, true);
  const wait = { wait: true, timeoutMs: CREATE_TIMEOUT_MS };
  const cluster = await api.putCluster(NAME, {
    location: 'local',
    sku: { name: options.sku ?? 'Balanced_B0' },
    properties: {
      highAvailability: options.highAvailability === true ? 'Enabled' : 'Disabled',
      minimumTlsVersion: '1.2',
      publicNetworkAccess: 'Enabled',
    },
  });
  await waitFor(api, quiet, cluster.operation, wait);
  const database = await api.putDatabase(NAME, {
    properties: {
      clientProtocol: options.tls === false ? 'Plaintext' : 'Encrypted',
      clusteringPolicy: options.policy ?? 'EnterpriseCluster',
      accessKeysAuthentication: 'Enabled',
      port: options.port ?? (await freePort()),
      ...(options.evictionPolicy === undefined ? {} : { evictionPolicy: options.evictionPolicy }),
    },
  });
  await waitFor(api, quiet, database.operation, wait);
  const [cache, keys] = await Promise.all([api.cache(NAME), api.keys(NAME)]);
  if (cache.database === null) throw new Error('The database vanished.');
  const { caFile, subscriptionId } = api.control;
  return {
    host: cache.cluster.properties.hostName,
    port: cache.database.properties.port,
    tls: options.tls !== false,
    username: 'default',
    password: keys.primaryKey,
    url: connectionString(cache.cluster, cache.database, keys.primaryKey),
    caFile,
    ca: readFileSync(caFile, 'utf8'),
    api: {
      url: api.control.http ?? api.control.https ?? '',
      token: readFileSync(path.join(home, 'api-token'), 'utf8').trim(),
      subscriptionId,
    },
    engine,
  };
}

function failure(error: unknown): FromKeeper {
  if (error instanceof CliError) {
    const { code, message, remedy } = error;
    return { type: 'failed', code, message, remedy };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { type: 'failed', code: 'internal-error', message, remedy: '' };
}

/** Where this cache looks for ports, so that caches of tests that run at once rarely meet. */
function portBlock(): { database: number; shard: number; internal: number } {
  const blocks = Math.floor((PORTS_TO - PORTS_FROM) / PORT_BLOCK);
  const first = PORTS_FROM + randomInt(blocks) * PORT_BLOCK;
  return { database: first, shard: first + PORT_BLOCK / 4, internal: first + PORT_BLOCK / 2 };
}

async function freePort(): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const server = createServer();
  server.once('error', reject);
  server.listen({ port: 0, host: '127.0.0.1' }, () => {
    const address = server.address();
    server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
  });
  return promise;
}

const TAIL_BYTES = 2_000;

function tail(file: string): string {
  try {
    return readFileSync(file, 'utf8').slice(-TAIL_BYTES);
  } catch {
    return `${file} cannot be read`;
  }
}
