/** What `lanes()` takes, with defaults filled in and checked. */
import {
  type Check,
  callback,
  duration,
  either,
  instance,
  list,
  oneOf,
  orSwitch,
  shape,
  text,
  whole,
} from '../checks.ts';
import { type DeadlineOptions, type Deadlines, deadlinesOf } from '../deadlines/classes.ts';
import { type GuardOptions, guardShape } from '../guard/guard.ts';
import {
  BLOCKING_LANES_MAX,
  BULK_LANES_MAX,
  DEADLINE_CONNECT_MS,
  IDLE_PING_MS,
  LANE_IDLE_MS,
  LARGE_BYTES,
  OFFLINE_AGE_MS,
  OFFLINE_BYTES_MAX,
  OFFLINE_CALLS_MAX,
  SMALL_LANES_MAX,
  STALL_MS,
} from '../limits.ts';
import { type RetryOptions, retryShape } from '../retries/policy.ts';
import type { LargeRule } from './learn.ts';
import type { OfflineOptions } from './offline.ts';

export interface LanesOptions {
  /** Connections for small commands: so many from the start, so many at most. */
  readonly small?: { readonly min?: number; readonly max?: number };
  readonly bulk?: { readonly max?: number };
  readonly blocking?: { readonly max?: number };
  readonly choose?: 'least-outstanding' | 'round-robin';
  /** Keys that hold large values (globs or expressions), or a function of command and key. */
  readonly large?: LargeRule;
  /** From this size on a reply or request is large. */
  readonly largeBytes?: number;
  /** Lanes above the minimum are closed after this long without use. */
  readonly idleMs?: number;
  /** Calls that may wait for a connection; false: fail at once. */
  readonly offline?: Partial<OfflineOptions> | false;
  readonly deadlines?: DeadlineOptions | false;
  /** A connection with work pending that brings no byte for so long is destroyed; false: never. */
  readonly stallMs?: number | false;
  /** A connection that brought nothing for so long is sent a PING, and ends if it does not answer; false: never. */
  readonly pingMs?: number | false;
  readonly retries?: RetryOptions | false;
  /** true: throw in development, warn when NODE_ENV is production. */
  readonly guard?: GuardOptions | boolean;
}

export interface LanesSettings {
  /** One connection for everything, as it was: harden() and observe(). */
  readonly single: boolean;
  readonly smallMin: number;
  readonly smallMax: number;
  readonly bulkMax: number;
  readonly blockingMax: number;
  readonly choose: 'least-outstanding' | 'round-robin';
  readonly large: LargeRule | undefined;
  readonly largeBytes: number;
  readonly idleMs: number;
  readonly offline: OfflineOptions;
  readonly deadlines: Deadlines | undefined;
  /** How long connect() may take, and a server to say anything to a connection that is being made. */
  readonly connectMs: number;
  readonly stallMs: number;
  readonly pingMs: number;
  readonly retries: RetryOptions | false | undefined;
}

const tuning: Readonly<Record<string, Check>> = {
  large: either(list(either(text, instance(RegExp))), callback),
  largeBytes: whole(1),
  idleMs: duration,
  offline: orSwitch(shape({ calls: whole(0), bytes: whole(0), ageMs: duration }), false),
  deadlines: orSwitch(
    shape({
      connectMs: duration,
      fastMs: duration,
      slowMs: duration,
      bulkMs: duration,
      blockingGraceMs: duration,
    }),
    false,
  ),
  stallMs: orSwitch(duration, false),
  pingMs: orSwitch(duration, false),
  retries: orSwitch(retryShape, false),
  guard: orSwitch(guardShape, false, true),
};

export const hardenShape = shape(tuning);

const eachLane = shape({
  small: shape({ min: whole(1), max: whole(1) }),
  bulk: shape({ max: whole(0) }),
  blocking: shape({ max: whole(1) }),
  choose: oneOf('least-outstanding', 'round-robin'),
  ...tuning,
});

export const lanesShape: Check = (value, name) => {
  const wrong = eachLane(value, name);
  if (wrong !== undefined) return wrong;
  const { min = 1, max = min } = (value as LanesOptions).small ?? {};
  return min > max ? `small.min (${min}) is more than small.max (${max})` : undefined;
};

/** Of options that were checked. */
export function settingsOf(options: LanesOptions): LanesSettings {
  const smallMin = options.small?.min ?? 1;
  const smallMax = options.small?.max ?? Math.max(SMALL_LANES_MAX, smallMin);
  const { offline } = options;
  return {
    single: false,
    smallMin,
    smallMax,
    bulkMax: options.bulk?.max ?? BULK_LANES_MAX,
    blockingMax: options.blocking?.max ?? BLOCKING_LANES_MAX,
    choose: options.choose ?? 'least-outstanding',
    large: options.large,
    largeBytes: options.largeBytes ?? LARGE_BYTES,
    idleMs: options.idleMs ?? LANE_IDLE_MS,
    offline:
      offline === false
        ? { calls: 0, bytes: 0, ageMs: 0 }
        : {
            calls: offline?.calls ?? OFFLINE_CALLS_MAX,
            bytes: offline?.bytes ?? OFFLINE_BYTES_MAX,
            ageMs: offline?.ageMs ?? OFFLINE_AGE_MS,
          },
    deadlines: deadlinesOf(options.deadlines),
    connectMs:
      options.deadlines === false
        ? Number.POSITIVE_INFINITY
        : (options.deadlines?.connectMs ?? DEADLINE_CONNECT_MS),
    stallMs: options.stallMs === false ? Number.POSITIVE_INFINITY : (options.stallMs ?? STALL_MS),
    pingMs: options.pingMs === false ? Number.POSITIVE_INFINITY : (options.pingMs ?? IDLE_PING_MS),
    retries: options.retries,
  };
}
