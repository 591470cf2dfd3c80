/**
 * What serves the clients of one database inside one worker.
 *
 * A worker owns listening, the connection limit, TLS, idle time-outs, counting opened, closed and
 * refused connections, and the conversation with the control process. A data path owns what happens
 * to the bytes of a client that was let in (`proxy/proxy.ts`).
 *
 * The life of a client: the worker admits it and finishes TLS, then calls `accept` with a paused
 * socket of which nothing was read. From then on only the data path reads and writes the socket.
 * It ends a client by `client.end(reason, lastWords)`; when the client itself goes it does
 * nothing. In both cases it hears of the end by the socket's `close` event, like everybody.
 */
import type { Socket } from 'node:net';
import type {
  ClientView,
  CommandCounters,
  DatabaseView,
  Event,
  GuardCounters,
  LargeView,
  Snapshot,
  Successor,
} from './control-protocol.ts';
import type { Neighbours } from './neighbours.ts';

/** A connection that was let in. Counted from `accept` until the socket's `close` event. */
export interface AdmittedClient {
  /** Unique over all workers: '<pid of the worker>-<number>'. */
  readonly id: string;
  /** What a client sees as CLIENT ID: unique over all workers, grows within one. */
  readonly number: number;
  /** A net.Socket or a tls.TLSSocket: handshake done, noDelay and keep-alive set, paused. */
  readonly socket: Socket;
  /** Remote 'host:port'; IPv6 hosts in brackets. */
  readonly address: string;
  readonly tls: boolean;
  /** ms since 1970 */
  readonly openedAt: number;
  /**
   * Ends the connection once, with the reason that counters, events and logs show. `lastWords`
   * are written after what the data path has written before; then the socket is closed, cut
   * when the peer does not read for LINGER_MS. Empty last words: the same, nothing is added. Without
   * last words the socket is destroyed at once, and what was not sent yet is lost.
   */
  end(reason: string, lastWords?: string | Uint8Array): void;
}

/** What a data path gets from its worker. */
export interface DataPathHost {
  /** Position of this worker, 0 up; and how many workers share each database. */
  readonly worker: number;
  readonly workers: number;
  /** The other workers that serve the same databases. */
  readonly neighbours: Neighbours;
  emit(event: Event): void;
  /** ms since 1970: what is told to people. Ages and deadlines go by `performance.now()`. */
  now(): number;
}

/** What the worker adds up into `DatabaseCounters`; everything cumulative. */
export interface PathCounters {
  readonly commands: Readonly<Record<string, CommandCounters>>;
  readonly guard: Readonly<Record<string, GuardCounters>>;
}

export interface DataPath {
  /**
   * The database as it should be served from now on; never an older epoch than before. Called
   * before the first `accept`. Must not throw for a state that the engine side does not match yet:
   * a shard that cannot be reached is waited for within the path's limits.
   */
  apply(view: DatabaseView, epoch: number): void;
  accept(client: AdmittedClient): void;
  /** The shard is about to be held: resolves when it is connected to whoever may be its next primary. */
  prepare(shard: string): Promise<void>;
  /**
   * Sends nothing more to the shard and resolves when no command is in flight there (blocking
   * ones are not waited for). Rejects with `HoldExpired` at `deadlineAt` (by `performance.now()`)
   * after having released itself. A second hold of a held shard only moves its deadline.
   */
  hold(shard: string, deadlineAt: number): Promise<void>;
  /**
   * This replica of a held shard says that it is primary, and is about to be the one that clients are let
   * go on at: lanes and subscriptions are made there, and nothing else is sent. Undone by any end of the
   * hold but a release that names it. Throws `UnknownSuccessor` and `NotHeld`, having done nothing.
   */
  expect(shard: string, successor: Successor): void;
  /**
   * The shard goes on, as the last applied view says; one that it calls held, as serving. With a
   * successor, that replica is its primary from now on; throws `UnknownSuccessor`, having done nothing.
   */
  release(shard: string, epoch: number, successor: Successor | null): void;
  counters(): PathCounters;
  /** `idleMs` and bytes are filled in by the worker. */
  clients(): ClientView[];
  /** Ends one client of this path; false when it is not here. */
  kill(client: string, reason: string): boolean;
  /** The control plane's word on a `config-set` event of this path. */
  configAnswered(serial: string, error: string | null): void;
  /** True while this client waits for a reply (a blocking command, say): it is not idle then. */
  waiting(client: string): boolean;
  /** A question of the same database's path in another worker; what it answers is plain data. */
  asked(question: object): unknown;
  told(notice: object, from: number): void;
  /** Another worker can be talked to; `eldest`: this one tells it what it should know. */
  neighbourJoined(pid: number, eldest: boolean): void;
  neighbourLeft(pid: number): void;
  /** The largest requests and replies. */
  large(): readonly LargeView[];
  /**
   * Ends every client at a moment when nothing of it is in flight; resolves when all are gone.
   * At `deadlineAt` (by `performance.now()`) those left are ended anyway.
   */
  drain(deadlineAt: number): Promise<void>;
  /** Frees what is left. No method is called afterwards. */
  close(): void;
}

/** No replica of the shard by this name is known here: a snapshot has to name it. */
export class UnknownSuccessor extends Error {
  override readonly name = 'UnknownSuccessor';
  readonly code = 'unknown-successor';
  constructor(shard: string, node: string) {
    super(`shard ${shard} has no replica ${node} here`);
  }
}

/** Clients are not held: they are where they were, or have been let go on already. */
export class NotHeld extends Error {
  override readonly name = 'NotHeld';
  readonly code = 'not-held';
  constructor(shard: string) {
    super(`shard ${shard} is not held here`);
  }
}

/** The hold ran out before the shard was quiet. The shard goes on as before. */
export class HoldExpired extends Error {
  override readonly name = 'HoldExpired';
  readonly code = 'hold-expired';
  constructor(shard: string, inFlight: number) {
    super(
      `shard ${shard} was not quiet at the deadline: ${inFlight} commands in flight; it was released`,
    );
  }
}

export type { Snapshot };
