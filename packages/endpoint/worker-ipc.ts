/**
 * Between the supervisor and its workers: Node's own channel, which can carry descriptors. Secrets
 * (the snapshot, ticket keys) travel here, so that nothing secret is in an argument or environment.
 */
import type { Counters, Snapshot } from './control-protocol.ts';
import type { NeighbourInfo } from './neighbours.ts';

export type ToWorker =
  | {
      readonly type: 'start';
      readonly slot: number;
      readonly workers: number;
      readonly socket: string;
      readonly build: string;
      /** Base64 of the keys from which each database's TLS ticket keys are derived. */
      readonly ticketSecret: string;
      readonly snapshot: Snapshot | null;
    }
  /** A newer one, while the worker is still starting. */
  | { readonly type: 'snapshot'; readonly snapshot: Snapshot }
  /** Comes with a bound socket, or with the reason why there is none. */
  | { readonly type: 'listener'; readonly address: string; readonly failure: string | null }
  /** Comes with the socket of another slot, not to be listened on: see `Listeners.kept`. */
  | { readonly type: 'keep'; readonly address: string; readonly slot: number }
  /** To be answered by `unlistened` once its sockets of this address are closed. */
  | { readonly type: 'unlisten'; readonly address: string }
  | { readonly type: 'workers'; readonly workers: number }
  /** The other workers there are now, whatever their state but starting. */
  | { readonly type: 'neighbours'; readonly others: readonly NeighbourInfo[] }
  /** NUMBERS_A_BLOCK numbers from this one on are this worker's. */
  | { readonly type: 'numbers'; readonly first: number }
  | { readonly type: 'ticket-secret'; readonly ticketSecret: string }
  /** Answer to `want`: zero means the database is full. */
  | { readonly type: 'permits'; readonly database: string; readonly granted: number }
  | { readonly type: 'recall'; readonly database: string }
  | { readonly type: 'drain'; readonly deadlineMs: number }
  /** To be answered by `here`, at once. */
  | { readonly type: 'there' };

export type FromWorker =
  /** `answers`: it answers `there`; one of an older build does not. */
  | { readonly type: 'ready'; readonly epoch: number; readonly answers?: boolean }
  | { readonly type: 'here' }
  | { readonly type: 'unlistened'; readonly address: string }
  | { readonly type: 'want'; readonly database: string; readonly count: number }
  /** Unused permits; `answer` when it answers a recall. */
  | {
      readonly type: 'return';
      readonly database: string;
      readonly count: number;
      readonly answer: boolean;
    }
  | { readonly type: 'draining' }
  /** What was just told to the control process: if this one dies, it is the least that counts. */
  | { readonly type: 'counted'; readonly counters: Counters }
  /** The last block of numbers is half used. */
  | { readonly type: 'want-numbers' }
  /** Last message of a worker that leaves in order. */
  | { readonly type: 'retired'; readonly counters: Counters };

export function addressOf(listen: { readonly host: string; readonly port: number }): string {
  return listen.host.includes(':')
    ? `[${listen.host}]:${listen.port}`
    : `${listen.host}:${listen.port}`;
}
