/**
 * How fast a lane with a large reply on it is read.
 *
 * Nothing gets such bytes through faster than the cores allow, so several large replies at once only
 * take turns in smaller pieces: and then each turn of the engine's loop and of ours carries a piece of
 * each, and a small command waits for all of them, twice. So of the lanes to one engine few are read
 * (`BULK_READING`), each up to a share of bytes while another waits; the others stay unread, their
 * sockets fill, and the engine has nothing to do for them. What comes in one read needs no turn.
 *
 * A lane is not read either while its client has not taken what is there. It may wait for a client
 * only as long as it owes it something: with the last answer it is everybody's again, and whoever is
 * next must not wait for the one before. While it waits it has no turn.
 *
 * Last, a read that filled its buffer is the last one in its turn of the loop: the loop by itself
 * reads again at once, up to 32 times.
 */
import type { Socket } from 'node:net';
import { BULK_READING, BULK_SHARE_BYTES } from './limits.ts';
import type { Output } from './output.ts';

/** The lanes to one engine that are in the middle of a large reply. */
export class BulkTurns {
  readonly #reading: LaneFlow[] = [];
  readonly #waiting: LaneFlow[] = [];

  /** It has read a part of a large reply: may it go on? If not, it hears `granted` when it may. */
  goOn(flow: LaneFlow, bytes: number): boolean {
    const at = this.#reading.indexOf(flow);
    if (at >= 0) {
      flow.share -= bytes;
      if (flow.share > 0 || this.#waiting.length === 0) return true;
      this.#reading.splice(at, 1);
    } else if (this.#reading.length < BULK_READING) {
      this.#read(flow);
      return true;
    }
    if (!this.#waiting.includes(flow)) this.#waiting.push(flow);
    this.#next();
    return false;
  }

  /** It is not in the middle of a large reply, or waits for its client. */
  leave(flow: LaneFlow): void {
    for (const list of [this.#reading, this.#waiting]) {
      const at = list.indexOf(flow);
      if (at >= 0) list.splice(at, 1);
    }
    this.#next();
  }

  #next(): void {
    while (this.#reading.length < BULK_READING) {
      const flow = this.#waiting.shift();
      if (flow === undefined) return;
      this.#read(flow);
      flow.granted();
    }
  }

  #read(flow: LaneFlow): void {
    flow.share = BULK_SHARE_BYTES;
    this.#reading.push(flow);
  }
}

export class LaneFlow {
  readonly #socket: Socket;
  readonly #turns: BulkTurns;
  /** Bytes that are left of its turn. */
  share = 0;
  #forLoop = false;
  #forTurn = false;
  #client: Output | null = null;
  #hurried = false;
  /** performance.now(); 0: it waits for no client. */
  waitingSince = 0;

  constructor(socket: Socket, turns: BulkTurns) {
    this.#socket = socket;
    this.#turns = turns;
  }

  /**
   * A bulk lane has dealt out what it read. `within`: a reply has begun and not ended; `filled`: the
   * buffer was full.
   */
  read(bytes: number, within: boolean, filled: boolean): void {
    if (!within) this.#leave();
    else if (this.#client === null && !this.#turns.goOn(this, bytes)) {
      this.#forTurn = true;
      this.#socket.pause();
    }
    if (filled) this.#filled();
  }

  granted(): void {
    this.#forTurn = false;
    this.#resume();
  }

  #leave(): void {
    this.#forTurn = false;
    this.#turns.leave(this);
  }

  #filled(): void {
    if (this.#forLoop) return;
    this.#forLoop = true;
    this.#socket.pause();
    setImmediate(() => {
      this.#forLoop = false;
      this.#resume();
    });
  }

  /** True: from now on it waits. */
  waitFor(output: Output): boolean {
    if (this.#client !== null || this.#hurried) return false;
    this.#client = output;
    this.waitingSince = performance.now();
    this.#leave();
    this.#socket.pause();
    output.whenWritten(() => {
      if (this.#client === output) this.#served();
    });
    return true;
  }

  /** Waits for nobody until it is quiet: what its client does not take grows up to that one's limit. */
  hurry(): void {
    this.#hurried = true;
    this.#served();
  }

  /** Everything was answered. */
  quiet(): void {
    this.#hurried = false;
    this.#served();
  }

  /** The lane is no more. */
  close(): void {
    this.#leave();
  }

  #served(): void {
    if (this.#client === null) return;
    this.#client = null;
    this.waitingSince = 0;
    this.#resume();
  }

  #resume(): void {
    if (this.#forLoop || this.#forTurn || this.#client !== null) return;
    if (!this.#socket.destroyed) this.#socket.resume();
  }
}
