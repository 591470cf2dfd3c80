/**
 * Commands that will be sent again: the engine said that it did not run them (MOVED, CLUSTERDOWN,
 * LOADING, ...), or a read was in flight when its lane died. They wait here, in order, until their
 * shard has an open lane, at most as long as any command may wait.
 *
 * While a session has something here, it starts nothing new: what follows could overtake it.
 */

import type { Lane } from './lane.ts';
import { REDIRECTS, SHARD_WAIT_MS, SLOT_MAP_RETRY_MS } from './limits.ts';
import type { Pending } from './pending.ts';
import type { Session } from './session.ts';
import type { World } from './world.ts';

export class Retries {
  readonly #world: World;
  #queue: Pending[] = [];
  #timer: NodeJS.Timeout | null = null;
  #running = false;

  constructor(world: World) {
    this.#world = world;
  }

  get size(): number {
    return this.#queue.length;
  }

  /** Takes a record with `bytes`, `slot`, `session` and either its place in the session or a sink. */
  add(pending: Pending): void {
    pending.attempts++;
    if (pending.deadlineAt === 0) pending.deadlineAt = this.#world.now + SHARD_WAIT_MS;
    pending.session?.gate(1);
    this.#queue.push(pending);
    this.#soon();
  }

  /** Sends what can be sent now. */
  run(): void {
    if (this.#queue.length === 0 || this.#running) return;
    this.#running = true;
    const now = performance.now();
    const queue = this.#queue;
    this.#queue = [];
    const held = new Set<unknown>();
    for (const pending of queue) {
      const { session } = pending;
      if (session === null || session.gone) {
        pending.sink?.onLost('client-gone', false);
        continue;
      }
      if (now > pending.deadlineAt || pending.attempts > REDIRECTS * 64) {
        session.gate(-1);
        this.#fail(pending);
        continue;
      }
      const lane = held.has(session) ? null : laneForSlot(session, pending.slot);
      if (lane === null) {
        held.add(session);
        this.#queue.push(pending);
      } else {
        session.gate(-1);
        lane.resend(pending);
      }
    }
    this.#running = false;
    if (this.#queue.length > 0) this.#soon();
  }

  #fail(pending: Pending): void {
    const shard = this.#world.topology.ofSlot(pending.slot);
    const reason = shard === null ? 'no-shard' : shard.obstacle || 'shard-unreachable';
    if (pending.sink !== null) {
      pending.sink.onLost(reason, false);
      return;
    }
    pending.parts = [waitedTooLong(shard?.id ?? `slot ${pending.slot}`, reason)];
    pending.done = true;
    pending.session?.settle();
    this.#world.schedule();
  }

  #soon(): void {
    if (this.#timer !== null) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.run();
    }, SLOT_MAP_RETRY_MS);
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#queue = [];
  }
}

export function waitedTooLong(shard: string, reason: string): Buffer {
  return Buffer.from(
    `-CLUSTERDOWN ${reason}: shard ${shard} did not become available within ${SHARD_WAIT_MS / 1000} s; the command was not executed\r\n`,
  );
}

function laneForSlot(session: Session, slot: number): Lane | null {
  const shard = session.proxy.world.topology.ofSlot(slot);
  return shard === null ? null : session.lanes.take(shard, false);
}
