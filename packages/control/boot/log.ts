/**
 * The log: JSON lines on standard output, which the parent keeps in a file. One line an event, one
 * line a refusal, nothing per command. Secrets are not passed here; what looks like one is removed
 * all the same, because a log outlives the care of whoever wrote the call.
 */
import { destination, type Logger, pino } from 'pino';

const SECRET_PATHS = [
  'password',
  'token',
  'primaryKey',
  'secondaryKey',
  'authorization',
  'secrets',
];

/** Lines that could not be written yet; beyond, new ones are dropped. */
const UNWRITTEN_BYTES = 1024 * 1024;

export function openLog(): Logger {
  const output = destination({ fd: process.stdout.fd, sync: false, maxLength: UNWRITTEN_BYTES });
  // A full disk must not end the process that looks after the caches: lines are kept, then dropped.
  output.on('error', () => undefined);
  const options = {
    base: { pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: { paths: SECRET_PATHS.flatMap((each) => [each, `*.${each}`]), censor: '[removed]' },
  };
  return pino(options, output);
}
