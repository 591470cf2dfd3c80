/** No API on a data folder: because nothing runs there, it is not ready yet, or its disk is full. */
import { statfsSync } from 'node:fs';
import { CliError } from '../errors.ts';
import { DISK_FULL_BYTES } from '../limits.ts';
import { processesOf } from '../orphans.ts';
import { userId } from '../self.ts';

/** The control process runs in its data folder; without an API it starts, or stops. */
export function isUnderWay(home: string): boolean {
  return processesOf({ home, runDir: home }).some(({ command }) =>
    /control\/boot\/run\.[jt]s\b/.test(command),
  );
}

/** So full that a control process that was started again could not record its own start. */
export function isFull(home: string): boolean {
  try {
    const { blocks, bfree, bavail, bsize } = statfsSync(home);
    return blocks > 0 && (userId() === 0 ? bfree : bavail) * bsize < DISK_FULL_BYTES;
  } catch {
    return false; // There is no such folder: then that is what is wrong.
  }
}

export function absent(home: string): CliError {
  const [exit, code, message, remedy] = isUnderWay(home)
    ? ([
        'underWay',
        'start-under-way',
        `Cinnabar is starting (or stopping) on ${home}`,
        'Wait for it: cinnabar status',
      ] as const)
    : ([
        'notRunning',
        'not-running',
        `No Cinnabar runs on ${home}`,
        'Start it: cinnabar up   (another data folder: --home, or CINNABAR_HOME)',
      ] as const);
  if (!isFull(home)) return new CliError(exit, code, `${message}.`, remedy);
  return new CliError(
    exit,
    'disk-full',
    `${message}, and the disk there is full: nothing can be recorded.`,
    `Free some space (see: df -h ${home}); what runs goes on by itself, else: cinnabar up`,
  );
}
