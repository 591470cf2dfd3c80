/**
 * Asks an engine what it is: name and version by `--version`, everything else by starting it once,
 * empty, in a folder that is thrown away. That is also the proof that it runs on this machine
 * before a user's data depends on it. The answer is kept by the SHA-256 of the program.
 */
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  CAPABILITY_COMMANDS,
  type EngineCapabilities,
  fromReplies,
  fromStored,
  type StoredCapabilities,
} from '../capabilities.ts';
import { EngineConnection } from '../connection.ts';
import { EngineError, reasonOf } from '../errors.ts';
import {
  CACHE_DIR_CHARACTERS,
  LOG_TAIL_BYTES,
  PROBE_DEADLINE_MS,
  VERSION_DEADLINE_MS,
} from '../limits.ts';
import { fence, type Program, startDetached } from '../process.ts';
import { inspectProcess } from '../procfs.ts';
import { run } from './run.ts';

const POLL_MS = 10;

/** 'Valkey server v=9.1.2 sha=...' or 'Redis server v=7.0.15 ...'. */
export async function productOf(
  server: Program,
): Promise<{ name: 'valkey' | 'redis'; version: string }> {
  const { stdout } = await run(server.file, [...server.argsBefore, '--version'], {
    deadlineMs: VERSION_DEADLINE_MS,
  });
  const match = /^(Valkey|Redis) server v=(\d\S*)/m.exec(stdout);
  if (match === null) {
    throw new EngineError(
      'not-an-engine',
      `${server.file} is neither valkey-server nor redis-server: --version says ${JSON.stringify(stdout.slice(0, 80))}`,
      'Name the server program itself, e.g. /usr/bin/valkey-server.',
    );
  }
  return { name: match[1] === 'Valkey' ? 'valkey' : 'redis', version: match[2] ?? '' };
}

/** What this program can do: from the cache folder when it was asked before, else by a trial run. */
export async function capabilitiesOf(
  server: Program,
  sha256: string,
  cacheDir: string,
): Promise<EngineCapabilities> {
  const file = join(cacheDir, 'capabilities', `${sha256}.json`);
  try {
    const stored: StoredCapabilities = JSON.parse(await readFile(file, 'utf8'));
    return fromStored(stored);
  } catch {
    // Not asked before, or the answer is damaged: ask.
  }
  const stored = await trialRun(server, await placeFor(cacheDir));
  await mkdir(join(cacheDir, 'capabilities'), { recursive: true, mode: 0o700 });
  await writeFile(`${file}.${process.pid}`, JSON.stringify(stored), { mode: 0o600 });
  await rename(`${file}.${process.pid}`, file);
  return fromStored(stored);
}

/**
 * In the cache folder, which has to be written anyway: TMPDIR may be full, or not there. Only where a
 * socket in it would have too long a name is that one needed.
 */
async function placeFor(cacheDir: string): Promise<string> {
  const root = cacheDir.length <= CACHE_DIR_CHARACTERS ? cacheDir : tmpdir();
  try {
    return await mkdtemp(join(root, 'probe-'));
  } catch (error) {
    throw new EngineError(
      'temp-not-writable',
      `a trial run of the engine needs a folder in ${root}, and none can be made there: ${reasonOf(error)}`,
      root === cacheDir
        ? 'Free some space there, or set XDG_CACHE_HOME to a folder that you may write.'
        : 'Free some space there, or set TMPDIR to a folder that you may write.',
      { cause: error },
    );
  }
}

async function trialRun(server: Program, folder: string): Promise<StoredCapabilities> {
  const socket = join(folder, 's');
  const log = join(folder, 'log');
  try {
    const args = [
      '--port',
      '0',
      '--unixsocket',
      socket,
      '--unixsocketperm',
      '600',
      '--save',
      '',
      '--dir',
      folder,
    ];
    const engine = await startDetached(server, args, folder, log);
    try {
      const deadline = performance.now() + PROBE_DEADLINE_MS;
      for (;;) {
        const connection = await EngineConnection.open(socket, PROBE_DEADLINE_MS).catch(() => null);
        if (connection !== null) {
          try {
            return fromReplies(await connection.send(CAPABILITY_COMMANDS, PROBE_DEADLINE_MS));
          } finally {
            connection.close('the trial is over');
          }
        }
        if (inspectProcess(engine).state === 'gone' || performance.now() > deadline) {
          throw new Error((await readFile(log, 'utf8')).slice(-LOG_TAIL_BYTES).trim());
        }
        await sleep(POLL_MS);
      }
    } finally {
      await fence(engine, PROBE_DEADLINE_MS);
    }
  } catch (error) {
    throw new EngineError(
      'engine-unfit',
      `${server.file} does not run here: ${reasonOf(error)}`,
      'Name another engine: cinnabar engine install --path <valkey-server>.',
      { cause: error },
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
