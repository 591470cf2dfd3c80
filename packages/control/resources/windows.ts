/**
 * Maintenance windows as Azure has them: weekly, in UTC, from the hour on, at least two of them, each of
 * four hours or more, at least eighteen a week. Pure.
 */
import { ControlError } from '../errors.ts';
import {
  LEAST_WINDOW_MINUTES,
  LEAST_WINDOWS,
  LEAST_WINDOWS_MINUTES,
  MOST_WINDOW_MINUTES,
} from './limits.ts';

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const WEEK_DAYS = 7;
const MOST_WINDOW_MS = MOST_WINDOW_MINUTES * MINUTE_MS;

interface Weekly {
  /** 0: Sunday. */
  readonly day: number;
  readonly startHour: number;
  readonly minutes: number;
}

/** One occurrence; ms since 1970. */
export interface Window {
  readonly startsAt: number;
  readonly endsAt: number;
}

/** `config`: Azure's `maintenanceConfiguration` as it was written; throws where Azure would. */
export function checkWindows(config: unknown): void {
  const windows = weekly(config);
  if (windows.length === 0) return;
  const short = windows.find(
    ({ minutes }) => minutes < LEAST_WINDOW_MINUTES || minutes > MOST_WINDOW_MINUTES,
  );
  const sum = windows.reduce((all, { minutes }) => all + minutes, 0);
  if (short === undefined && windows.length >= LEAST_WINDOWS && sum >= LEAST_WINDOWS_MINUTES) {
    return;
  }
  throw new ControlError(
    'InvalidParameter',
    400,
    `maintenanceWindows: at least ${LEAST_WINDOWS} a week, each of ${LEAST_WINDOW_MINUTES / 60} to ${MOST_WINDOW_MINUTES / 60} hours, together at least ${LEAST_WINDOWS_MINUTES / 60} hours; got ${windows.length} of ${windows.map((each) => `${each.minutes / 60} h`).join(', ')}. An empty list removes them: then nothing is maintained unasked.`,
    'properties.maintenanceConfiguration.maintenanceWindows',
  );
}

/** The window that is open, or the next one that opens; null when there are none. */
export function nextWindow(config: unknown, now: number): Window | null {
  const midnight = Math.floor(now / DAY_MS) * DAY_MS;
  const today = new Date(now).getUTCDay();
  const all = weekly(config).flatMap(({ day, startHour, minutes }) =>
    // Also the one of a week ago, which may reach over midnight; and the next one after today's.
    [-WEEK_DAYS, 0, WEEK_DAYS].map((shift): Window => {
      const startsAt = midnight + (day - today + shift) * DAY_MS + startHour * HOUR_MS;
      return { startsAt, endsAt: startsAt + minutes * MINUTE_MS };
    }),
  );
  const ahead = all.filter(({ endsAt }) => endsAt > now).sort((a, b) => a.startsAt - b.startsAt);
  return ahead[0] ?? null;
}

/**
 * Until when windows were used or skipped, as it was recorded; 0: not at all. What lies further ahead than any
 * window can was recorded while the clock was, and would keep maintenance away until then.
 */
export function recordedUntil(until: number | undefined, now: number): number {
  if (until === undefined || until > now + WEEK_DAYS * DAY_MS + MOST_WINDOW_MS) return 0;
  return until;
}

/** Of windows that overlap only the one that was skipped: what is left of the next one is open. */
export function isSkipped({ startsAt }: Window, skippedUntil: number, now: number): boolean {
  return skippedUntil > Math.max(startsAt, now);
}

export function windowCount(config: unknown): number {
  return weekly(config).length;
}

function weekly(config: unknown): Weekly[] {
  const list = (config as { maintenanceWindows?: unknown } | null | undefined)?.maintenanceWindows;
  if (!Array.isArray(list)) return [];
  return list.map((each: { duration: string; startHourUtc: number; schedule: unknown }) => ({
    day: DAYS.indexOf((each.schedule as { dayOfWeek: string }).dayOfWeek),
    startHour: each.startHourUtc,
    minutes: minutesOf(each.duration),
  }));
}

/** ISO 8601, hours and minutes: 'PT5H', 'PT4H30M'. */
function minutesOf(duration: string): number {
  const [, hours = '0', minutes = '0'] = /^PT(?:(\d+)H)?(?:(\d+)M)?$/.exec(duration) ?? [];
  return Number(hours) * 60 + Number(minutes);
}
