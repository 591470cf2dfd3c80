/**
 * Which socket a node-redis client reads from.
 *
 * The library keeps it private, and the kit wants it for two things: to read without a buffer for each read
 * (intake.ts), and to let the other connections have their turn (pace.ts). Node tells of each socket that is made
 * (the channel `net.client.socket`), and the library makes its own in the very moment in which it is asked to
 * connect or says that it connects again. Others may be made in that moment, too. So all of them are
 * candidates, and the one is known by the first bytes that come to the library: they are the same object that
 * the socket gave out a moment before. Without that nothing is done.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';

const CHANNEL = 'net.client.socket';

export class OwnSocket {
  /** The last bytes that each candidate gave out. */
  readonly #candidates = new Map<Socket, { chunk: unknown; listener: (chunk: unknown) => void }>();
  #listening = false;

  /** The library is about to make a socket, before anything else can run. */
  expect(): void {
    this.#forget();
    if (this.#listening) return;
    this.#listening = true;
    subscribe(CHANNEL, this.#made);
    queueMicrotask(() => {
      this.#listening = false;
      unsubscribe(CHANNEL, this.#made);
    });
  }

  readonly #made = (message: unknown): void => {
    const { socket } = message as { socket: Socket };
    const seen = {
      chunk: undefined as unknown,
      listener: (chunk: unknown): void => {
        seen.chunk = chunk;
      },
    };
    this.#candidates.set(socket, seen);
    // Unlike on(), this does not make it flow.
    socket.prependListener('data', seen.listener);
  };

  /** These bytes have just come to the library; answers the socket that they came from, once. */
  found(chunk: Buffer): Socket | undefined {
    if (this.#candidates.size === 0) return undefined;
    let own: Socket | undefined;
    for (const [socket, seen] of this.#candidates) if (seen.chunk === chunk) own = socket;
    this.#forget();
    return own;
  }

  #forget(): void {
    for (const [socket, { listener }] of this.#candidates) socket.off('data', listener);
    this.#candidates.clear();
  }
}
