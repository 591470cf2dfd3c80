/** Deadlines and back-offs of the plan. Times in milliseconds. */

/** A process that does not answer and uses no CPU is hung after this (engine rule 7). */
export const HUNG_AFTER_MS = 1_000;
/** One that does not answer but works (a legal slow command) is left alone this long. */
export const BUSY_AFTER_MS = 15_000;
/** A script says so itself (-BUSY); the user may end it long before. */
export const SCRIPT_AFTER_MS = 30_000;
/** At most one failover by deadline a shard in this time: the cause may travel with the command. */
export const DEADLINE_FAILOVER_GAP_MS = 60_000;
/** A stray primary is given this long to be demoted by gossip before it is fenced. */
export const STRAY_GRACE_MS = 5_000;
/** While a dying primary's stream is read to its end, replicas are asked this often. */
export const DRAIN_POLL_MS = 1;
/** How often a state that only time changes is looked at again. */
export const WAIT_POLL_MS = 100;
/** The control process itself was late by this much: its clocks prove nothing about others. */
export const OWN_DELAY_MS = 250;
/** A create that got nowhere in this time is rolled back and reported. */
export const CREATE_DEADLINE_MS = 120_000;
/** A primary that booted this long ago is past the engine's own two seconds of refusing. */
export const BOOT_GRACE_MS = 2_500;
/** While a batch of slots is handed over, engines are asked this often. */
export const MOVE_POLL_MS = 10;
/** ...from the end of its snapshot on. */
export const HANDOVER_POLL_MS = 3;
/** News of a hand-over reaches the other engines by gossip within a few ms. */
export const NODES_POLL_MS = 10;
/** What an engine said of its slots counts for the next batch for so long. */
export const SLOT_FACTS_FRESH_MS = 2_000;
/** A move that waits this long for the engine's one child process is cancelled and reported. */
export const SNAPSHOT_WAIT_MS = 60_000;
/** How long a hand-over of slots should stop writers: a fifth of what is promised, for noise comes on top. */
export const HANDOVER_GOAL_MS = 30;
/** ... and how long it may where even the smallest batch takes longer. */
export const HANDOVER_MOST_MS = 100;
/** ... by this factor of what the quickest batch takes. */
export const HANDOVER_SLACK = 1.5;
/** Keys of the first batch, before anything is measured. */
export const FIRST_BATCH_KEYS = 2_000;
/** A batch below this stops writers for reasons that a smaller one does not change. */
export const LEAST_BATCH_KEYS = 2_000;
export const MOST_BATCH_KEYS = 1_000_000;
/** When a shard's memory is brought into the order of slots (`arrange.ts`). */
export const ARRANGING = {
  /** A shard that is to give so many keys away is arranged first: a copy of it takes seconds. */
  fromKeys: 50_000,
  /** A copy that does not run by then, or dies later, is not waited for: an update whose steps fail for long fails. */
  startMs: 60_000,
  /** Nor one that is not whole by then. */
  deadlineMs: 600_000,
} as const;
/** So long after a copy in the order of slots took over, it is waited for the others to follow it. */
export const COPIES_FOLLOW_MS = 5_000;
/** After a batch that failed: doubled each time, at most the second figure. */
export const MOVE_RETRY_MS = 250;
export const MOVE_RETRY_MAX_MS = 5_000;
/** Failures in a row after which the back-off grows no further. */
export const MOVE_RETRY_DOUBLINGS = 5;

/** A wished switch is tried this often, and not longer than this; then it is given up with its reason. */
export const HANDOVER_TRIES = 8;
export const HANDOVER_DEADLINE_MS = 60_000;
/** Writes of the old primary are paused at most this long; then it goes on by itself (engine rule 4). */
export const SWITCH_PAUSE_MS = 5_000;
/** No decision when so much of the pause is over: what follows must end before it does. */
export const SWITCH_DECIDE_WITHIN_MS = SWITCH_PAUSE_MS / 2;
/**
 * So long after the decision an engine that does not say what it should is fenced. The pause began at
 * most half its length before the decision, so a second of it is still left then.
 */
export const SWITCH_LATE_MS = SWITCH_PAUSE_MS - SWITCH_DECIDE_WITHIN_MS - 1_000;
/** Standalone: within this of the decision the old primary is certainly paused still. */
export const SWITCH_TELL_MS = SWITCH_LATE_MS;
/** A switch whose successor was not told is repeated within this; later it is undone. */
export const SWITCH_REPEAT_MS = 10_000;
/** Both engines of a stuck switch are asked this often. */
export const SWITCH_POLL_MS = 20;
/** One that is no further behind than this (bytes) is there at once; waited for before clients are held. */
export const SWITCH_SMALL_LAG_BYTES = 32_768;
/** A replica further behind than this (bytes) would hold clients too long: no switch is begun. */
export const SWITCH_LAG_BYTES = 1_048_576;
