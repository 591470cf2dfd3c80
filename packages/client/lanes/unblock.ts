/**
 * A blocking command whose caller gave up must not stay behind at the server: it would take an element that
 * nobody gets. Ending its connection is no answer by itself: between the element that the server has just
 * given and the end that it has not seen yet there is always a gap, and what falls into it is lost (53 of 60
 * elements pushed right behind an abort, under node-redis). The server itself must say which came first. So
 * it is asked to end the command, over another connection (CLIENT UNBLOCK): then the reply is nothing, or the
 * element, and never neither. Needs the connection's CLIENT ID, asked for when it is ready. A cluster client
 * does not tell which of its connections a command is on, and users may lack the right: there the end of the
 * connection has to do.
 */
import type { Lane } from './lane.ts';
import type { Pool } from './pool.ts';

export function identify(lane: Lane): void {
  lane.idAtServer = undefined;
  if (lane.kind !== 'blocking' || lane.client?.alone !== true) return;
  lane.client.command(['client', 'id']).then((id) => {
    lane.idAtServer = String(id);
  }, noop);
}

/** False: nobody can ask the server. */
export function unblock(pool: Pool, lane: Lane): boolean {
  // In the middle of somebody's MULTI it would be a part of it.
  const other = pool.placement.session === undefined ? pool.roster.readyLane() : undefined;
  if (lane.idAtServer === undefined || other?.client === undefined) return false;
  other.client.command(['client', 'unblock', lane.idAtServer]).catch(noop);
  return true;
}

/** Who may not ask is left with the end of the connection. */
function noop(): void {}
