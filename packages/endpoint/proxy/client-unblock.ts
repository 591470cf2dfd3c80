/** CLIENT UNBLOCK: who waits in an engine is told by that engine, on another connection. */
import type { Lane } from './lane.ts';
import { LANE_CONNECT_MS, LANE_RETRY_MS } from './limits.ts';
import type { ProxyPath } from './proxy.ts';
import { waiting } from './waiting.ts';

/** 1 when the client is here and waited. */
export function unblockHere(proxy: ProxyPath, id: number, how: string): Promise<number> {
  const found = [...proxy.sessions.values()].find((session) => session.client.number === id);
  const endWait = found === undefined ? undefined : waiting.get(found);
  if (endWait !== undefined) {
    endWait(how);
    return Promise.resolve(1);
  }
  const lane = found?.lanes.own ?? null;
  if (found === undefined || lane === null || lane.inFlight === 0) return Promise.resolve(0);
  const { shard, login } = lane;
  const group = shard.group({ ...login, protocol: 2, tracking: null, noTouch: false });
  const until = performance.now() + LANE_CONNECT_MS;
  return new Promise((resolve) => {
    const tell = (): void => {
      if (lane.inFlight === 0 || performance.now() > until) return resolve(0);
      const via = shard.smallLane(group);
      if (via === null) setTimeout(tell, LANE_RETRY_MS);
      else say(via);
    };
    const say = (via: Lane): void => {
      found.unblocked = true;
      via.question(['CLIENT', 'UNBLOCK', String(lane.engineClient), how], (reply) => {
        resolve(reply !== null && reply.toString('latin1') === ':1\r\n' ? 1 : 0);
      });
    };
    tell();
  });
}
