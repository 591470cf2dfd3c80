/**
 * How fast a bulk lane reads: a little in each turn of the event loop, so that small lanes get the
 * thread in between, and not at all while its client has not taken what is there.
 */
import type { Socket } from 'node:net';
import { BULK_TURN_BYTES } from './limits.ts';
import type { Output } from './output.ts';

export class LaneFlow {
  readonly #socket: Socket;
  #turnBytes = 0;
  #forTurn = false;
  #forClient = false;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  received(bytes: number): void {
    this.#turnBytes += bytes;
    if (this.#turnBytes < BULK_TURN_BYTES || this.#forTurn) return;
    this.#forTurn = true;
    this.#socket.pause();
    setImmediate(() => {
      this.#turnBytes = 0;
      this.#forTurn = false;
      this.#resume();
    });
  }

  waitFor(output: Output): void {
    if (this.#forClient) return;
    this.#forClient = true;
    this.#socket.pause();
    output.whenWritten(() => {
      this.#forClient = false;
      this.#resume();
    });
  }

  #resume(): void {
    if (!this.#forTurn && !this.#forClient && !this.#socket.destroyed) this.#socket.resume();
  }
}
