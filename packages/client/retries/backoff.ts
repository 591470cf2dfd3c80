/**
 * Full jitter: any time between nothing and an exponentially growing cap, equally likely. With a
 * fixed or nearly fixed wait, the clients that one fault threw off come back together, and again
 * together; spread over the whole interval they do not.
 */
import {
  RECONNECT_BASE_MS,
  RECONNECT_CAP_MS,
  RECONNECT_GROWTH,
  RECONNECT_LEISURE_MS,
  RECONNECT_STEPS_MAX,
} from '../limits.ts';

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

/**
 * For `retryStrategy` (ioredis, iovalkey) and `reconnectStrategy` (redis): when to connect again.
 *
 * The bound grows slowly, so that it stays about half of the time that the server has been away: after a
 * failover of a second a client is back within some 0.2 s, and a fleet spreads over half a second; after
 * minutes it spreads over five. Doubling overshoots: after one second away, the next attempt came up to
 * three seconds later.
 */
export function reconnectDelay(attempt: number, random: () => number = Math.random): number {
  const grown = RECONNECT_GROWTH ** Math.min(Math.max(1, attempt) - 1, RECONNECT_STEPS_MAX);
  return Math.max(1, Math.round(random() * Math.min(RECONNECT_CAP_MS, RECONNECT_BASE_MS * grown)));
}

/** The first attempt of a connection that nobody waits for: it gives way to those that somebody does. */
export function leisurely(random: () => number = Math.random): number {
  return Math.max(1, Math.round(random() * RECONNECT_LEISURE_MS));
}

/** `reconnectStrategy` of node-redis, which counts from 0. The library makes its first attempt at once, whatever it says. */
export function nodeReconnect(retries: number): number {
  return reconnectDelay(retries + 1);
}
