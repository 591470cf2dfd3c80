/** Deadlines and rates of the executor. Times in milliseconds. */

/** Each primary is asked this often whether it lives (engine rule 2). */
export const BEAT_MS = 250;
/** An answer later than this makes an engine mute; judged further by the plan. */
export const PING_DEADLINE_MS = 300;
/** A replica that is told by their new owner where slots went knows it within this, or is asked to wait. */
export const TOLD_WITHIN_MS = 1_000;
/** News of a new owner or primary takes the bus a few ms; who has not heard by now is told by introduction. */
export const UNHEARD_MS = 50;
/** From one introduction to the next: the engine makes the connection for it within a tenth of a second. */
export const INTRODUCED_MS = 250;
/** One engine introduces another at most so often: it makes the connection for it ten times a second, and not before. */
export const MEET_AGAIN_MS = 80;
/** A question that is not answered is put again after this: the answer may be late, or no answer. */
export const ASK_AGAIN_MS = 1_000;
/** At every so many beats the stream of each engine is sampled into the store (engine rule 3). */
export const BEATS_PER_SAMPLE = 4;
/** Every so many samples everything else is looked at too: memory, keys, what the cluster knows. */
export const SAMPLES_PER_LOOK = 5;
/** A closed connection is a false alarm if another one answers within this. */
export const SECOND_OPINION_MS = 50;
/** CPU time is compared with that of the look before, if it is not older than this. */
export const STALE_LOOK_MS = 500;
/** Both connections are closed and the process is still there: it is looked at so often, so long. */
export const DYING_MS = 100;
export const DYING_POLL_MS = 1;
/** Logging in to a living engine on this machine takes a few ms. */
export const LINK_DEADLINE_MS = 1_000;
/** While a process starts, its socket is tried this often. */
export const LINK_RETRY_MS = 10;
export const LINK_RETRY_SLOW_MS = 200;
/** Tries at the quick rate before the slow one. */
export const LINK_QUICK_TRIES = 300;
/** A replica is asked for the end of a dead primary's stream so long before the plan looks again. */
export const DRAIN_TURN_MS = 10;
export const FACTS_DEADLINE_MS = 1_000;
/** A single verb on an engine that answers. */
export const VERB_DEADLINE_MS = 2_000;
/** SIGKILL to gone; a process in uninterruptible sleep may take longer, and then nothing is promoted. */
export const FENCE_DEADLINE_MS = 2_000;
/** Commands in flight at the start of a planned switch are given this long to end. */
export const SWITCH_QUIET_MS = 50;
/** Between what prepares a planned switch and its beginning: compilers and collectors of garbage end. */
export const SWITCH_REST_MS = 25;
/** Clients are held at most this long: less than writes are paused, so that none arrives unpaused. */
export const SWITCH_HOLD_MS = 4_000;
/** Before clients are held a replica that is behind is given this long. */
export const SWITCH_CATCH_UP_MS = 2_000;
/** The paused primary's last bytes arrive in a millisecond; clients wait for no more than this. */
export const SWITCH_EQUAL_MS = 300;
/** One question in the middle of a switch: clients are waiting. */
export const SWITCH_VERB_MS = 500;
/**
 * A start waits so long, and no longer, for clients that wait for another shard; a planned switch so
 * long for engines that start.
 */
export const CALM_WITHIN_MS = 1_000;
export const CALM_POLL_MS = 2;
/** An engine that starts answers after a tenth of this, on a machine that is not overloaded. */
export const STARTING_MS = 1_000;
/** Clients of the engines themselves are cut off again and again, with this pause, for so long... */
export const LEAVE_MS = 5_000;
export const LEAVE_PAUSE_MS = 4;
/** ...or until nobody has come for this long. Then they are refused. */
export const LEFT_MS = 300;
/** Clients have just been let go on: what is to be done about it may be done when their first writes are answered. */
export const GOING_ON_MS = 10;
/** All workers know the new primary after this, or the hold's own end lets clients go on. */
export const SWITCH_PUBLISH_MS = 2_000;
/** Writing the file of an orderly stop, and what all files together take on a slow disk. */
export const SAVE_DEADLINE_MS = 120_000;
/** 10 MB a second: a disk that is slower hangs. */
export const SAVE_SLOWEST_BYTES_MS = 10_000;
/** An engine writes its file on one core; so many streams a disk takes without losing time between them. */
export const SAVES_AT_ONCE = 4;
/**
 * Writes wait until the engine ends or the stop is taken back, which is when all files of all caches are
 * written, so what that takes is added: a write that were taken after the file was would be lost. Whoever
 * takes over ends it earlier.
 */
