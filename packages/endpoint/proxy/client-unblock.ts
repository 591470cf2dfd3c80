/** CLIENT UNBLOCK: who waits in an engine is told by that engine, on another connection. */
import type { Lane } from './lane.ts';
import { LANE_CONNECT_MS, LANE_RETRY_MS } from './limits.ts';
import type { ProxyPath } from './proxy.ts';
import type { Session } from './session.ts';
import { waiting } from './waiting.ts';

/** 1 when the client is here and waited. */
export function unblockHere(proxy: ProxyPath, id: number, how: string): Promise<number> {
  const found = [...proxy.sessions.values()].find((session) => session.client.number === id);
  if (found === undefined) return Promise.resolve(0);
  if (endedHere(found, how)) return Promise.resolve(1);
  const lane = found.lanes.own;
  if (lane === null || lane.inFlight === 0) return Promise.resolve(0);
  const { shard, login } = lane;
  const group = shard.group({ ...login, protocol: 2, tracking: null, noTouch: false });
  const until = performance.now() + LANE_CONNECT_MS;
  let tries = 0;
  return new Promise((resolve) => {
    const tell = (): void => {
      if (endedHere(found, how)) return resolve(1);
      if (lane.inFlight === 0 || performance.now() > until) return resolve(0);
      const via = shard.smallLane(group);
      if (via === null) setTimeout(tell, LANE_RETRY_MS);
      else say(via);
    };
    const say = (via: Lane): void => {
      found.unblocked = true;
      via.question(['CLIENT', 'UNBLOCK', String(lane.engineClient), how], (reply) => {
        if (reply?.toString('latin1') === ':1\r\n') return resolve(1);
        found.unblocked = false;
        // Given back by the engine or handed to it in this moment: what it answered, or was asked, is on its way.
        if (++tries < TRIES) setTimeout(tell, LANE_RETRY_MS);
        else resolve(0);
      });
    };
    tell();
  });
}

/** Enough for what was under way when it was asked. */
const TRIES = 3;

function endedHere(session: Session, how: string): boolean {
  const end = waiting.get(session);
  end?.(how);
  return end !== undefined;
}
