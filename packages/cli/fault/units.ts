/** Times and sizes as people type them. */
import { MAX_FAULT_MS } from '../../faults/index.ts';
import { CliError } from '../errors.ts';

const TIME_UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };
const SIZE_UNITS: Readonly<Record<string, number>> = {
  '': 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
};
const DAY_MS = 24 * 3_600_000;
/** A clock that is further off meets certificates that are not valid: another thing to rehearse. */
const MAX_JUMP_MS = 30 * DAY_MS;

/** '500ms', '5s', '2m', '1h' to milliseconds. */
export function durationOf(option: string, text: string): number {
  const ms = parseTime(text);
  if (ms > 0 && ms <= MAX_FAULT_MS) return ms;
  throw usage(
    `${option}: '${text}' is not a time such as 500ms, 30s or 2m, at most ${MAX_FAULT_MS / 3_600_000}h.`,
  );
}

/** As a duration, but with a sign: '-2h', '+90s'; to whole seconds. */
export function jumpOf(option: string, text: string): number {
  const match = /^([+-]?)(.*)$/.exec(text);
  const ms = parseTime(match?.[2] ?? '');
  const seconds = Math.round(ms / 1000);
  if (seconds >= 1 && ms <= MAX_JUMP_MS) return match?.[1] === '-' ? -seconds : seconds;
  throw usage(
    `${option}: '${text}' is not a step in time such as -2h or +90s, at least one second.`,
  );
}

/** '1000', '100kb', '200mb', '1gb' to bytes. */
export function bytesOf(option: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)(|kb|mb|gb)$/i.exec(text);
  const bytes = Number(match?.[1]) * (SIZE_UNITS[match?.[2]?.toLowerCase() ?? ''] ?? Number.NaN);
  if (bytes >= 1) return Math.round(bytes);
  throw usage(`${option}: '${text}' is not a size such as 100kb or 200mb.`);
}

function parseTime(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text);
  return Number(match?.[1]) * (TIME_UNITS[match?.[2] ?? ''] ?? Number.NaN);
}

export function usage(message: string): CliError {
  return new CliError('usage', 'bad-option', message, 'See: cinnabar fault --help');
}
