/** No API on a data folder: because nothing runs there, it is not ready yet, or its disk is full. */
import { readFileSync, statfsSync, statSync } from 'node:fs';
import path from 'node:path';
import { CONTROL_FILE, STOP_FILE, type StopFile } from '../../control/boot-protocol.ts';
import { CliError } from '../errors.ts';
import { DISK_FULL_BYTES } from '../limits.ts';
import { processesOf } from '../orphans.ts';
import { userId } from '../self.ts';

/** The control process runs in its data folder; without an API it starts, or stops. */
export function isUnderWay(home: string): boolean {
  return controlOf(home) !== null;
}

/** Its pid, whether it has an API or not; null when there is none. */
export function controlOf(home: string): number | null {
  const control = processesOf({ home, runDir: home }).find(({ command }) =>
    /control\/boot\/run\.[jt]s\b/.test(command),
  );
  return control?.pid ?? null;
}

/** So full that a control process that was started again could not record its own start. */
export function isFull(home: string): boolean {
  try {
    const { blocks, bfree, bavail, bsize } = statfsSync(home);
    return blocks > 0 && (userId() === 0 ? bfree : bavail) * bsize < DISK_FULL_BYTES;
  } catch {
    return false; // There is no such folder: then that is what is wrong.
  }
}

export function absent(home: string): CliError {
  const [exit, code, message, remedy] = isUnderWay(home)
    ? ([
        'underWay',
        'start-under-way',
        `Cinnabar is starting (or stopping) on ${home}`,
        'Wait for it: cinnabar status',
      ] as const)
    : ([
        'notRunning',
        'not-running',
        `No Cinnabar runs on ${home}`,
        'Start it: cinnabar up   (another data folder: --home, or CINNABAR_HOME)',
      ] as const);
  if (!isFull(home)) return new CliError(exit, code, `${message}.`, remedy);
  return new CliError(
    exit,
    'disk-full',
    `${message}, and the disk there is full: nothing can be recorded.`,
    `Free some space (see: df -h ${home}); what runs goes on by itself, else: cinnabar up`,
  );
}

/** How the last stop ended; null when there was none, or it could not be written down. */
export function readStopFile(home: string): StopFile | null {
  try {
    return JSON.parse(readFileSync(path.join(home, STOP_FILE), 'utf8')) as StopFile;
  } catch {
    return null;
  }
}

/**
 * Whether the control process `pid`, or one after it, was stopped in order since this command began:
 * then nobody starts another. One that was killed leaves its file, one that left a cache running is
 * started again, and so both come back by themselves.
 */
export function stoppedInOrder(home: string, pid: number): boolean {
  const end = readStopFile(home);
  if (end === null || end.held.length > 0) return false;
  if (exists(path.join(home, CONTROL_FILE)) || isUnderWay(home)) return false;
  return end.pid === pid || changedAt(path.join(home, STOP_FILE)) >= performance.timeOrigin;
}

function exists(file: string): boolean {
  return statSync(file, { throwIfNoEntry: false }) !== undefined;
}

function changedAt(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

/** What a command that waits says then. */
export function stopped(home: string): CliError {
  return new CliError(
    'notRunning',
    'not-running',
    `Cinnabar on ${home} was stopped before this was done.`,
    'Start it, and what was begun goes on: cinnabar up   (how far it is: cinnabar operations)',
  );
}
