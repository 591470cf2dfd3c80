/**
 * Engines that may be elected give way to nobody. One that fills does (`engine/weights.ts` says how), and
 * has its weight back from the control process when it is whole; while that is away, nobody else gives it
 * back, and the cluster might elect an engine that then serves behind all others.
 *
 * The kernel takes one such write in a tenth of a second from a user, and refuses the others. What it does
 * not take at all (another system, a process that is gone) stays as it is.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { WEIGHT_RETRY_MS, WEIGHT_TRIES } from '../limits.ts';

export function giveWeightBack(pids: readonly number[]): void {
  let left = pids.filter(givesWay);
  let tries = 0;
  const again = (): void => {
    // The first that is refused is not the last.
    while (left.length > 0 && giveBack(left[0] ?? 0) === 'done') left = left.slice(1);
    if (left.length > 0 && ++tries < WEIGHT_TRIES) setTimeout(again, WEIGHT_RETRY_MS).unref();
  };
  again();
}

const fileOf = (pid: number): string => `/proc/${pid}/autogroup`;

function givesWay(pid: number): boolean {
  try {
    return !readFileSync(fileOf(pid), 'latin1').trimEnd().endsWith(' nice 0');
  } catch {
    return false;
  }
}

function giveBack(pid: number): 'done' | 'later' {
  try {
    writeFileSync(fileOf(pid), '0');
    return 'done';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EAGAIN' ? 'later' : 'done';
  }
}
