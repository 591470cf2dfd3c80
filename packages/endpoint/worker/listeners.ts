/**
 * The listening sockets that the supervisor lent to this worker. A socket is listened on only once a
 * database is routed to its address, because a connection taken before would have nowhere to go.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { KEEP_ALIVE_MS, LISTEN_BACKLOG, LISTENER_WAIT_MS } from '../limits.ts';

export type Route = (socket: Socket) => void;

interface Lent {
  /** Null: the supervisor could not bind it; `failure` says why. */
  handle: unknown;
  failure: string | null;
  server: Server | null;
}

export class Listeners {
  readonly #lent = new Map<string, Lent>();
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

  withdrawn(address: string): void {
    this.#lent.get(address)?.server?.close();
    this.#lent.delete(address);
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
      const done = (): void => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(done, LISTENER_WAIT_MS);
      const waiters = this.#arrivals.get(address) ?? new Set();
      waiters.add(done);
      this.#arrivals.set(address, waiters);
    });
  }
}
