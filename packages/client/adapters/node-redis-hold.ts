/**
 * When a node-redis client connects again for the first time.
 *
 * The library does so at once, whatever its `reconnectStrategy` says; that is asked for the second attempt. So all
 * processes of a fleet that one fault threw off come back in the same moment. Here the library's own part that has the
 * connection is told that it is not to be open any more, which ends and says nothing, before it begins to connect; and
 * after a while to connect, by the method by which it did so the first time.
 *
 * A strategy of the application's own is left alone, and what it does with the first attempt, too.
 */
import { nodeReconnect } from '../retries/backoff.ts';
import type { NodeClient, NodeSocket } from './node-redis-shape.ts';

export class Hold {
  readonly #client: NodeClient;
  readonly #reconnectIn: (() => number | undefined) | undefined;
  #ready = false;
  #held: NodeSocket | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(client: NodeClient, reconnectIn: (() => number | undefined) | undefined) {
    const strategy = client.options?.socket?.reconnectStrategy;
    this.#client = client;
    this.#reconnectIn =
      strategy === undefined || strategy === nodeReconnect ? reconnectIn : undefined;
    client.on('ready', () => {
      this.#ready = true;
    });
  }

  /** It waits: to the library it is closed. */
  get on(): boolean {
    return this.#held !== undefined;
  }

  /** A connection has ended, or was not made; in a moment the library goes on to the next. */
  begin(): void {
    const lost = this.#ready;
    this.#ready = false;
    const ms = lost ? this.#reconnectIn?.() : undefined;
    if (ms === undefined) return;
    const socket = socketOf(this.#client);
    if (!socket.isOpen) return;
    socket.close();
    this.#held = socket;
    this.#timer = setTimeout(() => this.end(), ms);
  }

  /** Connects now, if it waits. */
  end(): void {
    const socket = this.#held;
    if (socket === undefined) return;
    this.stay();
    socket.emit('reconnecting');
    // Its errors are events, as ever.
    socket.connect().catch(() => {});
  }

  /** It is not to connect any more. */
  stay(): void {
    clearTimeout(this.#timer);
    this.#held = undefined;
  }
}

/** The library's own part that has the connection: taken out, and put back. */
export function socketOf(client: NodeClient): NodeSocket {
  const socket = client._ejectSocket();
  client._insertSocket(socket);
  return socket;
}
