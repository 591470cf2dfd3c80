/**
 * Starting an engine so that it outlives us, and ending one so that it surely is dead.
 *
 * The fence (engine rule 2) is the most delicate thing here. A process that was told to die is not
 * dead, a stopped one wakes up and acknowledges what waits in its sockets, a zombie is dead
 * although `kill(pid, 0)` says otherwise, and a pid may be somebody else's by now. So: look at the
 * start time, SIGKILL the process and its group, and look at /proc until it is gone.
 *
 * The group matters, twice. A child that writes a snapshot holds the engine's sockets open: until it
 * is told to die too, the replica cannot read the stream to its end. And it renames its file into
 * place when it is done: a folder must not be prepared for a start while one is left. The first is
 * done by a signal to the group. The second needs a look at every process there is, five to ten
 * milliseconds; so it is done when somebody wants the folder (`childrenGone`), not while clients wait
 * for a new primary.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ProcessRef } from './contract.ts';
import { EngineError, reasonOf, systemCode } from './errors.ts';
import { allocatorEnvironment } from './huge-pages.ts';
import { KILL_POLL_MS } from './limits.ts';
import { allProcesses, inspectProcess, readStat } from './procfs.ts';
import { spawnAside } from './spawner.ts';

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
  const { file, argsBefore } = program;
  const request = { file, args: [...argsBefore, ...args], cwd, logFile, env: cleanEnvironment() };
  try {
    return await spawnAside(request, onExit);
  } catch (error) {
    throw new EngineError(
      'engine-not-started',
      `cannot start ${program.file} in ${cwd}: ${reasonOf(error)}`,
      'Check that the file exists and may be executed: cinnabar doctor.',
      { cause: error },
    );
  }
}

/** Only what a server needs: a shell's environment may hold secrets, and /proc shows it for ever. */
function cleanEnvironment(): Record<string, string> {
  const kept: Record<string, string> = { LC_ALL: 'C.UTF-8', ...allocatorEnvironment() };
  for (const name of ['PATH', 'TZ', 'TMPDIR']) {
    const value = process.env[name];
    if (value !== undefined) kept[name] = value;
  }
  return kept;
}

/**
 * SIGKILL by pid and start time, to its children too, then wait until it is gone. No process of that
 * name left: done at once. Rejects with `fence-unconfirmed` when the kernel did not let it die until
 * the deadline.
 */
export async function fence(target: ProcessRef, deadlineMs: number): Promise<void> {
  const stat = readStat(target.pid);
  const holds = stat !== null && stat.startTicks === target.startTicks;
  if (holds && stat.letter !== 'Z' && stat.letter !== 'X') signal(target.pid);
  endGroup(target);
  await gone(target, deadlineMs, () => inspectProcess(target).state === 'gone');
}

/** Resolves when no child of this dead engine is left. Rejects as `fence`. */
export async function childrenGone(leader: ProcessRef, deadlineMs: number): Promise<void> {
  await gone(leader, deadlineMs, () => !orphansRemain(leader));
}

async function gone(target: ProcessRef, deadlineMs: number, is: () => boolean): Promise<void> {
  const deadline = performance.now() + deadlineMs;
  while (!is()) {
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

/** To the engine's whole group, also when only its children are left of it. */
function endGroup(leader: ProcessRef): void {
  const stat = readStat(leader.pid);
  if (stat === null) {
    // A pid is given to nobody while a group bears it: who is left in it are the children.
    if (groupExists(leader.pid)) signal(-leader.pid);
  } else if (stat.startTicks === leader.startTicks && stat.group === leader.pid) {
    // Leader of its own group; an engine that somebody else started within theirs: never theirs.
    signal(-leader.pid);
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
