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
import type { ProcessName } from '../supervisor-protocol.ts';
import { statFields } from './stat.ts';

export function giveWeightBack(processes: readonly ProcessName[]): void {
  let left = processes.filter(givesWay);
  let tries = 0;
  const again = (): void => {
    // The first that is refused is not the last.
    while (left[0] !== undefined && giveBack(left[0]) === 'done') left = left.slice(1);
    if (left.length > 0 && ++tries < WEIGHT_TRIES) setTimeout(again, WEIGHT_RETRY_MS).unref();
  };
  again();
}

const fileOf = ({ pid }: ProcessName): string => `/proc/${pid}/autogroup`;

function givesWay(process: ProcessName): boolean {
  try {
    return (
      isThere(process) && !readFileSync(fileOf(process), 'latin1').trimEnd().endsWith(' nice 0')
    );
  } catch {
    return false;
  }
}

/** Still itself, and not a stranger who has its pid by now. */
function isThere({ pid, startTicks }: ProcessName): boolean {
  return Number(statFields(pid)?.[19]) === startTicks; // field 22
}

function giveBack(process: ProcessName): 'done' | 'later' {
  try {
    if (isThere(process)) writeFileSync(fileOf(process), '0');
    return 'done';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EAGAIN' ? 'later' : 'done';
  }
}
