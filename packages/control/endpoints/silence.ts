/**
 * A process of the endpoint that does not answer: busy, or hung? (`endpoint/supervision/hang.ts` for
 * workers with a supervisor; here for the supervisor itself and for workers without one.) It is hung
 * if it uses no CPU while it is watched, nor waits for any; and it is watched only when it has kept
 * somebody waiting for seconds.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { inspectProcess, refOf } from '../../engine/index.ts';
import { endedOrKilled, signalTo } from './launch.ts';
import { APPLY_WAIT_MS, STILL_LATE_MS, STILL_LOOK_MS, STILL_MS } from './limits.ts';

/** False also when this process was late itself, and so saw too little. */
export async function isStill(pid: number): Promise<boolean> {
  const ref = refOf(pid);
  if (ref === null) return false;
  const first = inspectProcess(ref);
  let lookedAt = performance.now();
  const end = lookedAt + STILL_MS;
  while (lookedAt < end) {
    await new Promise((resolve) => setTimeout(resolve, STILL_LOOK_MS));
    const { state, cpuTicks, runnable } = inspectProcess(ref);
    const now = performance.now();
    // Who waits for a device goes on by itself, and would not die of a signal before that.
    if (state === 'gone' || state === 'uninterruptible' || runnable) return false;
    if (cpuTicks !== first.cpuTicks) return false;
    if (now - lookedAt > STILL_LATE_MS) return false;
    lookedAt = now;
  }
  return true;
}

/** True if it was hung: it is killed then. */
export async function killIfStill(pid: number): Promise<boolean> {
  if (!(await isStill(pid))) return false;
  signalTo(pid, 'SIGKILL');
  return true;
}

/** The one of this run folder, if it hangs: killed, and gone when this resolves. */
export async function killHungSupervisor(folder: string): Promise<number | null> {
  for (const pid of supervisorsOf(folder)) {
    if (!(await killIfStill(pid))) continue;
    await endedOrKilled([pid], APPLY_WAIT_MS);
    return pid;
  }
  return null;
}

function supervisorsOf(folder: string): number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.map(Number).filter((pid) => {
    try {
      const [, program = '', argument] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      return argument === folder && /\/supervisor\.[jt]s$/.test(program);
    } catch {
      return false; // gone
    }
  });
}
