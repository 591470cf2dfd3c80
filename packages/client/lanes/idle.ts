/**
 * Connections that nobody uses. A service drops them after a while, a firewall forgets them without a word, and of a
 * peer that is gone nothing is heard: the next call would find out, by its deadline, and a subscription would never.
 * So one that has brought nothing for long is sent a PING, also where the library has no option for it; and if no byte
 * comes within the time that a new connection has, it ends, and its client makes another.
 *
 * Whatever comes counts, also an error (a user may not be allowed PING) and the library's own ping. A connection with
 * calls on it is not idle: their deadlines, and the bound on its silence, hold.
 */
import { JANITOR_MS } from '../limits.ts';
import type { Sent, Wire } from '../wire/wire.ts';
import type { Lane } from './lane.ts';
import type { LanesSettings } from './options.ts';

interface Asked {
  readonly at: number;
  /** All that had come by then. */
  readonly bytesIn: number;
  /** Its time is over, and what may have come while this process was busy is read before it counts. */
  over: boolean;
}

export class IdleLanes {
  readonly #pingMs: number;
  readonly #patienceMs: number;
  /** PINGs that were not answered. */
  readonly #asked = new WeakMap<Wire<Sent>, Asked>();

  constructor({ pingMs, stallMs, connectMs }: LanesSettings) {
    this.#pingMs = pingMs;
    this.#patienceMs = Math.min(stallMs, connectMs);
  }

  /** `keep`: in the middle of a MULTI, of which a PING would be a part. Answers when to look again, in ms. */
  look(lanes: Iterable<Lane>, keep: Lane | undefined, now: number): number {
    let nextMs = Number.POSITIVE_INFINITY;
    if (this.#pingMs === nextMs) return nextMs;
    for (const lane of lanes) {
      if (lane.state !== 'ready' || lane === keep) continue;
      lane.client?.look?.();
      for (const wire of lane.wires) nextMs = Math.min(nextMs, this.#lookAt(wire, lane, now));
    }
    return nextMs;
  }

  #lookAt(wire: Wire<Sent>, lane: Lane, now: number): number {
    const asked = this.#asked.get(wire);
    if (asked !== undefined && asked.bytesIn === wire.bytesIn) {
      const leftMs = this.#patienceMs - (now - asked.at);
      if (leftMs > 0) return leftMs;
      if (!asked.over) {
        asked.over = true;
        return JANITOR_MS;
      }
      // Somebody waits for more than the PING.
      if (wire.pending > 1) return this.#pingMs;
      this.#asked.delete(wire);
      lane.client?.cut(wire, `no answer to a PING for ${Math.round(now - asked.at)} ms`);
      return this.#pingMs;
    }
    const leftMs = this.#pingMs - (now - wire.lastReadAt);
    if (leftMs > 0) return leftMs;
    const answer = wire.pending === 0 ? lane.client?.ping(wire) : undefined;
    if (answer === undefined) return this.#pingMs;
    this.#asked.set(wire, { at: now, bytesIn: wire.bytesIn, over: false });
    const over = (): void => void this.#asked.delete(wire);
    answer.then(over, over);
    return this.#patienceMs;
  }
}
