/**
 * A connection that brings much gives way to the others once in a while.
 *
 * A socket that has more is read up to 32 times in a row, 2 MB, before the event loop looks at another
 * one: a small reply that came meanwhile waits for all of it to be parsed. Here a socket that has
 * brought its share of a turn is paused until the turn after the next look at all sockets. The rest
 * waits in the kernel, where it would wait anyhow.
 */
import type { Socket } from 'node:net';
import { TURN_BYTES } from '../limits.ts';

export class Pace {
  readonly #socket: Socket;
  #bytes = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** So many bytes came. */
  came(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes < TURN_BYTES) return;
    this.#bytes = 0;
    this.#socket.pause();
    setImmediate(this.#goOn);
  }

  readonly #goOn = (): void => {
    if (!this.#socket.destroyed) this.#socket.resume();
  };
}
