/**
 * What this machine has: cores, memory and disk, within the control groups that we live in. In a
 * container the machine's own figures promise what the kernel will not give.
 */
import { readFileSync, statfsSync } from 'node:fs';
import { availableParallelism, freemem, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import type { Room } from './capacity.ts';
import { parseMiniature } from './miniature.ts';
import type { SizingMachine } from './sizing.ts';

interface Memory {
  readonly totalBytes: number;
  readonly availableBytes: number;
}

/** Reads a small file; null when there is none (another kernel, another control group version). */
export type ReadText = (path: string) => string | null;

/** Cores that we may use, and the miniature setting of this environment. */
export function readSizingMachine(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): SizingMachine {
  return {
    cores: availableParallelism(),
    miniature: parseMiniature(environment['CINNABAR_MINIATURE']),
  };
}

/**
 * Memory and disk as `capacity.ts` wants them. `own` is what our engines hold now: resident memory,
 * and data files on the disk of `folder`.
 */
export function readRoom(
  folder: string,
  own: { readonly memoryBytes: number; readonly diskBytes: number },
): Room {
  const disk = statfsSync(folder);
  return {
    memory: { ...readMemory(readText), ownBytes: own.memoryBytes },
    disk: {
      totalBytes: disk.blocks * disk.bsize,
      availableBytes: disk.bavail * disk.bsize,
      ownBytes: own.diskBytes,
    },
  };
}

/** Bytes that this machine, or our control group, has left now. */
export function freeMemory(): number {
  return readMemory(readText).availableBytes;
}

/** Bytes that the disk of this folder has left for us now. */
export function freeDisk(folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}

/** The machine's memory, or less where a control group allows less. */
export function readMemory(read: ReadText): Memory {
  const machine = machineMemory(read);
  return controlGroups(read).reduce(
    (least, group) => ({
      totalBytes: Math.min(least.totalBytes, group.totalBytes),
      availableBytes: Math.min(least.availableBytes, group.availableBytes),
    }),
    machine,
  );
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // Absent here: the caller has another source.
    return null;
  }
}

function machineMemory(read: ReadText): Memory {
  const text = read('/proc/meminfo');
  const totalBytes = meminfo(text, 'MemTotal') ?? totalmem();
  // Kernels before 3.14 and other systems do not say what is available: free is the lower bound.
  return { totalBytes, availableBytes: meminfo(text, 'MemAvailable') ?? freemem() };
}

function meminfo(text: string | null, field: string): number | null {
  const match = text?.match(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm'));
  return match?.[1] === undefined ? null : Number(match[1]) * 1024;
}

/** Our own control group and its parents, each with its limit. */
function controlGroups(read: ReadText): Memory[] {
  const found: Memory[] = [];
  for (const line of (read('/proc/self/cgroup') ?? '').split('\n')) {
    const match = line.match(/^\d+:([^:]*):(\/.*)$/);
    const controllers = match?.[1];
    const path = match?.[2];
    if (controllers === undefined || path === undefined) continue;
    if (controllers === '') found.push(...walk(path, (at) => version2(read, at)));
    else if (controllers.split(',').includes('memory')) {
      found.push(...walk(path, (at) => version1(read, at)));
    }
  }
  return found;
}

function walk(path: string, one: (path: string) => Memory | null): Memory[] {
  const found: Memory[] = [];
  for (let at = path; ; at = dirname(at)) {
    const memory = one(at);
    if (memory !== null) found.push(memory);
    if (at === '/') return found;
  }
}

function version2(read: ReadText, path: string): Memory | null {
  const folder = join('/sys/fs/cgroup', path);
  const limit = number(read(join(folder, 'memory.max')));
  const used = number(read(join(folder, 'memory.current')));
  if (limit === null || used === null) return null;
  return within(limit, used, read(join(folder, 'memory.stat')), 'inactive_file');
}

function version1(read: ReadText, path: string): Memory | null {
  const folder = join('/sys/fs/cgroup/memory', path);
  const limit = number(read(join(folder, 'memory.limit_in_bytes')));
  const used = number(read(join(folder, 'memory.usage_in_bytes')));
  if (limit === null || used === null) return null;
  return within(limit, used, read(join(folder, 'memory.stat')), 'total_inactive_file');
}

/** The kernel drops cached file pages before it refuses memory, so they count as available. */
function within(limit: number, used: number, stat: string | null, field: string): Memory {
  const cached = number(stat?.match(new RegExp(`^${field} (\\d+)$`, 'm'))?.[1] ?? null) ?? 0;
  return {
    totalBytes: limit,
    availableBytes: Math.max(0, limit - Math.max(0, used - cached)),
  };
}

/** Null for 'max' (no limit) and for what is not a number. */
function number(text: string | null): number | null {
  const digits = text?.trim();
  return digits !== undefined && /^\d+$/.test(digits) ? Number(digits) : null;
}
