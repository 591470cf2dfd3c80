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

/** The last bytes that a new socket gave out, for all clients that may have made it. */
interface Seen {
  chunk: unknown;
  watchers: number;
  readonly listener: (chunk: unknown) => void;
}

const seenOn = new WeakMap<Socket, Seen>();

export class OwnSocket {
  readonly #candidates = new Set<Socket>();
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
    let seen = seenOn.get(socket);
    if (seen === undefined) {
      const made: Seen = {
        chunk: undefined,
        watchers: 0,
        listener: (chunk) => {
          made.chunk = chunk;
        },
      };
      seen = made;
      seenOn.set(socket, seen);
      // Unlike on(), this does not make it flow.
      socket.prependListener('data', seen.listener);
    }
    seen.watchers += 1;
    this.#candidates.add(socket);
  };

  /** These bytes have just come to the library; answers the socket that they came from, once. */
  found(chunk: Buffer): Socket | undefined {
    if (this.#candidates.size === 0) return undefined;
    let own: Socket | undefined;
    for (const socket of this.#candidates) if (seenOn.get(socket)?.chunk === chunk) own = socket;
    this.#forget();
    return own;
  }

  #forget(): void {
    for (const socket of this.#candidates) {
      const seen = seenOn.get(socket);
      if (seen === undefined) continue;
      seen.watchers -= 1;
      if (seen.watchers > 0) continue;
      seenOn.delete(socket);
      socket.off('data', seen.listener);
    }
    this.#candidates.clear();
  }
}
