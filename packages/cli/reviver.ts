/**
 * Who starts a control process again that ended before its time: the parent that it has, or systemd, which
 * starts that parent again. Looked at while it lives, because afterwards nobody knows whose child it was.
 */
import { readFileSync } from 'node:fs';
import { inspectProcess, refOf } from '../engine/index.ts';
import { isAlive } from './orphans.ts';

/** True while somebody may still bring it back. */
export type Reviver = () => boolean;

export function reviverOf(controlPid: number): Reviver {
  const parent = refOf(parentOf(controlPid));
  if (parent === null) return () => false;
  const env = environmentOf(parent.pid);
  return () => inspectProcess(parent).state !== 'gone' || isUnitOver(env);
}

/**
 * systemd names the main process of a unit to all that descend from it. A unit of ours ended with the
 * parent; a terminal's, from which `cinnabar up` was typed, goes on, and brings nobody back.
 */
function isUnitOver(env: ReadonlyMap<string, string>): boolean {
  if (!env.has('INVOCATION_ID')) return false;
  const main = Number(env.get('SYSTEMD_EXEC_PID'));
  return !(main > 0 && isAlive(main));
}

function parentOf(pid: number): number {
  return Number(/^PPid:\s+(\d+)/m.exec(read(`/proc/${pid}/status`))?.[1] ?? 0);
}

function environmentOf(pid: number): ReadonlyMap<string, string> {
  const words = read(`/proc/${pid}/environ`).split('\0');
  return new Map(words.map((word) => [word.split('=', 1)[0] ?? '', word.replace(/^[^=]*=/, '')]));
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return ''; // it ended, or is another user's
  }
}
