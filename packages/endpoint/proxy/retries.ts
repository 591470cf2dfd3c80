/**
 * Commands that will be sent again: the engine said that it did not run them (MOVED, CLUSTERDOWN,
 * LOADING, ...), or a read was in flight when its lane died. They wait here, in order, until their
 * shard has an open lane, at most as long as any command may wait.
 *
 * A command that is sent again must not be overtaken by a later one of its client on the same slot.
 * Three rules hold that:
 *
 * - While a session has something here, it starts nothing new (`gate`).
 * - What it had in flight on the shard that refused comes back first: it may be refused too, and then
 *   goes out again behind this one and before anything new. So nothing is sent from here, and the
 *   gate stays shut, while answers of that shard are due.
 * - An engine may refuse one command and execute the next, when the shard begins to serve just then.
 *   Then it is too late: the first one is not sent again but answered with an error that says that it
 *   was not executed.
 */

import type { Lane } from './lane.ts';
import { answeredOf } from './lane-loss.ts';
import { REDIRECTS, SHARD_WAIT_MS, SLOT_MAP_RETRY_MS } from './limits.ts';
import { OF_SHARD, OVERTAKEN, type Pending } from './pending.ts';
import { slotOfCommand } from './route.ts';
import type { Session } from './session.ts';
import type { Shard } from './shard.ts';
import { REMOVED } from './topology.ts';
import type { World } from './world.ts';

export class Retries {
  readonly #world: World;
  #queue: Pending[] = [];
  #turns = 0;
  #timer: NodeJS.Timeout | null = null;
  #running = false;

  constructor(world: World) {
    this.#world = world;
  }

  get size(): number {
    return this.#queue.length;
  }

  /**
   * Takes a record with `bytes`, `slot`, `shard` (which refused or lost it), `session` and either its
   * place in the session or a sink. Answers its turn, which it keeps when it comes here again.
   */
  add(pending: Pending): number {
    pending.attempts++;
    if (pending.turn === 0) pending.turn = ++this.#turns;
    if (pending.deadlineAt === 0) pending.deadlineAt = this.#world.now + SHARD_WAIT_MS;
    pending.session?.gate(1);
    let at = this.#queue.length;
    while (at > 0 && (this.#queue[at - 1]?.turn ?? 0) > pending.turn) at--;
    this.#queue.splice(at, 0, pending);
    this.#soon();
    return pending.turn;
  }

  /** Commands of a gated session were executed: an earlier one of the same slot may not follow them. */
  executed(pending: Pending, answered: number): void {
    const { session, command } = pending;
    if (command === null) return;
    const earlier = this.#queue.filter((other) => other.session === session);
    if (earlier.length === 0) return;
    for (const bytes of answeredOf(pending, answered)) {
      const slot = slotOfCommand(command, bytes, this.#world.topology.home);
      for (const other of earlier) {
        const ofShard = other.slot === OF_SHARD && other.shard === pending.shard;
        if (other.slot === slot || ofShard) other.overtaken = true;
      }
    }
  }

  /** Sends what can be sent now. */
  run(): void {
    if (this.#queue.length === 0 || this.#running) return;
    this.#running = true;
    const now = performance.now();
    const queue = this.#queue;
    this.#queue = [];
    const held = new Set<Session>();
    // Looked at before anything is sent: what this run sends is no reason to wait.
    for (const { session, shard } of queue) {
      if (session !== null && session.lanes.on(shard) > 0) held.add(session);
    }
    for (const pending of queue) {
      const { session } = pending;
      if (session === null || session.gone) {
        pending.sink?.onLost('client-gone', false);
        continue;
      }
      const elsewhere = this.#world.topology.moved(pending.slot);
      if (elsewhere !== null && !held.has(session)) {
        session.gate(-1);
        this.#refuse(pending, 'moved', Buffer.from(elsewhere));
        continue;
      }
      const late = now > pending.deadlineAt || pending.attempts > REDIRECTS * 64;
      if (pending.overtaken || late || shardOf(this.#world, pending)?.view.reason === REMOVED) {
        session.gate(-1);
        this.#fail(pending);
        continue;
      }
      const lane = held.has(session) ? null : laneFor(session, pending);
      if (lane === null) {
        held.add(session);
        this.#queue.push(pending);
      } else {
        session.gate(-1);
        // What its CLIENT CACHING said was for the first time: better tracked once too often.
        if (session.state.tracking?.flags.includes('optin') === true) {
          lane.question(['CLIENT', 'CACHING', 'YES'], () => undefined);
        }
        if (pending.command !== null) session.lanes.wrote(lane, pending.command);
        lane.resend(pending);
        pending.sink?.onResent?.(lane);
      }
    }
    this.#running = false;
    if (this.#queue.length > 0) this.#soon();
  }

  #fail(pending: Pending): void {
    const shard = shardOf(this.#world, pending);
    const reason = pending.overtaken
      ? OVERTAKEN
      : shard === null
        ? 'no-shard'
        : shard.view.reason === REMOVED
          ? REMOVED
          : shard.obstacle || 'shard-unreachable';
    const id = shard?.id ?? `slot ${pending.slot}`;
    this.#refuse(
      pending,
      reason,
      pending.overtaken ? (pending.refusal ?? overtaken(id)) : waitedTooLong(id, reason),
    );
  }

  #refuse(pending: Pending, reason: string, reply: Buffer): void {
    if (pending.sink !== null) {
      pending.sink.onLost(reason, false);
      return;
    }
    pending.parts = [reply];
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

function overtaken(shard: string): Buffer {
  return Buffer.from(
    `-CLUSTERDOWN ${OVERTAKEN}: shard ${shard} refused this command while it changed and then executed a later one of this connection; this one was not executed\r\n`,
  );
}

function shardOf({ topology }: World, { slot, shard }: Pending): Shard | null {
  return slot === OF_SHARD ? (topology.shards[shard] ?? null) : topology.ofSlot(slot);
}

function laneFor(session: Session, pending: Pending): Lane | null {
  const { world, shardedFirst } = session.proxy;
  const { slot, command, bytes } = pending;
  const aims = slot !== OF_SHARD && command !== null && bytes !== null;
  if (aims && !shardedFirst.openTo(command, bytes, slot)) return null;
  const shard = shardOf(world, pending);
  return shard === null ? null : session.lanes.take(shard, false);
}
