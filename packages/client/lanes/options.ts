/** What `lanes()` takes, with defaults filled in and checked. */
import { type DeadlineOptions, type Deadlines, deadlinesOf } from '../deadlines/classes.ts';
import { KitError } from '../errors.ts';
import type { GuardOptions } from '../guard/guard.ts';
import {
  BLOCKING_LANES_MAX,
  BULK_LANES_MAX,
  LANE_IDLE_MS,
  LARGE_BYTES,
  OFFLINE_AGE_MS,
  OFFLINE_BYTES_MAX,
  OFFLINE_CALLS_MAX,
  SMALL_LANES_MAX,
  STALL_MS,
} from '../limits.ts';
import type { RetryOptions } from '../retries/policy.ts';
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
  readonly stallMs: number;
  readonly retries: RetryOptions | false | undefined;
}

export function settingsOf(options: LanesOptions): LanesSettings {
  const smallMin = whole('small.min', options.small?.min ?? 1, 1);
  const smallMax = whole('small.max', options.small?.max ?? Math.max(SMALL_LANES_MAX, smallMin), 1);
  if (smallMin > smallMax) {
    throw new KitError(
      'ERR_CLIENT_OPTION',
      `small.min (${smallMin}) is more than small.max (${smallMax})`,
    );
  }
  const choose = options.choose ?? 'least-outstanding';
  if (choose !== 'least-outstanding' && choose !== 'round-robin') {
    throw new KitError(
      'ERR_CLIENT_OPTION',
      `choose must be 'least-outstanding' or 'round-robin', got ${String(choose)}`,
    );
  }
  const offline = options.offline;
  return {
    single: false,
    smallMin,
    smallMax,
    bulkMax: whole('bulk.max', options.bulk?.max ?? BULK_LANES_MAX, 0),
    blockingMax: whole('blocking.max', options.blocking?.max ?? BLOCKING_LANES_MAX, 1),
    choose,
    large: options.large,
    largeBytes: whole('largeBytes', options.largeBytes ?? LARGE_BYTES, 1),
    idleMs: whole('idleMs', options.idleMs ?? LANE_IDLE_MS, 1),
    offline: {
      calls: offline === false ? 0 : whole('offline.calls', offline?.calls ?? OFFLINE_CALLS_MAX, 0),
      bytes: offline === false ? 0 : whole('offline.bytes', offline?.bytes ?? OFFLINE_BYTES_MAX, 0),
      ageMs: offline === false ? 0 : whole('offline.ageMs', offline?.ageMs ?? OFFLINE_AGE_MS, 1),
    },
    deadlines: deadlinesOf(options.deadlines),
    stallMs: options.stallMs === false ? Number.POSITIVE_INFINITY : (options.stallMs ?? STALL_MS),
    retries: options.retries,
  };
}

function whole(name: string, value: number, least: number): number {
  if (Number.isInteger(value) && value >= least) return value;
  throw new KitError(
    'ERR_CLIENT_OPTION',
    `${name} must be a whole number from ${least} up, got ${value}`,
  );
}
