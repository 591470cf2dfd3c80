/**
 * When a node-redis client connects again for the first time.
 *
 * The library does so at once, whatever its `reconnectStrategy` says; that is asked for the second attempt. So all
 * processes of a fleet that one fault threw off come back in the same moment. Here the library's own part that has the
 * connection is told that it is not to be open any more, which ends and says nothing, before it begins to connect; and
 * after a while to connect, by the method by which it did so the first time.
 *
 * A strategy of the application's own is left alone, and what it does with the first attempt, too.
 *
 * To the library a connection that waits is closed, and refuses what it is asked for. A lane of one connection is down
 * meanwhile, and asked for nothing; a node of a cluster is asked by the library itself, and what comes for it waits
 * here, in its order, until the library takes it into its own queue again.
 */
import { performance } from 'node:perf_hooks';
import { nodeReconnect, reconnectDelay } from '../retries/backoff.ts';
import type { NodeClient, NodeSocket } from './node-redis-shape.ts';

/** In ms; `wanted`: somebody waits for it. Undefined: at once, as the library does. */
export type ReconnectIn = (wanted: boolean) => number | undefined;

export class Hold {
  readonly #client: NodeClient;
  readonly #reconnectIn: ReconnectIn | undefined;
  #ready: boolean;
  #held: NodeSocket | undefined;
  #timer: NodeJS.Timeout | undefined;
  #dueAt = 0;
  /** What the client was asked for meanwhile. */
  #waiting: (() => void)[] = [];

  constructor(client: NodeClient, reconnectIn: ReconnectIn | undefined) {
    const strategy = client.options?.socket?.reconnectStrategy;
    this.#client = client;
    this.#ready = Reflect.get(Object.getPrototypeOf(client), 'isReady', client) === true;
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
  begin(wanted: boolean): void {
    const lost = this.#ready;
    this.#ready = false;
    const ms = lost ? this.#reconnectIn?.(wanted) : undefined;
    if (ms === undefined) return;
    const socket = socketOf(this.#client);
    if (!socket.isOpen) return;
    socket.close();
    this.#held = socket;
    this.#wait(ms);
  }

  /** Connects now, if it waits. */
  end(): void {
    const socket = this.#held;
    if (socket === undefined) return;
    clearTimeout(this.#timer);
    this.#held = undefined;
    socket.emit('reconnecting');
    // Its errors are events, as ever.
    socket.connect().catch(() => {});
    this.#release();
  }

  /** It is not to connect any more. */
  stay(): void {
    clearTimeout(this.#timer);
    this.#held = undefined;
    this.#release();
  }

  /** Asks the client as soon as it takes anything; so somebody waits for it now. */
  after<T>(ask: () => Promise<T>): Promise<T> {
    if (this.#held === undefined) return ask();
    const ms = reconnectDelay(1);
    if (this.#waiting.length === 0 && performance.now() + ms < this.#dueAt) this.#wait(ms);
    return new Promise((resolve, reject) => {
      this.#waiting.push(() => ask().then(resolve, reject));
    });
  }

  #wait(ms: number): void {
    clearTimeout(this.#timer);
    this.#dueAt = performance.now() + ms;
    this.#timer = setTimeout(() => this.end(), ms);
  }

  #release(): void {
    for (const go of this.#waiting.splice(0)) go();
  }
}

/** The library's own part that has the connection: taken out, and put back. */
export function socketOf(client: NodeClient): NodeSocket {
  const socket = client._ejectSocket();
  client._insertSocket(socket);
  return socket;
}

/**
 * Ends its connection, for the next one. One that is just being made is ended by the failure of its handshake, after
 * which the library tries again: destroyed and told to connect, it would try twice from then on, because the attempt
 * that fails finds the client open again, and of two connections it knows only the last and leaves the other one open.
 */
export function cutOff(
  client: NodeClient,
  destroy: () => void,
  connect: () => Promise<unknown>,
  reason: string,
): void {
  const proto: NodeClient = Object.getPrototypeOf(client);
  const is = (name: 'isOpen' | 'isReady'): boolean => Reflect.get(proto, name, client) === true;
  if (is('isOpen') && !is('isReady')) {
    client._getQueue().flushWaitingForReply(new Error(reason));
    // Not every handshake fails with its commands: what the library finds without a socket is no connection.
    socketOf(client).destroySocket();
    return;
  }
  // The library hides its socket; ending the session and opening the next is the same to the server.
  destroy();
  connect().catch(() => {});
}
