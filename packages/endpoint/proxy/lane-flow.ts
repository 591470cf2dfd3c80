/**
 * How fast a bulk lane reads: once in each turn of the event loop, so that small lanes get the thread
 * in between, and not at all while its client has not taken what is there. The event loop by itself
 * reads again at once when a read has filled its buffer, up to 32 times.
 *
 * A lane may wait for a client only as long as it owes it something: with the last answer it is
 * everybody's again, and whoever is next must not wait for the one before.
 */
import type { Socket } from 'node:net';
import type { Output } from './output.ts';

export class LaneFlow {
  readonly #socket: Socket;
  #forTurn = false;
  #client: Output | null = null;
  #hurried = false;
  /** performance.now(); 0: it waits for no client. */
  waitingSince = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** A read filled its buffer: the next one belongs to the next turn. */
  filled(): void {
    if (this.#forTurn) return;
    this.#forTurn = true;
    this.#socket.pause();
    setImmediate(() => {
      this.#forTurn = false;
      this.#resume();
    });
  }

  /** True: from now on it waits. */
  waitFor(output: Output): boolean {
    if (this.#client !== null || this.#hurried) return false;
    this.#client = output;
    this.waitingSince = performance.now();
    this.#socket.pause();
    output.whenWritten(() => {
      if (this.#client === output) this.#goOn();
    });
    return true;
  }

  /** Waits for nobody until it is quiet: what its client does not take grows up to that one's limit. */
  hurry(): void {
    this.#hurried = true;
    this.#goOn();
  }

  /** Everything was answered. */
  quiet(): void {
    this.#hurried = false;
    this.#goOn();
  }

  #goOn(): void {
    if (this.#client === null) return;
    this.#client = null;
    this.waitingSince = 0;
    this.#resume();
  }

  #resume(): void {
    if (!this.#forTurn && this.#client === null && !this.#socket.destroyed) this.#socket.resume();
  }
}
