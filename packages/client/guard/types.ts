/**
 * The guard before anything runs: a type in which the methods that hurt cannot be called. What the
 * compiler then says contains the advice, because the advice is the type's name.
 */

export interface UseScan {
  readonly 'use scanStream() or scanIterator() instead of KEYS': never;
}
export interface UseFlushAsync {
  readonly 'use call("FLUSHALL", "ASYNC") instead': never;
}
export interface UseBgsave {
  readonly 'use BGSAVE instead of SAVE': never;
}
export interface UseEvents {
  readonly 'use SLOWLOG, COMMANDLOG or report() instead of MONITOR': never;
}

interface Advice {
  keys: UseScan;
  keysBuffer: UseScan;
  KEYS: UseScan;
  flushall: UseFlushAsync;
  flushAll: UseFlushAsync;
  FLUSHALL: UseFlushAsync;
  flushdb: UseFlushAsync;
  flushDb: UseFlushAsync;
  FLUSHDB: UseFlushAsync;
  save: UseBgsave;
  SAVE: UseBgsave;
  monitor: UseEvents;
  MONITOR: UseEvents;
}

/** `T` without its expensive methods; a value of type `T` may be given wherever this is asked for. */
export type Guarded<T> = Omit<T, keyof Advice> & {
  readonly [K in keyof Advice & keyof T]: Advice[K];
};

/** The same client, seen through `Guarded`. Nothing happens at run time; see `guard` of lanes() for that. */
export function guarded<T extends object>(redis: T): Guarded<T> {
  return redis as unknown as Guarded<T>;
}