export const STOP_PAUSE_MS = 900_000;
/** What a stop waits for beside its files: what was begun before, and who serves. */
export const STOP_REST_MS = 300_000;
/** A failover that is due when a stop comes is let end first: a hang takes 1 s to be told from work. */
export const DECIDED_DEADLINE_MS = 6_000;
export const DECIDED_POLL_MS = 20;
/** A replica reads what its paused primary had sent; it writes the file where the primary cannot. */
export const EQUAL_DEADLINE_MS = 2_000;
/** A client user's own FLUSHALL on a large database. */
export const FLUSH_DEADLINE_MS = 60_000;
/** After a failed start: 200 ms, doubled each time, at most this. */
export const START_BACKOFF_MS = 200;
export const START_BACKOFF_MAX_MS = 30_000;
/** A port of an engine that is still held after this is held by somebody else. */
export const PORT_LINGERS_MS = 200;
/** An engine that lived this long had a good start: its back-off is forgotten. */
export const GOOD_START_MS = 10_000;
/** While a step runs for which clients wait, whatever else happens is looked at no sooner than this. */
export const BETWEEN_STEPS_MS = 25;
/** An action that failed is tried again after this. */
export const RETRY_MS = 250;
/** An update ends as failed when an engine has refused a step of it for so long, at each try. */
export const REFUSED_FOR_MS = 10_000;
/** The same for steps that fail without a verdict: a silence may end. */
export const FAILING_FOR_MS = 120_000;
/** A state that is polled is asked for again after this part of the time that it has lasted. */
export const PATIENCE = 8;
/** Connections kept free for our own processes above the SKU's limit. */
export const CONNECTION_RESERVE = 128;
/** Open files that an engine keeps for itself beside its clients; it refuses to have fewer. */
export const ENGINE_OPEN_FILES = 32;
/** Lease of the dead-man rule is renewed this often (it ends after 10 s, engine rule 28). */
export const LEASE_EVERY_MS = 2_000;
/** Keys that a client may ask the control process to push to all engines. */
export const APPLY_DEADLINE_MS = 10_000;
/** The last waits of a create that failed, kept for its error. */
export const WAITS_SHOWN = 5;
/** A client's CONFIG SET is answered when all primaries have it, or after this: the rest follows. */
export const CONFIG_APPLY_MS = 2_000;
export const CONFIG_POLL_MS = 5;
export const MINUTE_MS = 60_000;
/**
 * What nobody asked to be told at once waits for so long: in a failover the snapshot that matters is the
 * one that names the new primary, and each one before it keeps it, and both cores, waiting.
 */
export const PUBLISH_SOON_MS = 60;
/** A publication that failed (no endpoint yet) is tried again after this. */
export const PUBLISH_RETRY_MS = 500;
/** While a start waits for its caches it looks this often. */
export const SERVING_POLL_MS = 20;
/** Certificates that are renewed just while a publication is made are asked for again so often. */
export const LOAD_ROUNDS = 10;
/** A port that somebody else holds is tried again after this. */
export const LISTEN_RETRY_MS = 2_000;
/** In a shard of two versions the copies that its primary gave away are counted this often. */
export const SYNCS_EVERY_MS = 1_000;
/** A copy that is made again counts if it follows within this. */
export const SYNCS_WITHIN_MS = 600_000;
/** Functions of a database, sent from one engine to another. */
export const FUNCTIONS_DEADLINE_MS = 10_000;
/** A replica that could not be started for so long is a problem of its cache. */
export const NOT_STARTED_MS = 2_000;

/** After each turn in which a copy is due: turns come more often than this while something is waited for. */
export const EASE_MS = 3_000;
