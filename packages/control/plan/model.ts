/**
 * What the plan reads and what it says. Plain data both ways: the plan never does anything.
 */
import type { EngineFacts, ProcessState, SlotRange } from '../../engine/contract.ts';
import type {
  DatabaseRecord,
  InstanceRecord,
  ShardRecord,
  StartKind,
  StateReason,
} from '../store/records.ts';

/**
 * How an engine answers now:
 * - unknown: not asked yet since this control process started, or since the engine's start.
 * - script: it answers -BUSY; a script runs.
 * - mute: it does not answer.
 */
export type Condition = 'unknown' | 'answering' | 'loading' | 'script' | 'mute';

/** One engine as it is seen now; volatile, never stored. Times are the clock's ticks. */
export interface Sighting {
  readonly process: ProcessState | 'none';
  readonly condition: Condition;
  /** Since when the condition holds; mute: since the first question without an answer. */
  readonly since: number;
  /** Since when its process has used no CPU time, nor waited for any. */
  readonly stillSince: number;
  /** The last answer; null before the first. Stale unless the condition is `answering`. */
  readonly facts: EngineFacts | null;
  readonly factsAt: number;
  /** Generation of settings applied over its present connection; -1: none yet. */
  readonly configured: number;
  /** After failed starts: not before this time. */
  readonly startNotBefore: number;
  /**
   * When it became known that its last process is gone; 0: before this control process began, and
   * so before everything that it was told.
   */
  readonly endedAt: number;
}

export const UNSEEN: Sighting = {
  process: 'none',
  condition: 'unknown',
  since: 0,
  stillSince: 0,
  facts: null,
  factsAt: 0,
  configured: -1,
  startNotBefore: 0,
  endedAt: 0,
};

export interface View {
  /** In ticks, as all times of sightings. */
  readonly now: number;
  /** When this process first looked: what was recorded "later" was so by another clock, before. */
  readonly began: number;
  /** By how much this process's own event loop was late lately. */
  readonly ownDelayMs: number;
  /** What is wanted of the database as a whole. */
  readonly wanted: 'running' | 'nothing';
  readonly database: DatabaseRecord;
  readonly shards: readonly ShardRecord[];
  readonly instances: readonly InstanceRecord[];
  readonly seen: ReadonlyMap<string, Sighting>;
  /** The endpoint serves the present view of this database. */
  readonly published: boolean;
  /** What its source says of the batch of slots under way; null: none is, or nobody looked yet. */
  readonly move: MoveSighting | null;
  /** Which shards have their keys brought in order, and how long that is waited for. */
  readonly arranging: ArrangingLimits;
  /** An orderly stop was asked for: nothing is begun that takes long. */
  readonly stopping: boolean;
}

/** A moment on record, by our clock: one that is yet to come was recorded by another clock, before we began. */
export function ours(view: View, at: number): number {
  return at > view.now ? view.began : at;
}

/** `ARRANGING` (limits.ts) but for tests: few engines of theirs ever hold so many keys, or wait so long. */
export interface ArrangingLimits {
  readonly fromKeys: number;
  readonly startMs: number;
  readonly deadlineMs: number;
}

/** A batch of slots as its source tells it; volatile, never stored. */
export interface MoveSighting {
  /** `absent`: the source answers and knows nothing of it. */
  readonly outcome: 'unknown' | 'running' | 'success' | 'failed' | 'cancelled' | 'absent';
  /** Since when it waits for the engine's one child process; null: it does not. */
  readonly waitingSince: number | null;
  readonly message: string;
  /** How long writers of the source waited, at most, ms: for the hand-over, or while it copied itself (fork). */
  readonly pauseMs: number;
  /** For the hand-over alone, which is the part that grows with the batch. */
  readonly handOverMs: number;
  /** When the outcome was known; 0: not yet. */
  readonly endedAt: number;
  /** The target's stream position when it owned the slots: a copy behind it lacks some of them. */
  readonly targetOffset: number;
}

/** `in-order`: done. With the others slots leave as the keys lie. */
export type ArrangeEnd =
  | 'in-order'
  | 'shard-gone'
  | 'canceled'
  | 'maintained'
  | 'late'
  | 'no-copy-in-order'
  | 'no-room'
  | 'switch-given-up';

