/**
 * The guard before anything runs: a type in which the methods that hurt cannot be called. What the
 * compiler then says contains the advice, because the advice is in the type that it names: written out
 * where it stands, since of an interface or an alias only the name would be shown.
 */

type Scan = 'keys' | 'keysBuffer' | 'KEYS';
type Flush = 'flushall' | 'flushAll' | 'FLUSHALL' | 'flushdb' | 'flushDb' | 'FLUSHDB';
type Save = 'save' | 'SAVE';
type Monitor = 'monitor' | 'MONITOR';

/** `T` without its expensive methods; FLUSHALL and FLUSHDB with ASYNC are none, as to `guard` of lanes(). */
export type Guarded<T> = Omit<T, Scan | Flush | Save | Monitor> & {
  readonly [K in Scan & keyof T]: {
    readonly 'use scanStream() or scanIterator() instead of KEYS': never;
  };
} & {
  readonly [K in Flush & keyof T]: T[K] extends (...args: never[]) => infer Reply
    ? {
        (mode: 'ASYNC'): Reply;
        (
          this: { readonly "use it with 'ASYNC', which frees in the background": never },
          mode?: string,
        ): never;
      }
    : T[K];
} & {
  readonly [K in Save & keyof T]: { readonly 'use BGSAVE instead of SAVE': never };
} & {
  readonly [K in Monitor & keyof T]: {
    readonly 'use SLOWLOG, COMMANDLOG or report() instead of MONITOR': never;
  };
};

/** The same client, seen through `Guarded`. Nothing happens at run time; see `guard` of lanes() for that. */
export function guarded<T extends object>(redis: T): Guarded<T> {
  return redis as unknown as Guarded<T>;
}
