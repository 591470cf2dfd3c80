/**
 * The listening sockets that the supervisor lent to this worker. A socket is listened on only once a
 * database is routed to its address, because a connection taken before would have nowhere to go.
 *
 * The sockets of the other slots are kept here too, unused. Who closes the last descriptor of a
 * listening socket resets what waits in its queue, and descriptors go from process to process only
 * by a channel between parent and child. So when the supervisor dies, one of its workers becomes the
 * parent of the next one, and that one must inherit all queues from this single worker.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { KEEP_ALIVE_MS, LISTEN_BACKLOG, LISTENER_WAIT_MS } from '../limits.ts';

export type Route = (socket: Socket) => void;

/** A socket that is only kept, as Node's channel delivers it. */
interface Kept {
  readonly fd: number;
  close(): void;
}

export interface HeldSocket {
  readonly address: string;
  readonly fd: number;
}

interface Lent {
  /** Null: the supervisor could not bind it; `failure` says why. */
  handle: unknown;
  failure: string | null;
  server: Server | null;
}

export class Listeners {
  readonly #lent = new Map<string, Lent>();
  /** By address, then by slot. */
  readonly #kept = new Map<string, Map<number, Kept>>();
  readonly #arrivals = new Map<string, Set<() => void>>();
  #routes: ReadonlyMap<string, Route> = new Map();
  #closed = false;

  arrived(address: string, handle: unknown, failure: string | null): void {
    const before = this.#lent.get(address);
    if (before !== undefined && before.handle !== null) return; // we have its socket already
    this.#lent.set(address, { handle, failure, server: null });
    for (const wake of this.#arrivals.get(address) ?? []) wake();
    this.#arrivals.delete(address);
    this.#listen(address);
  }

  /** The socket of another slot: held for a next supervisor, and for nothing else. */
  kept(address: string, slot: number, handle: unknown): void {
    const socket = handle as Kept | undefined;
    if (socket === undefined) return; // the supervisor had closed it meanwhile
    const slots = this.#kept.get(address) ?? new Map<number, Kept>();
    slots.get(slot)?.close();
    if (this.#closed) socket.close();
    else this.#kept.set(address, slots.set(slot, socket));
  }

  /** There are so many slots now: a socket that nobody accepts on must not live on here. */
  slots(count: number): void {
    for (const slots of this.#kept.values()) {
      for (const [slot, socket] of slots) {
        if (slot < count) continue;
        slots.delete(slot);
        socket.close();
      }
    }
  }

  /** Every socket that is here, its own and the kept ones. */
  held(): HeldSocket[] {
    const own = [...this.#lent].map(([address, { handle }]) => ({ address, socket: handle }));
    const others = [...this.#kept].flatMap(([address, slots]) =>
      [...slots.values()].map((socket) => ({ address, socket })),
    );
    return [...own, ...others].flatMap(({ address, socket }) =>
      socket === null ? [] : [{ address, fd: (socket as Kept).fd }],
    );
  }

  withdrawn(address: string): void {
    this.#lent.get(address)?.server?.close();
    this.#lent.delete(address);
    for (const socket of this.#kept.get(address)?.values() ?? []) socket.close();
    this.#kept.delete(address);
  }

  /**
   * From now on these addresses lead here. Resolves when each is listened on or known to fail, and
   * answers the failures. An address that leads nowhere now is still accepted on (and cut off) until
   * the supervisor withdraws it: a socket that is closed here cannot be had again.
   */
  async route(routes: ReadonlyMap<string, Route>): Promise<{ address: string; reason: string }[]> {
    this.#routes = routes;
    await Promise.all([...routes.keys()].map((address) => this.#arrival(address)));
    const failed: { address: string; reason: string }[] = [];
    for (const address of routes.keys()) {
      this.#listen(address);
      const lent = this.#lent.get(address);
      const reason =
        lent === undefined ? 'not-lent: no socket came from the supervisor' : lent.failure;
      if (reason !== null) failed.push({ address, reason });
    }
    return failed;
  }

  /** Stops accepting. The sockets live on in the supervisor and in this worker's successor. */
  close(): void {
    this.#closed = true;
    for (const lent of this.#lent.values()) lent.server?.close();
    this.#lent.clear();
    this.slots(0);
  }

  #listen(address: string): void {
    const lent = this.#lent.get(address);
    if (lent === undefined || lent.handle === null || lent.server !== null) return;
    if (this.#closed || !this.#routes.has(address)) return;
    const server = createServer(
      {
        allowHalfOpen: true,
        pauseOnConnect: true,
        noDelay: true,
        keepAlive: true,
        keepAliveInitialDelay: KEEP_ALIVE_MS,
      },
      (socket) => {
        const route = this.#routes.get(address);
        if (route === undefined) socket.destroy();
        else route(socket);
      },
    );
    lent.server = server;
    server.on('error', (error) => {
      lent.failure = `listen-failed: ${error.message}`;
    });
    server.listen(lent.handle as { readonly fd: number }, LISTEN_BACKLOG);
  }

  #arrival(address: string): Promise<void> {
    if (this.#lent.has(address)) return Promise.resolve();
    return new Promise((resolve) => {
      const waiters = this.#arrivals.get(address) ?? new Set();
      const done = (): void => {
        clearTimeout(timer);
        waiters.delete(done);
        resolve();
      };
      const timer = setTimeout(done, LISTENER_WAIT_MS);
      waiters.add(done);
      this.#arrivals.set(address, waiters);
    });
  }
}