export type Action =
  /** Record all shards and their first instances: ids, ports, folders. */
  | { readonly kind: 'lay-out' }
  /** Record one more replica of the shard. */
  | { readonly kind: 'add-replica'; readonly shard: number }
  | { readonly kind: 'start'; readonly instance: string; readonly as: StartKind }
  /** Make sure that its process is gone, then record it dead. */
  | { readonly kind: 'fence'; readonly instance: string; readonly reason: FenceReason }
  /** Commit: this one is next; then tell it. Also repeats the telling after a lost reply. */
  | { readonly kind: 'promote'; readonly shard: number; readonly instance: string }
  /** Commit: the successor serves. */
  | { readonly kind: 'crown'; readonly shard: number; readonly instance: string }
  /** A planned switch to this one, from its beginning; also the repetition of one that stuck. */
  | { readonly kind: 'hand-over'; readonly shard: number; readonly instance: string }
  /** Both agree who is primary now (or the old one is dead): commit, end the pause, let clients go on. */
  | { readonly kind: 'finish-handover'; readonly shard: number }
  /** The switch cannot be finished, and the successor can do nothing any more: the old one stays. */
  | { readonly kind: 'undo-handover'; readonly shard: number; readonly reason: string }
  /** Record the wish that this one takes over: its primary is to be made anew, or has its keys in no order. */
  | { readonly kind: 'wish-handover'; readonly shard: number; readonly instance: string }
  /** A replica is made anew: clients that read from it go elsewhere, then its process is ended. */
  | { readonly kind: 'renew'; readonly instance: string }
  /** Every process is another one now. */
  | { readonly kind: 'end-maintenance' }
  /** The wish for a switch ends: fulfilled (`problem` null), or given up. */
  | { readonly kind: 'end-handover'; readonly shard: number; readonly problem: StateReason | null }
  /** Commit: the engines chose this one while nobody looked. */
  | { readonly kind: 'adopt'; readonly shard: number; readonly instance: string }
  /** Commit: nobody may serve; why. */
  | {
      readonly kind: 'give-up';
      readonly shard: number;
      readonly code: string;
      readonly message: string;
    }
  | { readonly kind: 'follow'; readonly instance: string; readonly primary: string }
  | { readonly kind: 'meet'; readonly instance: string; readonly through: string }
  | { readonly kind: 'configure'; readonly instance: string }
  /** Record that a replica holds a whole copy, or that it is giving its copy up for a new one. */
  | { readonly kind: 'note-copy'; readonly instance: string; readonly whole: boolean }
  /** On its way out: recorded, then killed, forgotten by its peers, its files removed. */
  | { readonly kind: 'dismiss'; readonly instance: string }
  /** Not on its way out any more: it may hold the last copy. */
  | { readonly kind: 'keep'; readonly instance: string }
  | { readonly kind: 'remove'; readonly instance: string }
  | { readonly kind: 'remove-database' }
  /** Record the shards that are missing, each with its first pair of instances. */
  | { readonly kind: 'add-shards' }
  /** Give a new shard all functions, see that it has them, and record that it may own slots. */
  | { readonly kind: 'admit'; readonly shard: number }
  /** Commit one batch of slots, then ask its source to move it. */
  | {
      readonly kind: 'begin-move';
      readonly source: number;
      readonly target: number;
      readonly ranges: readonly SlotRange[];
      readonly keys: number;
    }
  /** Commit who owns the batch now. */
  | { readonly kind: 'end-move'; readonly moved: boolean; readonly reason: string }
  | { readonly kind: 'cancel-move' }
  /** Commit what all primaries say, where the records say otherwise. */
  | {
      readonly kind: 'note-slots';
      readonly slots: readonly {
        readonly shard: number;
        readonly ranges: readonly SlotRange[];
      }[];
    }
  /** Slots whose owner died at the moment of their hand-over: this shard takes them. */
  | {
      readonly kind: 'claim-slots';
      readonly shard: number;
      readonly ranges: readonly SlotRange[];
    }
  /** Commit: it is empty and goes. */
  | { readonly kind: 'retire-shard'; readonly shard: number }
  | { readonly kind: 'remove-shard'; readonly shard: number }
  /** Every slot is where it belongs: shards get their final share of memory. */
  | { readonly kind: 'end-scaling' }
  /** Its keys are to lie in the order of slots before it gives any away: it gets one more copy. */
  | { readonly kind: 'arrange'; readonly shard: number }
  /** Such a copy is primary, or is not waited for any longer. */
  | { readonly kind: 'end-arrange'; readonly reason: ArrangeEnd }
  /** Everything desired is seen: record it, end the operations that waited for it. */
  | { readonly kind: 'settle' };

export type FenceReason =
  | 'died'
  | 'hung'
  | 'busy'
  | 'script'
  | 'stray'
  | 'dismissed'
  /** It did not answer, or not as it should, in the middle of a planned switch. */
  | 'switch'
  /** It is made anew, as asked. */
  | 'maintenance';

/** A named "not yet". The user reads the reason. */
export interface Wait {
  readonly reason: string;
  readonly shard: number | null;
  /** Look again after this; null: an event will come. */
  readonly recheckMs: number | null;
  /** Ask these engines again first. */
  readonly refresh: readonly string[];
  /** All that matters of them is how far they have read the stream of a primary that is dead. */
  readonly draining?: boolean;
}

export interface Plan {
  /** Independent of each other: they may run at the same time. */
  readonly actions: readonly Action[];
  readonly waits: readonly Wait[];
}
