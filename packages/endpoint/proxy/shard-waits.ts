/**
 * How long what a session has to do next has waited for which shard.
 *
 * One clock for the session is too few: a command of a shard that is down would let those behind it
 * fail, too, whose shards are there. And a clock that runs on counts what is no shard's fault: a client
 * that reads its values slowly, a pop that waits in the engine.
 *
 * What has waited too long for a shard fails, and so does what else the client has sent for that one:
 * each of a hundred commands is not to take as long again.
 */
import type { Command } from '../../resp/table/index.ts';
import type { Lane } from './lane.ts';
import { SHARD_WAIT_MS } from './limits.ts';
import type { Session } from './session.ts';
import type { Shard } from './shard.ts';

export class ShardWaits {
  /** performance.now() of the end, by shard (null: nobody has the slot); nearly never there is any. */
  #until: Map<Shard | null, number> | null = null;

  begin(shard: Shard | null, now: number): void {
    this.#until ??= new Map();
    if (!this.#until.has(shard)) this.#until.set(shard, now + SHARD_WAIT_MS);
  }

  /** The shard is there, and in time. */
  served(shard: Shard, now: number): void {
    if (this.#until !== null && !this.over(shard, now)) this.#until.delete(shard);
  }

  over(shard: Shard | null, now: number): boolean {
    return now > (this.#until?.get(shard) ?? Number.POSITIVE_INFINITY);
  }

  anyOver(now: number): boolean {
    for (const until of this.#until?.values() ?? []) if (now > until) return true;
    return false;
  }

  /** The client has sent nothing that is not under way. */
  clear(): void {
    this.#until = null;
  }
}

/** A lane of this shard, or null: the session is stalled, for a bounded time if the shard is not there. */
export function laneOrWait(
  session: Session,
  shard: Shard,
  large: boolean,
  command: Command | null,
): Lane | null {
  const { lanes, waits, proxy } = session;
  const lane = lanes.take(shard, large, command);
  // Behind its own replies a client waits for as long as it takes to read them.
  const behind = lane === null && shard.obstacle === '' && lanes.on(shard.index) > 0;
  if (lane !== null || behind) waits.served(shard, proxy.world.now);
  if (behind) session.stall('order');
  else if (lane === null) session.stallFor(shard);
  return lane;
}
