/**
 * What the control plane asks of the data path as a whole: a supervisor that owns the listening
 * sockets and its workers. Implemented over `endpoint/control-protocol.ts`.
 */
import type {
  ClientView,
  Counters,
  DatabaseView,
  Event,
  LargeView,
  Successor,
} from '../../endpoint/control-protocol.ts';
import type { ProcessRef } from '../../engine/contract.ts';

/** What the supervisor's dead-man watchdog may do when no lease renewal came for 10 s (engine rule 28). */
export interface WatchdogTarget {
  readonly socket: string;
  readonly user: string;
  readonly password: string;
  readonly process?: ProcessRef;
}

export interface FleetStatus {
  readonly supervisor: number | null;
  readonly workers: readonly {
    readonly pid: number;
    readonly epoch: number;
    readonly state: string;
  }[];
}

export interface EndpointFleet {
  /** Finds a running supervisor and its workers, or starts them; replaces workers of another protocol. */
  start(): Promise<void>;
  /**
   * Pushes to every worker and resolves when each has applied it. The epoch was stored before.
   * Ports that cannot be bound are answered, not thrown.
   */
  publish(
    epoch: number,
    databases: readonly DatabaseView[],
  ): Promise<readonly { readonly address: string; readonly reason: string }[]>;
  /** Clients of the shard are about to be held. Resolves when every worker is connected to its replicas. */
  prepare(shard: string): Promise<void>;
  /** Resolves when no worker has anything in flight on the shard; rejects at the deadline (and releases). */
  hold(shard: string, deadlineMs: number): Promise<void>;
  /**
   * Clients are held, and this replica says that it is primary: what they need there is made ready. Only
   * a release with it makes it so. Rejects when a worker does not know it, or does not hold.
   */
  expect(shard: string, epoch: number, successor: Successor): Promise<void>;
  /** With a successor, that replica is primary from now on; rejects when a worker does not know it. */
  release(shard: string, epoch: number, successor: Successor | null): Promise<void>;
  /** Never goes back while anybody of supervisor, workers and control lives to remember. */
  counters(): Promise<Counters>;
  /** Of all workers, those that were active last; at most `most`. */
  clients(database: string, most: number): Promise<ClientView[]>;
  /** False: no worker knows this client. */
  kill(client: string, reason: string): Promise<boolean>;
  /** Ends a `config-set` event: null when the settings are recorded, else the client's error. */
  answerConfig(database: string, serial: string, error: string | null): Promise<void>;
  /** The largest requests and replies of all workers, the largest first. */
  large(database: string): Promise<LargeView[]>;
  /** Renews the lease and replaces the watchdog's targets; to be called at least each 3 s. */
  renewLease(targets: readonly WatchdogTarget[]): void;
  onEvent(listener: (event: Event) => void): void;
  /** Replaces every worker: successors first, then the old ones drain. No connection is refused. */
  reload(): Promise<void>;
  status(): FleetStatus;
  /** The control process leaves; supervisor and workers stay. */
  detach(): void;
  /** Ends supervisor and workers in order (drain, then kill at the deadline). */
  stop(deadlineMs: number): Promise<void>;
}
