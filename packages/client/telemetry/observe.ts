/**
 * harden() and observe(): the kit around a client that the application has made already, one
 * connection as it was. harden() adds deadlines, retries and the guard to what it reports; observe()
 * adds nothing but the reasons: a command that is late fails with an error that says why.
 */
import { isIoredis } from '../adapters/ioredis-shape.ts';
import { check, duration, shape } from '../checks.ts';
import { wrapOne } from '../lanes/lanes.ts';
import { hardenShape, type LanesOptions } from '../lanes/options.ts';

export type HardenOptions = Omit<LanesOptions, 'small' | 'bulk' | 'blocking' | 'choose'>;

/** The client itself (node-redis) or an object of its very type in its place (ioredis, iovalkey). */
export function harden<T extends object>(redis: T, options: HardenOptions = {}): T {
  check('harden()', options, hardenShape);
  return wrapOne('harden()', redis, options);
}

/** `timeoutMs`: how long a command may take; by default as the client's own `commandTimeout` says, else for ever. */
export function observe<T extends object>(
  redis: T,
  options: { readonly timeoutMs?: number } = {},
): T {
  check('observe()', options, shape({ timeoutMs: duration }));
  const timeoutMs = options.timeoutMs ?? ownTimeout(redis);
  const deadlines =
    timeoutMs === undefined
      ? (false as const)
      : {
          connectMs: Number.POSITIVE_INFINITY,
          fastMs: timeoutMs,
          slowMs: timeoutMs,
          bulkMs: timeoutMs,
        };
  return wrapOne('observe()', redis, {
    deadlines,
    retries: { attempts: 1, breaker: false, reconnect: 'client' },
    stallMs: false,
    pingMs: false,
  });
}

function ownTimeout(redis: object): number | undefined {
  if (!isIoredis(redis)) return undefined;
  return redis.options.commandTimeout ?? redis.options.redisOptions?.commandTimeout;
}
