/** What the executor works with. The simulator gives other ones for node, clock and endpoint. */

import type { Successor } from '../../endpoint/control-protocol.ts';
import type { AclUser, EngineNode, EngineTls } from '../../engine/contract.ts';
import type { DatabaseUsers } from '../auth/users.ts';
import type { ArrangingLimits } from '../plan/model.ts';
import type { PortView } from '../resources/contract.ts';
import type { ClusterRecord } from '../store/records.ts';
import type { Store } from '../store/store.ts';
import type { Calm } from './calm.ts';
import type { Clock } from './clock.ts';

export interface ExecutorDeps {
  readonly store: Store;
  readonly node: EngineNode;
  readonly clock: Clock;
  readonly ports: PortView;
  /** All users of an engine of this database. `commands`: what it knows; null: as one that is started now. */
  users(database: DatabaseUsers, commands: ReadonlySet<string> | null): readonly AclUser[];
  /** Data folders of instances are made below this one. */
  readonly dataRoot: string;
  /** Sockets are made in this one; short. */
  readonly socketRoot: string;
  /** First ports to try for shards of OSSCluster and for internal use. */
  readonly shardPorts: number;
  readonly internalPorts: number;
  /** What engines bind, and where they find each other. */
  readonly engineHost: string;
  /** What engines of OSSCluster bind beside it: their clients come directly, from other machines too. */
  readonly directHosts?: readonly string[];
  tls(cluster: ClusterRecord): Promise<EngineTls>;
  hostName(cluster: ClusterRecord): string;
  /** The records of this database changed in a way that clients see: tell the endpoint. */
  publish(databaseId: string): void;
  /** Whether the endpoint serves what the records of this database say now. */
  published(databaseId: string): boolean;
  /** Publishes; true when every worker serves what the records say now before the deadline. */
  publishNow(deadlineMs: number): Promise<boolean>;
  /**
   * Clients of the shard are about to be held: resolves when the endpoint is connected to its replicas.
   * Nothing depends on it but how long they are. Never rejects.
   */
  prepare(databaseId: string, shard: number): Promise<void>;
  /** Resolves when nothing of clients is in flight on the shard; nothing new goes there meanwhile. */
  hold(databaseId: string, shard: number, deadlineMs: number): Promise<void>;
  /**
   * This replica says that it is primary, and clients are held: the endpoint makes ready for them to go
   * on there. Nothing depends on it but how long that takes.
   */
  expect(databaseId: string, shard: number, successor: Successor): void;
  /**
   * Clients of the shard go on, with this successor if there is one. False: not every worker could be
   * told so (a hold has an end of its own).
   */
  release(databaseId: string, shard: number, successor: Successor | null): Promise<boolean>;
  /** Why the endpoint cannot listen for it now; null when it can, or was not told yet. */
  listenProblem(databaseId: string): string | null;
  /** Bytes of memory that the machine could give to one process more now. */
  freeMemory(): number;
  /** Bytes that the disk of the data folders has left now. */
  freeDisk(): number;
  readonly arranging: ArrangingLimits;
  readonly calm: Calm;
  randomHex(bytes: number): string;
  log(
    level: 'debug' | 'info' | 'warn' | 'error',
    message: string,
    data: Record<string, unknown>,
  ): void;
}
