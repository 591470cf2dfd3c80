/**
 * The log: JSON lines on standard output, which the parent keeps in a file. One line an event, one
 * line a refusal, nothing per command. Secrets are not passed here; what looks like one is removed
 * all the same, because a log outlives the care of whoever wrote the call.
 */
import { type Logger, pino } from 'pino';

const SECRET_PATHS = [
  'password',
  'token',
  'primaryKey',
  'secondaryKey',
  'authorization',
  'secrets',
];

export function openLog(): Logger {
  return pino({
    base: { pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: { paths: SECRET_PATHS.flatMap((each) => [each, `*.${each}`]), censor: '[removed]' },
  });
}
