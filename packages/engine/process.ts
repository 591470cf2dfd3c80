/**
 * Starting an engine so that it outlives us, and ending one so that it surely is dead.
 *
 * The fence (engine rule 2) is the most delicate thing here. A process that was told to die is not
 * dead, a stopped one wakes up and acknowledges what waits in its sockets, a zombie is dead
 * although `kill(pid, 0)` says otherwise, and a pid may be somebody else's by now. So: look at the
 * start time, SIGKILL the process and its group, and look at /proc until it is gone.
 *
 * The group matters. A child that writes a snapshot renames its file into place at the end: if it
 * outlived the fence, it would put an old file into a folder that was just prepared for a start.
 */
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ProcessRef } from './contract.ts';
import { EngineError, reasonOf, systemCode } from './errors.ts';
import { KILL_POLL_MS } from './limits.ts';
import { allProcesses, inspectProcess, readStat, refOf } from './procfs.ts';

export interface Program {
  readonly file: string;
  /** What stands before the arguments of the program itself. */
  readonly argsBefore: readonly string[];
}

/**
 * Starts a program in its own session and group, with no descriptor of ours but the log, and does
 * not wait for it. Resolves when the process exists.
 */
export async function startDetached(
  program: Program,
  args: readonly string[],
  cwd: string,
  logFile: string,
  onExit: (process: ProcessRef) => void = () => {},
): Promise<ProcessRef> {
  const log = openSync(logFile, 'a', 0o600);
  try {
    const child = spawn(program.file, [...program.argsBefore, ...args], {
      cwd,
      detached: true,
      stdio: ['ignore', log, log],
      env: cleanEnvironment(),
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
    child.unref();
    const pid = child.pid;
    // The child cannot vanish before this line: only our own event loop reaps it.
    const ref = pid === undefined ? null : refOf(pid);
    if (ref === null) throw new Error('the process ended before it could be looked at');
    child.once('exit', () => onExit(ref));
    return ref;
  } catch (error) {
    throw new EngineError(
      'engine-not-started',
      `cannot start ${program.file} in ${cwd}: ${reasonOf(error)}`,
      'Check that the file exists and may be executed: cinnabar doctor.',
      { cause: error },
    );
  } finally {
    closeSync(log);
  }
}

/** Only what a server needs: a shell's environment may hold secrets, and /proc shows it for ever. */
function cleanEnvironment(): Record<string, string> {
  const kept: Record<string, string> = { LC_ALL: 'C.UTF-8' };
  for (const name of ['PATH', 'TZ', 'TMPDIR']) {
    const value = process.env[name];
    if (value !== undefined) kept[name] = value;
  }
  return kept;
}

/**
 * SIGKILL by pid and start time, then wait until gone. No process of that name left: done at once.
 * Rejects with `fence-unconfirmed` when the kernel did not let it die until the deadline.
 */
export async function fence(target: ProcessRef, deadlineMs: number): Promise<void> {
  const deadline = performance.now() + deadlineMs;
  const stat = readStat(target.pid);
  const holds = stat !== null && stat.startTicks === target.startTicks;
  if (holds && stat.letter !== 'Z' && stat.letter !== 'X') {
    // Leader of its own group, or an engine that somebody else started within theirs: never theirs.
    if (stat.group === target.pid) signal(-target.pid);
    signal(target.pid);
  }
  for (;;) {
    if (inspectProcess(target).state === 'gone' && !orphansRemain(target)) return;
    if (performance.now() >= deadline) {
      throw new EngineError(
        'fence-unconfirmed',
        `process ${target.pid} is still there ${deadlineMs} ms after SIGKILL (state ${readStat(target.pid)?.letter ?? 'unknown'})`,
        'It waits inside the kernel, mostly for a disk. Nothing is promoted until it is gone.',
      );
    }
    await sleep(KILL_POLL_MS);
  }
}

/**
 * Children of a dead engine (snapshot, AOF rewrite): ends them, and says whether any is still
 * there. They are known by group and session, which stay the dead leader's pid; the kernel does not
 * give that pid to anybody else while such a group exists.
 */
function orphansRemain(leader: ProcessRef): boolean {
  const holder = readStat(leader.pid);
  // The pid has a new owner: then the old group is empty, and the present one is not ours.
  if (holder !== null && holder.startTicks !== leader.startTicks) return false;
  if (!groupExists(leader.pid)) return false;
  let alive = false;
  for (const stat of allProcesses()) {
    if (stat.group !== leader.pid || stat.session !== leader.pid) continue;
    if (stat.pid === leader.pid || stat.startTicks < leader.startTicks) continue;
    if (stat.letter === 'Z' || stat.letter === 'X') continue;
    signal(stat.pid);
    alive = true;
  }
  return alive;
}

function groupExists(group: number): boolean {
  try {
    process.kill(-group, 0);
    return true;
  } catch (error) {
    if (systemCode(error) === 'ESRCH') return false;
    // EPERM: it exists and holds a process of somebody else.
    return true;
  }
}

function signal(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (systemCode(error) === 'ESRCH') return;
    throw new EngineError(
      'fence-unconfirmed',
      `process ${pid} cannot be killed: ${reasonOf(error)}`,
      'It belongs to another user: end it by hand, or run as the user who started it.',
      { cause: error },
    );
  }
}
