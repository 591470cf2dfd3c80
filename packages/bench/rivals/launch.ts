/** Starting and ending the processes that a benchmark compares. None outlives its benchmark. */

import { spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { mkdtemp, rm, statfs } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { START_DEADLINE_MS } from '../limits.ts';
import {
  endProcess,
  inspectProcess,
  type ProcessRef,
  requireRef,
  signal,
  until,
} from '../processes.ts';
import { atExit } from './at-exit.ts';
import { commandOf, type Program } from './programs.ts';

export interface Launched {
  readonly process: ProcessRef;
  /** What it printed so far, the last part of it. */
  output(): string;
  stop(): Promise<void>;
}

const KEPT_OUTPUT = 16_384;

export async function launch(
  name: string,
  program: Program,
  args: readonly string[],
  ready: () => Promise<boolean>,
  options: { readonly env?: Readonly<Record<string, string>>; readonly cwd?: string } = {},
): Promise<Launched> {
  const [file, all] = commandOf(program, args);
  const child = spawn(file, all, {
    stdio: ['ignore', 'pipe', 'pipe'],
    // A session of its own, as a service has one, and each engine and endpoint of ours: the kernel divides the
    // cores among sessions first, and those in one shared what is theirs with the load.
    detached: true,
    env: { ...process.env, ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    (stream as Socket).unref();
    stream.on('data', (data: Buffer) => {
      said = (said + data.toString()).slice(-KEPT_OUTPUT);
    });
  }
  // A benchmark that failed before it could stop this one must still be able to end.
  child.unref();
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', reject);
  });
  const ref = requireRef(child.pid ?? 0);
  const onExit = (): void => {
    signal(ref, 'SIGKILL');
  };
  const forget = atExit(onExit);
  const stop = async (): Promise<void> => {
    await endProcess(ref);
    forget();
  };
  try {
    await until(
      `${name} answers`,
      async () => {
        if (inspectProcess(ref).state === 'gone') throw new Error(`${name} ended: ${said.trim()}`);
        return ready();
      },
      START_DEADLINE_MS,
    );
  } catch (error) {
    await stop();
    throw new Error(`${String(error)}\n${said.trim()}`);
  }
  return { process: ref, output: () => said, stop };
}

/** True when a connection can be made there now. */
export function accepts(to: { port: number; host?: string } | { path: string }): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(to);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise<void>((resolve) => server.close(() => resolve()));
  if (address === null || typeof address === 'string') throw new Error('no port was given');
  return address.port;
}

const MEMORY_FOLDER = '/dev/shm';
const TMPFS = 0x01021994;

/** Where files are in memory, as in the run folder that a system gives to a user or a unit; null: nowhere. */
export async function memoryFolder(): Promise<string | null> {
  const kind = await statfs(MEMORY_FOLDER).catch(() => null);
  return kind?.type === TMPFS ? MEMORY_FOLDER : null;
}

/**
 * A folder of its own for a benchmark, short enough for socket paths; removed by `remove`, and when the
 * process exits before that. `inMemory`: where that can be had. What ours keeps in memory while the clock runs, a rival may, too.
 */
export async function workFolder(
  inMemory = false,
): Promise<{ dir: string; remove: () => Promise<void> }> {
  const parent = (inMemory ? await memoryFolder() : null) ?? tmpdir();
  const dir = await mkdtemp(path.join(parent, 'cb-'));
  const remove = (): void => rmSync(dir, { recursive: true, force: true });
  const forget = atExit(remove);
  return {
    dir,
    remove: async () => {
      forget();
      await rm(dir, { recursive: true, force: true });
    },
  };
}
