/**
 * Starting a supervisor, and dealing with what earlier ones left.
 *
 * The supervisor must outlive this process: own process group, own output file, nothing inherited
 * but a handful of harmless variables. Which program runs is a path; nothing secret is in arguments
 * or environment.
 */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { PROTOCOL } from '../../endpoint/control-protocol.ts';
import {
  neighbourSocket,
  SUPERVISOR_PROGRAM,
  WORKER_SOCKET,
} from '../../endpoint/supervisor-protocol.ts';
import { ControlError } from '../errors.ts';
import { LOG_BYTES, ORPHAN_DRAIN_MS, ORPHAN_RELEASE_MS, RUN_FOLDER_BYTES } from './limits.ts';
import { Peer } from './peer.ts';

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

function openLog(file: string): number {
  const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  return openSync(file, size > LOG_BYTES ? 'w' : 'a', 0o600);
}

/**
 * Workers whose supervisor is gone still serve. Tells each to drain, and resolves when all of them
 * have closed their listening sockets (their clients may take longer to leave).
 */
export async function drainOrphans(
  folder: string,
  build: string,
  supervised: ReadonlySet<number>,
): Promise<number[]> {
  const drained: number[] = [];
  const names = readdirSync(folder).filter((name) => WORKER_SOCKET.test(name));
  await Promise.all(
    names.map(async (name) => {
      const pid = Number(WORKER_SOCKET.exec(name)?.[1]);
      if (supervised.has(pid)) return;
      const path = join(folder, name);
      let peer: Peer;
      try {
        peer = await Peer.open({
          path,
          protocol: PROTOCOL,
          build,
          onMessage: () => {},
          onClose: () => {},
        });
      } catch {
        // Nobody listens: only the names were left.
        rmSync(path, { force: true });
        rmSync(neighbourSocket(path), { force: true });
        return;
      }
      drained.push(pid);
      const leaving = peer.request(
        { type: 'drain', deadlineMs: ORPHAN_DRAIN_MS } as { type: string },
        ORPHAN_RELEASE_MS,
      );
      leaving.catch(() => {}).finally(() => peer.close()); // it leaves by its own deadline
      // Answered after the drain began, and that closes the listening sockets first of all.
      await peer.request({ type: 'counters' }, ORPHAN_RELEASE_MS).catch(() => {});
    }),
  );
  return drained;
}

export function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
