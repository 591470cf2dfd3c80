/** Processes as the benchmarks see them: by pid and start time, never by pid alone. */
import { readFileSync } from 'node:fs';
import {
  exitOf,
  inspectProcess,
  type ProcessRef,
  refOf,
  requireRef,
  run,
  signal,
  until,
} from '../faults/index.ts';
import { STOP_DEADLINE_MS } from './limits.ts';

export { exitOf, inspectProcess, type ProcessRef, refOf, requireRef, run, signal, until };

/** SIGTERM, then SIGKILL at the deadline; resolves when it is gone. */
export async function endProcess(ref: ProcessRef, deadlineMs = STOP_DEADLINE_MS): Promise<void> {
  const gone = (): boolean => inspectProcess(ref).state === 'gone';
  if (!signal(ref, 'SIGTERM')) return;
  // A stopped process takes no SIGTERM until it goes on.
  signal(ref, 'SIGCONT');
  try {
    await until(`process ${ref.pid} ends`, gone, deadlineMs);
  } catch {
    signal(ref, 'SIGKILL');
    await until(`process ${ref.pid} is killed`, gone, deadlineMs);
  }
}

/** Resident bytes that belong to this process alone: shared libraries would count for each. */
export function privateBytes(pid: number): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1');
  let total = 0;
  for (const match of text.matchAll(/^Private_(?:Clean|Dirty):\s+(\d+) kB/gm)) {
    total += Number(match[1]) * 1024;
  }
  return total;
}
