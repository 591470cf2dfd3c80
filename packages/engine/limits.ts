/** Bounds of this package, each with its reason. Times in milliseconds. */

/** sun_path holds 108 bytes, the closing zero included. */
export const MAX_SOCKET_PATH_BYTES = 107;

/** Between two looks at a process that was just killed: the fence is on the path of a failover. */
export const KILL_POLL_MS = 1;
/** A snapshot's child that was told to die with its engine; as its engine, it may wait for a disk. */
export const CHILDREN_GONE_MS = 2_000;

/** Added to an engine's niceness for its children: against a busy parent they get a quarter of what both have. */
export const CHILD_NICE = 5;
/** Niceness of the session of an engine that fills. With 10 it fills five times as long where others want all cores. */
export const LIGHT_NICE = 5;
/** After a write that was refused: the next is possible a tenth of a second after somebody's last. */
export const WEIGH_RETRY_MS = 20;
/** Between two looks for new children, while a copy is due: a small shard's lives for 50 ms. */
export const EASE_POLL_MS = 10;

/** Replies that a link still owes for calls whose deadline passed. Pings come five times a second, so this is over three minutes of silence; then the link is closed as mute. */
export const MAX_OVERDUE_REPLIES = 1024;

/** Calls that may wait on one link. The control process never needs more than a handful. */
export const MAX_PENDING_CALLS = 4096;

/** Largest reply on a control link: CLIENT LIST of a full database is some 10 MB. */
export const MAX_LINK_REPLY_BYTES = 64 * 1024 * 1024;

/** A beat that is sent as an ordinary call is given up after this; its asker looks earlier. */
export const MAX_BEAT_MS = 60_000;

/** What one read of a control link takes at most. */
export const READ_BUFFER_BYTES = 65_536;

/** While a SAVE is refused because a background save runs, ask again this often. */
export const SAVE_RETRY_MS = 20;

/** Old nodes.conf files that are kept beside the present one, for the person who reads them after an accident. */
export const KEPT_NODES_FILES = 5;

/** Commands sent in one write when many clients are ended at once. */
export const KILL_BATCH = 500;

/** A whole fetch: 35 MB of package lists and packages over a slow line. */
export const FETCH_DEADLINE_MS = 10 * 60_000;

/** One attempt of apt to reach a server, in seconds; without it a dead proxy costs minutes. */
export const FETCH_CONNECT_S = 20;

/** Between two looks at how far a fetch is: what takes longer than a second moves. */
export const FETCH_SO_FAR_MS = 500;

/** How long a provisioning waits for another one that holds the lock. */
export const LOCK_DEADLINE_MS = 11 * 60_000;
export const LOCK_POLL_MS = 100;

/** Package lists younger than this are used as they are; a package that vanished since makes us read them again. */
export const LISTS_FRESH_MS = 6 * 60 * 60_000;

/** A fresh engine answers its first question within 0.2 s; a loaded machine may need longer. */
export const PROBE_DEADLINE_MS = 20_000;

/** Of its folder's name: a socket in it, `/probe-xxxxxx/s`, may have 107 bytes with it. */
export const CACHE_DIR_CHARACTERS = 90;

/** `--version` of a binary that somebody named. */
export const VERSION_DEADLINE_MS = 5_000;

/** Rounds of "unpack, look what is missing, fetch it". Real chains end after three. */
export const MAX_LIBRARY_ROUNDS = 8;

/**
 * An engine's log is copied to `.1` and emptied at this size: two files bound the disk it takes. A scaling
 * of a whole cache writes 3 MB, a line a slot.
 */
export const ENGINE_LOG_BYTES = 8_000_000;
/** How often the size is looked at. */
export const ENGINE_LOG_CHECK_MS = 60_000;

/** An engine's log that is read back for an error message: its last bytes. */
export const LOG_TAIL_BYTES = 4096;

/** Of the role files of a whole cluster, each of which is written anew when one of its shards changes hands. */
export const ROLE_BYTES = 256 * 1024;
