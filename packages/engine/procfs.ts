/**
 * What /proc says about a process.
 *
 * A pid alone names nobody: pids are used again. Together with the start time (field 22 of
 * /proc/<pid>/stat, clock ticks since boot) it names one process for the life of this boot. An
 * engine started through the dynamic loader shows the loader as its `exe` and `comm`, so neither
 * tells engines apart from anything else that was started so.
 */
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import type { ProcessFacts, ProcessRef, ProcessState } from './contract.ts';
import { EngineError, systemCode } from './errors.ts';

export interface StatLine {
  readonly pid: number;
  /** The one-letter state of the kernel: R S D T t Z X I ... */
  readonly letter: string;
  readonly parent: number;
  readonly group: number;
  readonly session: number;
  readonly cpuTicks: number;
  readonly startTicks: number;
}

const GONE: ProcessFacts = { state: 'gone', cpuTicks: 0, rssBytes: 0, runnable: false };

/** Parses one stat line. The command name may hold blanks and brackets: fields count from the last bracket. */
export function parseStat(text: string): StatLine | null {
  const close = text.lastIndexOf(')');
  const pid = Number.parseInt(text, 10);
  if (close < 0 || !Number.isSafeInteger(pid)) return null;
  const fields = text.slice(close + 2).split(' ');
  // fields[0] is field 3 of proc(5).
  const number = (field: number): number => Number(fields[field - 3]);
  const stat: StatLine = {
    pid,
    letter: fields[0] ?? '',
    parent: number(4),
    group: number(5),
    session: number(6),
    cpuTicks: number(14) + number(15),
    startTicks: number(22),
  };
  return Number.isSafeInteger(stat.startTicks) && stat.letter.length === 1 ? stat : null;
}

/** The stat of whatever runs under this pid now; null when nothing does. */
export function readStat(pid: number): StatLine | null {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch (error) {
    const code = systemCode(error);
    // ESRCH: it died between open and read.
    if (code === 'ENOENT' || code === 'ESRCH') {
      requireProcfs();
      return null;
    }
    throw error;
  }
  return parseStat(text);
}

export function stateOf(letter: string): ProcessState {
  switch (letter) {
    case 'T':
    case 't':
      return 'stopped';
    case 'D':
      return 'uninterruptible';
    case 'Z':
    case 'X':
    case 'x':
      return 'gone';
    default:
      return 'running';
  }
}

/** The named process as it stands; `gone` also for a zombie and for a pid that somebody else has now. */
export function inspectProcess(process: ProcessRef): ProcessFacts {
  const stat = readStat(process.pid);
  if (stat === null || stat.startTicks !== process.startTicks) return GONE;
  const state = stateOf(stat.letter);
  if (state === 'gone') return GONE;
  const { cpuTicks, letter } = stat;
  return { state, cpuTicks, rssBytes: residentBytes(process.pid), runnable: letter === 'R' };
}

/** A reference to a running process; null when it is gone already. */
export function refOf(pid: number): ProcessRef | null {
  const stat = readStat(pid);
  return stat === null ? null : { pid, startTicks: stat.startTicks };
}

/** Every process that can be seen. */
export function allProcesses(): StatLine[] {
  requireProcfs();
  const found: StatLine[] = [];
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const stat = readStat(Number(entry));
    if (stat !== null) found.push(stat);
  }
  return found;
}

/** Those whose working directory, as the kernel writes it, is one of these. */
export function* processesIn(these: (folder: string) => boolean): Iterable<number> {
  requireProcfs();
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    let folder: string;
    try {
      folder = withoutDeleted(readlinkSync(`/proc/${entry}/cwd`));
    } catch {
      continue; // gone, a zombie, or another user's
    }
    if (these(folder)) yield Number(entry);
  }
}

export interface ProcessPlace {
  readonly uid: number;
  readonly workingDirectory: string;
  readonly executable: string;
  /** The first word of the command line, without its folder. */
  readonly title: string;
}

/** Where a process runs and what it calls itself; null when it is gone or not ours to see. */
export function placeOf(pid: number): ProcessPlace | null {
  try {
    const commandLine = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    const first = commandLine.split(/[\0 ]/, 1)[0] ?? '';
    return {
      uid: statSync(`/proc/${pid}`).uid,
      workingDirectory: withoutDeleted(readlinkSync(`/proc/${pid}/cwd`)),
      executable: withoutDeleted(readlinkSync(`/proc/${pid}/exe`)),
      title: first.slice(first.lastIndexOf('/') + 1),
    };
  } catch {
    // Gone, a zombie, or another user's: in each case not an engine of ours.
    return null;
  }
}

function withoutDeleted(link: string): string {
  return link.endsWith(' (deleted)') ? link.slice(0, -' (deleted)'.length) : link;
}

/** VmRSS and not statm: pages are not 4 KB everywhere. */
function residentBytes(pid: number): number {
  try {
    const match = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'));
    return match === null ? 0 : Number(match[1]) * 1024;
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ESRCH') return 0;
    throw error;
  }
}

let procfsSeen = false;

/** Without /proc no process can be told from another, so nothing may be fenced. */
function requireProcfs(): void {
  if (procfsSeen) return;
  if (readOwnStat()) {
    procfsSeen = true;
    return;
  }
  throw new EngineError(
    'no-procfs',
    `this system (${process.platform}) has no /proc, by which engines are identified`,
    'Run Cinnabar on Linux; on Windows in WSL 2, on macOS in a Linux virtual machine.',
  );
}

function readOwnStat(): boolean {
  try {
    return parseStat(readFileSync('/proc/self/stat', 'latin1')) !== null;
  } catch {
    return false;
  }
}
