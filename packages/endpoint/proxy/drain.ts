/**
 * How a path that is replaced lets its clients go: between two commands.
 *
 * A client that has nothing under way may be about to send, and RESP has no word for "go elsewhere".
 * What reaches us behind our FIN is read and not executed, and its client cannot tell. So the moment
 * between looking at a socket and its FIN must be short, and well chosen:
 * - Who leaves was looked for in the kernel less than a millisecond ago, else it is asked again. All
 *   at once took tens of milliseconds, in which the last ones had sent long before their FIN: of 100
 *   clients with 10 ms between two commands three in four were closed with one under way.
 * - At first only who has been silent for a moment: programs ask several things in a row, and between
 *   two of them the next one is certain to be under way. Who never pauses goes a little later.
 */
import { setImmediate as turn } from 'node:timers/promises';
import {
  DRAIN_FRESH_MS,
  DRAIN_PAUSES_MS,
  DRAIN_SILENT_MS,
  DRAIN_STALE_MS,
  LANE_RETRY_MS,
} from './limits.ts';
import type { ProxyPath } from './proxy.ts';
import type { Session } from './session.ts';

/** Resolves when the last one is gone; at the deadline all go, whatever is under way. */
export async function drain(proxy: ProxyPath, deadlineAt: number): Promise<void> {
  const pausesUntil = performance.now() + DRAIN_PAUSES_MS;
  let askedAt = Number.NEGATIVE_INFINITY;
  const stale = (): boolean => performance.now() - askedAt > DRAIN_STALE_MS;
  const askKernel = async (): Promise<void> => {
    do {
      askedAt = performance.now();
      await turn();
      // A process that was kept from running is late as well; one that always is has to go on.
    } while (stale() && askedAt < pausesUntil);
  };
  while (proxy.sessions.size > 0) {
    await new Promise((resolve) => setTimeout(resolve, LANE_RETRY_MS));
    for (const session of [...proxy.sessions.values()]) {
      if (performance.now() >= deadlineAt) session.end('drained');
      else if (mayGo(session, pausesUntil)) {
        if (stale()) await askKernel();
        if (mayGo(session, pausesUntil)) session.endWhenQuiet('drained');
      }
    }
  }
}

function mayGo(session: Session, pausesUntil: number): boolean {
  if (session.gone || !session.atBoundary) return false;
  // It has connected and not yet said what for: its first command is on its way and is answered.
  const wordless = session.activeAt === session.bornAt;
  const now = performance.now();
  if (wordless && now - session.bornAt < DRAIN_FRESH_MS) return false;
  return now >= pausesUntil || now - session.activeAt >= DRAIN_SILENT_MS;
}
