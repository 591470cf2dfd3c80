/**
 * `import { startCache } from 'cinnabar/testing'`: a real cache for a test, with a folder and ports of
 * its own, gone when the test process is gone.
 *
 * This file runs in the user's own process, on the user's own Node (20 or newer), so it uses nothing
 * newer. Everything else runs in the keeper, a process of the Node that Cinnabar brings.
 */
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { CacheFacts, CacheOptions, FromKeeper } from './protocol.ts';

export type { CacheFacts, CacheOptions } from './protocol.ts';

export interface TestCache extends CacheFacts {
  /** Ends every process and removes every file; resolves when all are gone. */
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const DEFAULT_TIMEOUT_MS = 120_000;

const OPTIONS: Readonly<Record<keyof CacheOptions, true>> = {
  policy: true,
  sku: true,
  highAvailability: true,
  evictionPolicy: true,
  tls: true,
  port: true,
  engine: true,
  timeoutMs: true,
};

/** A test in JavaScript has no compiler that finds a misspelt one: it would run on another cache than it says. */
function refuseUnknown(options: CacheOptions): void {
  const wrong = Object.keys(options).find((name) => !Object.hasOwn(OPTIONS, name));
  if (wrong === undefined) return;
  throw new StartCacheError(
    'unknown-option',
    `startCache has no option '${wrong}'. It has: ${Object.keys(OPTIONS).join(', ')}.`,
  );
}

export class StartCacheError extends Error {
  override readonly name = 'StartCacheError';
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

export async function startCache(options: CacheOptions = {}): Promise<TestCache> {
  refuseUnknown(options);
  const keeper = spawn(lockedNode(), ['--disable-warning=ExperimentalWarning', keeperFile()], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: environment(),
    // A session of its own: a Ctrl-C or a kill of the test's process group must not take the keeper
    // with it, because it has to clean up after the test.
    detached: true,
  });
  const ended = new Promise<void>((resolve) => {
    keeper.once('exit', () => resolve());
    keeper.once('error', () => resolve());
  });
  const stop = async (): Promise<void> => {
    hold(keeper);
    keeper.stdin?.end();
    await ended;
  };
  try {
    const cache = await firstWord(keeper, options);
    // A test that forgets `stop` must still be able to end; its end closes the keeper's input.
    release(keeper);
    return { ...cache, stop, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function firstWord(keeper: ChildProcess, options: CacheOptions): Promise<CacheFacts> {
  return new Promise((resolve, reject) => {
    const { stdin, stdout } = keeper;
    if (stdin === null || stdout === null) throw new Error('The keeper has no pipes.');
    const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    const timer = setTimeout(() => {
      reject(new StartCacheError('timeout', `No cache after ${timeoutMs / 1000} s (timeoutMs).`));
    }, timeoutMs);
    const settle = (act: () => void): void => {
      clearTimeout(timer);
      act();
    };
    keeper.once('error', (error) => settle(() => reject(error)));
    keeper.once('exit', (code, signal) =>
      settle(() =>
        reject(
          new StartCacheError(
            'keeper-ended',
            `The keeper ended (${code ?? signal}) before it was ready.`,
          ),
        ),
      ),
    );
    createInterface({ input: stdout }).on('line', (line) => {
      const word = JSON.parse(line) as FromKeeper;
      settle(() => {
        if (word.type === 'ready') resolve(word.cache);
        else reject(new StartCacheError(word.code, `${word.message} ${word.remedy}`.trim()));
      });
    });
    // EPIPE when it ended at once: its exit says so.
    stdin.on('error', () => {});
    stdin.write(`${JSON.stringify(options)}\n`);
  });
}

interface Handle {
  ref?: () => unknown;
  unref?: () => unknown;
}

function release(keeper: ChildProcess): void {
  keeper.unref();
  for (const stream of [keeper.stdin, keeper.stdout]) (stream as Handle | null)?.unref?.();
}

function hold(keeper: ChildProcess): void {
  keeper.ref();
  for (const stream of [keeper.stdin, keeper.stdout]) (stream as Handle | null)?.ref?.();
}

/** The Node that Cinnabar is locked to: the npm package `node`. */
function lockedNode(): string {
  const require = createRequire(import.meta.url);
  return path.join(path.dirname(require.resolve('node/package.json')), 'bin', 'node');
}

/** With the library that bin/cinnabar fetched for Node.js, on machines that lack it. */
function environment(): NodeJS.ProcessEnv {
  const cache = process.env['XDG_CACHE_HOME'] || path.join(homedir(), '.cache');
  const fetched = path.join(cache, 'cinnabar', 'runtime');
  if (!existsSync(fetched)) return process.env;
  const places = [process.env['LD_LIBRARY_PATH'], fetched].filter(Boolean);
  return { ...process.env, LD_LIBRARY_PATH: places.join(':') };
}

function keeperFile(): string {
  const here = fileURLToPath(import.meta.url);
  return path.join(path.dirname(here), `keeper${path.extname(here)}`);
}
