/** What is under way in a database: its slots travel, its processes are made anew. */
import type { SlotRange } from '../../engine/contract.ts';
import type { Sizing, StateReason } from './records.ts';

/**
 * Every process of a database is made anew, one at a time, behind planned switches. Who has had its
 * turn is no longer in the list; the rest follows from the records.
 */
export interface Maintenance {
  readonly operation: string;
  /** Instances whose process is still the one of before. */
  readonly pending: readonly string[];
  /** The machine had no room for one copy more of a shard: each turn goes on without. */
  readonly noSpare?: true;
}

/** What a change of the number of shards has come to. */
export interface Scaling {
  /** The figures before it: rolling back is scaling to these. */
  readonly from: Sizing;
  readonly startedAt: number;
  /** Committed before an engine hears of it; null between two batches. */
  readonly move: SlotMove | null;
  /** Keys of the next batch: as many as the hand-overs so far allow. */
  readonly batchKeys: number;
  /** The quickest of those with the smallest batch that there is; absent before one was as small. */
  readonly leastHandOverMs?: number;
  readonly movedSlots: number;
  readonly movedKeys: number;
  readonly batches: number;
  /** Of all hand-overs so far, ms: how long writers of a source waited. */
  readonly longestPauseMs: number;
  /** Batches that did not succeed since the last one that did. */
  readonly failures: number;
  /** Why the last batch did not succeed; null when it did. */
  readonly trouble: StateReason | null;
  /** After a batch that failed: not before this time. */
  readonly notBefore: number;
  /** The user asked for the way back. */
  readonly canceled: boolean;
  /** This shard gets a copy whose keys lie in the order of slots, and that takes over; absent, null: none does. */
  readonly arranging?: { readonly shard: number; readonly at: number } | null;
  /** Shards that had their turn: none has two. */
  readonly arranged?: readonly number[];
}

/** One batch of slots on its way from one shard to another. */
export interface SlotMove {
  /** Indexes of shards. */
  readonly source: number;
  readonly target: number;
  readonly ranges: readonly SlotRange[];
  /** The primaries that were asked: after a failover these are others, and the move is void. */
  readonly sourceNode: string;
  readonly targetNode: string;
  /** As estimated. */
  readonly keys: number;
  /** By the time of day, as the engine dates it; absent in ticks: recorded by an earlier build. */
  readonly askedAt: number;
  readonly askedTicks?: number;
}

/**
 * - upgrading: processes become `to`, one at a time.
 * - open: all are; the way back to `from` is kept until a time.
 * - returning: processes become `from` again.
 * - returned: all are, and stay so until another upgrade is asked for.
 */
export type UpgradePhase = 'upgrading' | 'open' | 'returning' | 'returned';

/** Engines by their labels, e.g. 'valkey 9.1.2'. */
export interface Upgrade {
  readonly phase: UpgradePhase;
  readonly from: string;
  readonly to: string;
  /** For how long the way back is kept once every process is the newer one. */
  readonly keepMs: number;
  /** When it closes; null: not every process was the newer one yet, or none is any more. */
  readonly until: number | null;
}
