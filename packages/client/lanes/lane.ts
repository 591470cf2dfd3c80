/** One client of the pool: for a plain server a connection, for a cluster one to each node. */
import { QUIT_LOOK_MS, QUIT_MS } from '../limits.ts';
import { leisurely, reconnectDelay } from '../retries/backoff.ts';
import type { Sent, Wire } from '../wire/wire.ts';
import type { Call } from './call.ts';
import type { Placeable } from './placeable.ts';

export type LaneKind = 'small' | 'bulk' | 'blocking' | 'subscriber';

/**
 * - opening: no connection yet. - ready: takes calls. - down: lost; its client reconnects by itself.
 * - ended: its client gave up, or it was closed. It is replaced, never revived.
 */
export type LaneState = 'opening' | 'ready' | 'down' | 'ended';

/** What the pool needs from a client library's connection. */
export interface LaneClient {
  /** The library's own client. */
  readonly library: object;
  /** Waits for what is in flight. */
  close(): Promise<void>;
  /** At once. */
  destroy(reason: string): void;
  /** Destroys the socket of this wire only; the client connects again. */
  cut(wire: Wire<Sent>, reason: string): void;
  /** One connection: what `command` sends goes where the calls go. Else one to each node. */
  readonly alone: boolean;
  /** What its library had not written when a connection ended goes to the next one, and nobody is told. */
  readonly keepsUnsent: boolean;
  /** What its connections do not take now waits on the lane, in the order in which it was asked for. */
  readonly holds?: boolean;
  /** Ends the wait before the next attempt to connect. */
  connectNow(): void;
  /** Its library may have made connections by itself: all of them have wires from now on. */
  look?(): void;
  /** Asks this connection whether it lives; undefined: it is not there. */
  ping(wire: Wire<Sent>): Promise<unknown> | undefined;
  /** Sends a command of the kit's own (SELECT on a new lane). */
  command(args: readonly (string | Buffer)[]): Promise<unknown>;
}

/** Calls in the order they came, linked through themselves: nothing is allocated to add or remove one. */
class CallList {
  #first: Call | undefined;
  #last: Call | undefined;
  size = 0;

  add(call: Call): void {
    call.listed = true;
    call.previous = this.#last;
    call.next = undefined;
    if (this.#last === undefined) this.#first = call;
    else this.#last.next = call;
    this.#last = call;
    this.size += 1;
  }

  /** True if it was in it: a call is in one list at most. */
  delete(call: Call): boolean {
    if (!call.listed) return false;
    call.listed = false;
    const { next, previous } = call;
    if (previous === undefined) this.#first = next;
    else previous.next = next;
    if (next === undefined) this.#last = previous;
    else next.previous = previous;
    call.next = undefined;
    call.previous = undefined;
    this.size -= 1;
    return true;
  }

  /** The current one may be removed while walking. */
  *[Symbol.iterator](): Generator<Call> {
    for (let call = this.#first; call !== undefined; ) {
      const { next } = call;
      yield call;
      call = next;
    }
  }
}

export class Lane {
  readonly id: number;
  kind: LaneKind;
  state: LaneState = 'opening';
  client: LaneClient | undefined;
  /** The library's own object; only its adapter looks into it. */
  raw: unknown;
  /** One a connection; a list, because each call goes through it. */
  readonly wires: Wire<Sent>[] = [];
  readonly pending = new CallList();
  /** On this lane as to order and load, and to be sent when it is open. */
  readonly unsent: Placeable[] = [];
  /** Bytes expected to go and to come for what is pending. */
  load = 0;
  usedAt: number;
  /** Its CLIENT ID at the server, where somebody needs it; see unblock.ts. */
  idAtServer: string | undefined;
  /** When it last became ready, and how often it was lost. */
  readyAt = 0;
  losses = 0;
  /** Calls were on it when it was lost, or it has never been there: somebody waits for it. */
  wanted = true;
  /** Nobody did, and its client takes its time to connect again. */
  leisure = false;

  constructor(id: number, kind: LaneKind, now: number) {
    this.id = id;
    this.kind = kind;
    this.usedAt = now;
  }

  /** A large reply is on its way on one of its connections. */
  get congested(): boolean {
    const { wires } = this;
    for (let i = 0; i < wires.length; i += 1) if (wires[i]?.largeAtHead === true) return true;
    return false;
  }

  /** Its connection is gone; its calls are still on it. */
  lost(): void {
    this.state = 'down';
    this.losses += 1;
    // What is published while a listener is away is lost.
    this.wanted = this.pending.size > 0 || this.kind === 'subscriber';
  }

  /** When to connect again, in ms; `attempt` counts from 1, `waiting`: calls wait for a connection. */
  reconnectIn(attempt: number, waiting: boolean): number {
    this.leisure = attempt === 1 && !this.wanted && !waiting;
    return this.leisure ? leisurely() : reconnectDelay(attempt);
  }

  /** Somebody has come who waits for a connection. */
  hurry(): void {
    if (!this.leisure) return;
    this.leisure = false;
    setTimeout(() => this.client?.connectNow(), reconnectDelay(1));
  }

  detach(wire: Wire<Sent>): void {
    const at = this.wires.indexOf(wire);
    if (at >= 0) this.wires.splice(at, 1);
  }

  get label(): string {
    return `${this.kind}-${this.id}`;
  }
}

/**
 * Waits for what somebody waits for; a connection that is broken already has nothing to say at its end. One
 * that says nothing to its end, with nobody waiting for anything on it, is not waited for either.
 */
export async function endLane(lane: Lane): Promise<void> {
  const { client } = lane;
  if (client === undefined) return;
  const wanted = (): boolean => [...lane.pending].some((call) => !call.settled);
  const broken = lane.pending.size > 0 || lane.state !== 'ready';
  if (broken && !wanted()) return client.destroy('closed');
  let quietMs = 0;
  let watch: NodeJS.Timeout | undefined;
  const silent = new Promise<void>((resolve) => {
    watch = setInterval(() => {
      quietMs = wanted() ? 0 : quietMs + QUIT_LOOK_MS;
      if (quietMs < QUIT_MS) return;
      client.destroy('it did not end');
      resolve();
    }, QUIT_LOOK_MS);
  });
  // What it says about its own end changes nothing any more.
  const ended = client.close().catch(() => {});
  await Promise.race([ended, silent]);
  clearInterval(watch);
}
