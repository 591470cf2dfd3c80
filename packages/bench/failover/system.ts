/** What is measured: a service with a replica for each shard, whoever built it. */

import type { Target } from '../load/asker.ts';
import type { LoadOptions } from '../load/generator.ts';
import type { ProcessRef } from '../processes.ts';

/**
 * Between two questions to a system under test. Asked every 10 ms who is primary and whether all is
 * whole, our management API took half a core beside the failover and the new copy; the rivals' engines
 * had a new connection as often.
 */
export const ASK_MS = 200;

export interface System {
  readonly name: string;
  /** How a load reaches it. */
  readonly reach: Pick<LoadOptions, 'targets' | 'cluster' | 'sentinels'>;
  /** Hash tag whose keys are all on the shard under test. */
  readonly tag: string;
  /** Where one connection reaches that shard now. */
  entrance(): Promise<Target>;
  /** The process that is primary of that shard now. */
  primary(): Promise<ProcessRef>;
  /** Resolves when every shard serves and every replica is in sync. */
  whole(): Promise<void>;
  /** Starts a snapshot on the primary, as its administrator would. */
  beginSnapshot(): Promise<void>;
}
