/**
 * One timer for everything that is a matter of time: deadlines, stalled sockets, calls that waited
 * too long for a connection, idle lanes, dead ones among them. A timer a command costs more than the command's own
 * bookkeeping; looking at what is pending fifty times a second costs nothing, and with nothing
 * pending the timer rests. It never keeps a process alive.
 */
import { performance } from 'node:perf_hooks';
import { blockingMs } from '../commands/keys.ts';
import { DeadlineError, messageOf } from '../errors.ts';
import { adviseOnDistance } from '../identity/advise.ts';
import { JANITOR_MS, TIMER_MS_MAX } from '../limits.ts';
import { lateChannel } from '../telemetry/channels.ts';
import { lateness, sayLate } from '../telemetry/explain.ts';
import type { Sent, Wire } from '../wire/wire.ts';
import { Call } from './call.ts';
import { asksForConfirmation } from './confirm.ts';
import { IdleLanes } from './idle.ts';
import type { Lane } from './lane.ts';
import type { Pool } from './pool.ts';

export class Janitor {
  readonly #pool: Pool;
  readonly #idle: IdleLanes;
  #timer: NodeJS.Timeout | undefined;
  #slow = false;
  #stopped = false;
  #distanceKnown = false;

  constructor(pool: Pool) {
    this.#pool = pool;
    this.#idle = new IdleLanes(pool.settings);
  }

  /** Something may be pending. */
  wake(): void {
    if (this.#stopped || (this.#timer !== undefined && !this.#slow)) return;
    clearTimeout(this.#timer);
    this.#slow = false;
    this.#timer = setTimeout(() => this.#round(), JANITOR_MS);
    this.#timer.unref();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #round(): void {
    const pool = this.#pool;
    const now = performance.now();
    let pending = pool.offline.size + pool.placement.waiting.length;
    for (const lane of pool.lanes) {
      pending += lane.pending.size;
      this.#deadlines(lane, now);
      if (lane.kind === 'small' || lane.kind === 'bulk') this.#stalls(lane, now);
    }
    for (const item of pool.placement.waiting) {
      const [first] = item.calls;
      if (now < item.deadlineAt || item.settled || first === undefined) continue;
      if (item instanceof Call) this.#late(item, { sent: item, wire: undefined }, now);
      else item.fail(this.#error(first, { sent: first, wire: undefined }, now));
    }
    pool.placement.step();
    for (const { item, error } of pool.offline.expire(now)) {
      pool.breaker?.unreached(now);
      item.fail(error);
    }
    pool.shrink(now);
    if (!this.#distanceKnown) this.#distanceKnown = this.#lookAtDistance();
    const { smallMin, idleMs } = pool.settings;
    const shrinkMs = pool.lanes.size > smallMin ? idleMs : Number.POSITIVE_INFINITY;
    const idleForMs = Math.min(this.#idle.look(pool.lanes, pool.placement.session, now), shrinkMs);
    this.#slow = pending === 0;
    this.#timer = undefined;
    if (this.#stopped) return;
    const waitMs = pending > 0 ? JANITOR_MS : Math.max(idleForMs, JANITOR_MS);
    if (waitMs === Number.POSITIVE_INFINITY) return;
    this.#timer = setTimeout(() => this.#round(), Math.min(waitMs, TIMER_MS_MAX));
    this.#timer.unref();
  }

  #lookAtDistance(): boolean {
    const { recorder, lanes } = this.#pool;
    const [first] = lanes;
    const library = first?.client?.library;
    if (recorder === undefined) return true;
    return library !== undefined && adviseOnDistance(library, recorder);
  }

  #deadlines(lane: Lane, now: number): void {
    for (const call of lane.pending) {
      if (now < call.deadlineAt || call.settled) continue;
      this.#late(call, placeOf(call, lane), now);
    }
  }

  #late(call: Call, where: Where, now: number): void {
    try {
      this.#pool.giveUp(call, this.#error(call, where, now));
    } catch (error) {
      // One call that cannot even fail must not end the process, nor be looked at again for ever.
      call.settled = true;
      if (call.lane !== undefined) this.#pool.release(call, call.lane);
      process.emitWarning(`${call.label}: ${messageOf(error)}`, 'CinnabarWarning');
    }
  }

  #error(call: Call, { sent, wire }: Where, now: number): DeadlineError {
    const late = lateness(sent, wire, now, ownWaitMs(call));
    // The server did as it was asked: such a deadline says nothing of its health.
    if (late.cause !== 'own-wait') this.#pool.breaker?.failed(now);
    if (lateChannel.hasSubscribers) {
      lateChannel.publish({
        lateness: late,
        lane: call.lane?.label,
        endpoint: wire?.endpoint ?? this.#pool.endpoint,
      });
    }
    this.#pool.recorder?.late(late);
    const unknown = call.writtenAt > 0 && !call.facts.read;
    return new DeadlineError(sayLate(late), late, unknown);
  }

  #stalls(lane: Lane, now: number): void {
    const { stallMs, connectMs } = this.#pool.settings;
    const patienceMs = lane.state === 'ready' ? stallMs : Math.min(stallMs, connectMs);
    for (const wire of lane.wires) {
      const head = wire.at(0);
      if (head === undefined || wire.listening) continue;
      // It says nothing because it waits, as it was asked to.
      if (head instanceof Call && head.place === 'blocking') continue;
      if (asksForConfirmation(head.name)) continue;
      const silentMs = now - wire.lastReadAt;
      if (silentMs < patienceMs) continue;
      lane.client?.cut(
        wire,
        `${wire.pending} commands pending and no byte read for ${Math.round(silentMs)} ms`,
      );
    }
  }
}

/** How long the server may keep silent because the command asks it to wait. */
function ownWaitMs(call: Call): number {
  const waits = call.place === 'blocking' || asksForConfirmation(call.name);
  return waits ? blockingMs(call.name, call.args, call.from) : 0;
}

/** Where a call is: on which connection, and as what. */
interface Where {
  readonly sent: Sent;
  readonly wire: Wire<Sent> | undefined;
}

function placeOf(call: Call, lane: Lane): Where {
  for (const wire of lane.wires) {
    for (let i = 0; i < wire.pending; i += 1) {
      const sent = wire.at(i);
      if (sent !== undefined && (sent === call || sent.call === call)) return { sent, wire };
    }
  }
  // Not written yet, or a part of the library's own batch: any connection of the lane tells where it goes.
  const some = call.writtenAt === 0 || call.inTransaction;
  return { sent: call, wire: some ? lane.wires[0] : undefined };
}
