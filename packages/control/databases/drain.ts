/**
 * A replica of a dead primary is asked until it has read the stream to its end: for a few milliseconds,
 * with nothing in between, because clients wait. Each answer counts from when it was asked for.
 */
import type { EngineLink, StreamFacts } from '../../engine/contract.ts';
import { DRAIN_POLL_MS } from '../plan/limits.ts';
import type { Clock } from './clock.ts';
import { DRAIN_TURN_MS, FACTS_DEADLINE_MS } from './limits.ts';

/** `heard` answers whether it wants to hear more. */
export async function drain(
  link: EngineLink,
  clock: Clock,
  heard: (stream: StreamFacts & { readonly loading: boolean }, askedAt: number) => boolean,
): Promise<void> {
  const end = clock.ticks() + DRAIN_TURN_MS;
  for (;;) {
    const askedAt = clock.ticks();
    const stream = await link.drained(FACTS_DEADLINE_MS);
    if (!heard(stream, askedAt)) return;
    if (stream.link === 'down' || stream.role === 'primary' || clock.ticks() >= end) return;
    await clock.sleep(DRAIN_POLL_MS);
  }
}
