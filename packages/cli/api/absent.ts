/** No API on a data folder: because nothing runs there, or because it is not ready yet. */
import { CliError } from '../errors.ts';
import { processesOf } from '../orphans.ts';

/** The control process runs in its data folder; without an API it starts, or stops. */
export function isUnderWay(home: string): boolean {
  return processesOf({ home, runDir: home }).some(({ command }) =>
    /control\/boot\/run\.[jt]s\b/.test(command),
  );
}

export function absent(home: string): CliError {
  if (isUnderWay(home)) {
    return new CliError(
      'underWay',
      'start-under-way',
      `Cinnabar is starting (or stopping) on ${home}.`,
      'Wait for it: cinnabar status',
    );
  }
  return new CliError(
    'notRunning',
    'not-running',
    `No Cinnabar runs on ${home}.`,
    'Start it: cinnabar up   (another data folder: --home, or CINNABAR_HOME)',
  );
}
