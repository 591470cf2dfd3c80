/**
 * A slow or failing disk for one process, by strace, which holds back or answers its system calls.
 * A tracer that dies lets go of what it traces, so the fault cannot outlive it.
 *
 * Why syncs and renames: where blocks are only promised at a write, as ext4, xfs and btrfs do, a full
 * disk shows at the sync; and writes of all files cannot be told from writes to sockets.
 */
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import type { ProcessRef } from '../engine/contract.ts';
import type { Program } from '../engine/index.ts';
import { FaultError } from './errors.ts';
import { requireRef, until } from './processes.ts';

export type DiskEffect =
  /** Each call takes this much longer. */
  | { readonly delayMs: number }
  /** Each call is not done, and answers this. */
  | { readonly error: 'ENOSPC' | 'EIO' };

/** From the path. */
export const STRACE: Program = { file: 'strace', argsBefore: [] };

const SYNCS = 'fsync,fdatasync,sync_file_range,fallocate,rename,renameat,renameat2';
const WRITES = `write,writev,pwrite64,ftruncate,${SYNCS}`;

export interface Tracer {
  readonly process: ProcessRef;
  /** Rejects with FaultError when it could not attach. */
  readonly attached: Promise<void>;
}

export async function startTracer(
  ref: ProcessRef,
  effect: DiskEffect,
  files: readonly string[],
  strace: Program,
): Promise<Tracer> {
  const calls = files.length > 0 ? WRITES : SYNCS;
  const how =
    'delayMs' in effect
      ? `delay_enter=${Math.round(effect.delayMs * 1000)}`
      : `error=${effect.error}`;
  const child = spawn(
    strace.file,
    [
      ...strace.argsBefore,
      ...['-f', '-q', '-o', '/dev/null', '-e', `trace=${calls}`],
      ...['-e', `inject=${calls}:${how}`],
      ...files.flatMap((file) => ['-P', file]),
      ...['-p', String(ref.pid)],
    ],
    { stdio: ['ignore', 'ignore', 'pipe'], detached: true },
  );
  let said = '';
  child.stderr.on('data', (data: Buffer) => {
    said += data.toString();
  });
  const failed = new Promise<never>((_, reject) => {
    child.once('error', () => {
      reject(new FaultError('needs-strace', `${strace.file} could not be started: install strace`));
    });
    child.once('exit', () => {
      const denied = /not permitted/i.test(said);
      reject(new FaultError(denied ? 'needs-ptrace' : 'strace-failed', said.trim()));
    });
  });
  failed.catch(() => undefined); // After the attach its end is the end of the fault.
  const { pid } = child;
  if (pid === undefined) return failed;
  child.unref();
  const attached = until('strace is attached', () => isTracedBy(ref.pid, pid));
  return { process: requireRef(pid), attached: Promise.race([attached, failed]) };
}

async function isTracedBy(pid: number, tracer: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/status`, 'latin1');
  return new RegExp(`^TracerPid:\\s+${tracer}$`, 'm').test(status);
}
