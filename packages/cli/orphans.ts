/**
 * Processes of one data folder, found without asking anybody: by /proc. A process of ours carries the
 * data folder or the socket folder in its arguments (control carries neither: it is told over its
 * channel, and known by control.json), so a killed control process can be told from its engines.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import path from 'node:path';
import type { Folders } from './folders.ts';
import { userId } from './self.ts';

export interface FoundProcess {
  readonly pid: number;
  readonly command: string;
}

export function processesOf(folders: Pick<Folders, 'home' | 'runDir'>): FoundProcess[] {
  const found: FoundProcess[] = [];
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) continue;
    const facts = look(entry);
    if (facts === null || facts.uid !== userId()) continue;
    if (!facts.args.some((arg) => within(arg, folders)) && !within(facts.cwd, folders)) continue;
    if (isClient(facts.args)) continue;
    found.push({ pid: Number(entry), command: facts.args.join(' ') });
  }
  return found;
}

/** A path in an argument, alone or after '=' or a scheme. */
function within(text: string, folders: Pick<Folders, 'home' | 'runDir'>): boolean {
  return [folders.home, folders.runDir].some((folder) => {
    const at = text.indexOf(folder);
    if (at < 0) return false;
    const after = text[at + folder.length];
    return after === undefined || after === path.sep || after === '"' || after === ',';
  });
}

/** Someone's `tail -f <log>` or editor is not a process of ours, nor is a command line of `cinnabar`. */
function isClient(args: readonly string[]): boolean {
  const program = path.basename(args[0] ?? '');
  const engine = /^(valkey|redis)-server|^ld-linux/.test(program);
  const node =
    /^node(\d+)?$/.test(program) && args.some((arg) => /packages\/(control|endpoint)\//.test(arg));
  return !engine && !node;
}

interface ProcessLook {
  readonly args: readonly string[];
  readonly cwd: string;
  readonly uid: number;
}

function look(pid: string): ProcessLook | null {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    if (/^State:\s+[ZX]/m.test(status)) return null;
    const uid = Number(/^Uid:\s+(\d+)/m.exec(status)?.[1] ?? -1);
    const args = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').filter(Boolean);
    let cwd = '';
    try {
      cwd = readlinkSync(`/proc/${pid}/cwd`);
    } catch {
      // Another user's: it is left out by its uid anyway.
    }
    return { args, cwd, uid };
  } catch {
    // It ended between the listing and the look.
    return null;
  }
}

export function isAlive(pid: number): boolean {
  return look(String(pid)) !== null;
}
