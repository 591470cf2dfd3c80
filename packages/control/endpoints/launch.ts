/**
 * Starting a supervisor where no worker of an earlier one can.
 *
 * The supervisor must outlive this process: own process group, own output file, nothing inherited
 * but a handful of harmless variables. Which program runs is a path; nothing secret is in arguments
 * or environment.
 */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, statSync, truncateSync } from 'node:fs';
import {
  SUPERVISOR_PROGRAM,
  WORKER_PROGRAM,
  type WorkerPlan,
} from '../../endpoint/supervisor-protocol.ts';
import { ControlError } from '../errors.ts';
import { CONNECT_RETRY_MS, LOG_BYTES, RUN_FOLDER_BYTES } from './limits.ts';

/** The one in capitals for Node: where compiled code is kept, so that a successor is there in half the time. */
const PASSED_ON = [
  ...['PATH', 'HOME', 'LANG', 'LC_ALL', 'TZ', 'TMPDIR', 'LD_LIBRARY_PATH'],
  'NODE_COMPILE_CACHE',
];

/** Makes the run folder, or refuses one that another user could write to. */
export function prepareFolder(folder: string): void {
  if (Buffer.byteLength(folder) > RUN_FOLDER_BYTES) {
    throw new ControlError(
      'RunFolderTooLong',
      500,
      `the run folder '${folder}' is longer than ${RUN_FOLDER_BYTES} bytes, so socket names would not fit; set a shorter XDG_RUNTIME_DIR`,
    );
  }
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const { uid, mode } = statSync(folder);
  if (uid !== process.getuid?.() || (mode & 0o077) !== 0) {
    throw new ControlError(
      'RunFolderNotOurs',
      500,
      `the run folder '${folder}' must belong to this user alone (mode 0700); it has owner ${uid} and mode ${(mode & 0o777).toString(8)}`,
    );
  }
}

/** Answers the pid; `onExit` tells an early end. */
export function spawnSupervisor(
  folder: string,
  logFile: string | null,
  onExit: (code: number | null) => void,
): number {
  const output = logFile === null ? 'ignore' : openLog(logFile);
  const child = spawn(process.execPath, [SUPERVISOR_PROGRAM, folder], {
    detached: true,
    cwd: folder,
    env: Object.fromEntries(
      PASSED_ON.flatMap((name) => {
        const value = process.env[name];
        return value === undefined ? [] : [[name, value]];
      }),
    ),
    stdio: ['ignore', output, output],
  });
  if (typeof output === 'number') closeSync(output);
  child.on('error', () => onExit(null));
  child.on('exit', onExit);
  child.unref();
  if (child.pid === undefined) {
    throw new ControlError('SupervisorNotStarted', 500, `cannot run ${process.execPath}`);
  }
  return child.pid;
}

/** Appended to, so that it may be cut short while somebody writes to it. */
function openLog(file: string): number {
  return openSync(file, 'a', 0o600);
}

/** A log that has grown too large starts anew, also under workers and a supervisor that inherited it. */
export function trimLog(file: string | null): void {
  if (file === null) return;
  const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  if (size > LOG_BYTES) truncateSync(file);
}

/** To one that may have ended since it was looked at: then nothing is left to do. */
export function signalTo(pid: number, signal: 'SIGTERM' | 'SIGKILL'): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Resolves when the process is gone, or the time is over. */
export async function endInOrder(pid: number, waitMs: number): Promise<void> {
  signalTo(pid, 'SIGTERM');
  const end = performance.now() + waitMs;
  while (alive(pid) && performance.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, CONNECT_RETRY_MS));
  }
}

/** Waits for all of them; answers those that it had to kill after this time. */
export async function endedOrKilled(pids: readonly number[], waitMs: number): Promise<number[]> {
  const end = performance.now() + waitMs;
  while (pids.some(alive) && performance.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, CONNECT_RETRY_MS));
  }
  const killed = pids.filter(alive);
  for (const pid of killed) signalTo(pid, 'SIGKILL');
  return killed;
}

/** What the supervisor runs: workers of this build. */
export function workerPlan(count: number, build: string): WorkerPlan {
  return { count, runtime: process.execPath, program: WORKER_PROGRAM, build };
}

export function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
