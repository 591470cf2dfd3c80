/**
 * Full jitter: any time between nothing and an exponentially growing cap, equally likely. With a
 * fixed or nearly fixed wait, the clients that one fault threw off come back together, and again
 * together; spread over the whole interval they do not.
 */
import { RECONNECT_BASE_MS, RECONNECT_CAP_MS } from '../limits.ts';

/** `attempt` counts from 1. */
export function fullJitter(
  attempt: number,
  baseMs: number,
  capMs: number,
  random: () => number = Math.random,
): number {
  const bound = Math.min(capMs, baseMs * 2 ** Math.min(attempt - 1, 30));
  return Math.round(random() * bound);
}

/** For `retryStrategy` (ioredis, iovalkey) and `reconnectStrategy` (redis): when to connect again. */
export function reconnectDelay(attempt: number): number {
  return Math.max(1, fullJitter(Math.max(1, attempt), RECONNECT_BASE_MS, RECONNECT_CAP_MS));
}
