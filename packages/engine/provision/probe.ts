/**
 * Asks an engine what it is: name and version by `--version`, everything else by starting it once,
 * empty, in a folder that is thrown away. That is also the proof that it runs on this machine
 * before a user's data depends on it. The answer is kept by the SHA-256 of the program.
 */
import { readFileSync } from 'node:fs';
import { access, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { RespError } from '../../resp/index.ts';
import { type ArgumentSpecs, readArgumentSpecs } from '../../resp/table/index.ts';
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
  const asked = [...server.argsBefore, '--version'];
  const { stdout } = await run(server.file, asked, { deadlineMs: VERSION_DEADLINE_MS }).catch(
    (error: EngineError) => {
      if (!/loading shared libraries/.test(error.message)) throw error;
      const hint =
        'It was taken out of its package. Install the package (apt-get install valkey-server) and name its file, or name none: then an engine is found or fetched.';
      throw new EngineError(error.code, error.message, hint, { cause: error });
    },
  );
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

export interface Probed {
  readonly capabilities: EngineCapabilities;
  /** What it documents of its commands' arguments: much, and seldom needed, so read when it is. */
  documents(): ArgumentSpecs;
}

interface Trial {
  readonly capabilities: StoredCapabilities;
  readonly documents: ArgumentSpecs;
}

/** What this program can do: from the cache folder when it was asked before, else by a trial run. */
export async function probe(server: Program, sha256: string, cacheDir: string): Promise<Probed> {
  const folder = join(cacheDir, 'capabilities');
  const file = join(folder, `${sha256}.json`);
  const documented = join(folder, `${sha256}.arguments.json`);
  let read: ArgumentSpecs | null = null;
  const documents = (): ArgumentSpecs => {
    read ??= JSON.parse(readFileSync(documented, 'utf8')) as ArgumentSpecs;
    return read;
  };
  try {
    await access(documented);
    const stored: StoredCapabilities = JSON.parse(await readFile(file, 'utf8'));
    return { capabilities: fromStored(stored), documents };
  } catch {
    // Not asked before, or the answer is damaged: ask.
  }
  const trial = await trialRun(server, await placeFor(cacheDir));
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await put(documented, trial.documents);
  await put(file, trial.capabilities);
  return { capabilities: fromStored(trial.capabilities), documents };
}

async function put(file: string, content: object): Promise<void> {
  await writeFile(`${file}.${process.pid}`, JSON.stringify(content), { mode: 0o600 });
  await rename(`${file}.${process.pid}`, file);
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

async function trialRun(server: Program, folder: string): Promise<Trial> {
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
            return await askAll(connection);
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

async function askAll(connection: EngineConnection): Promise<Trial> {
  const replies = await connection.send(CAPABILITY_COMMANDS, PROBE_DEADLINE_MS);
  const [docs = null] = await connection.send([['COMMAND', 'DOCS']], PROBE_DEADLINE_MS);
  return {
    capabilities: fromReplies(replies),
    // Before version 7 engines have no documents.
    documents: docs instanceof RespError ? {} : readArgumentSpecs(docs),
  };
}
