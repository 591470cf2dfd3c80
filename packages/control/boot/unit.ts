/**
 * What systemd started is started again by it. It names the unit to the main process and to all that descend
 * from that: also to what is typed into a terminal, where that is a unit itself, as those of a desktop are. Such a
 * unit goes on when a process in it is killed, and brings nobody back.
 */
import { inspectProcess, refOf } from '../../engine/index.ts';
import { UNIT_ENDS_MS, UNIT_POLL_MS } from './limits.ts';

/** True when the unit of this environment ends, now that `parent` has. */
export async function isUnitOver(
  env: Readonly<Record<string, string | undefined>>,
  parent: number,
): Promise<boolean> {
  if (env['INVOCATION_ID'] === undefined) return false;
  const main = Number(env['SYSTEMD_EXEC_PID']);
  // Before 248 systemd did not name it.
  if (!(main > 0) || main === parent) return true;
  const process = refOf(main);
  // A program around the parent ends a moment after it.
  for (const began = performance.now(); performance.now() - began < UNIT_ENDS_MS; ) {
    if (process === null || inspectProcess(process).state === 'gone') return true;
    await new Promise((resolve) => setTimeout(resolve, UNIT_POLL_MS));
  }
  return false;
}
