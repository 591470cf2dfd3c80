/** Every wait and bound of the command line, each with its reason. */

/** A loopback request that takes longer than this meets a control process that hangs. */
export const REQUEST_TIMEOUT_MS = 30_000;
/** A control process that is found stopped this many times in a row is waited for no longer. */
export const STOPPED_LOOK_MS = 500;
export const STOPPED_LOOKS = 4;
/** ... and its parent ends it after this many: soon enough that the engines keep to its lease of ten
 * seconds, late enough for who stopped it by mistake. */
export const HUNG_LOOK_MS = 1_000;
export const HUNG_LOOKS = 6;
/** An answer larger than this is not one of ours. */
export const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
/** How often an operation is asked for its steps: fast enough for a create of under two seconds. */
export const POLL_MS = 60;
/** `--timeout` unless the user says otherwise: scaling a large cache takes minutes, not hours. */
export const OPERATION_TIMEOUT_S = 3_600;
/** How often `--watch` looks again. */
export const WATCH_MS = 1_000;
/** How often `--follow` asks for new lines and events. */
export const FOLLOW_MS = 500;

/** A second SIGINT within this time is the same one: npm and the terminal both deliver it. */
export const SAME_SIGNAL_MS = 2_000;
/** After "at once", control gets this long before it is killed. */
export const STOP_NOW_GRACE_MS = 5_000;
/** First pause before a crashed control process is started again; doubles up to the last. */
export const RESTART_FIRST_MS = 200;
export const RESTART_LAST_MS = 10_000;
/** ... and of one that served: no shard of one or two heals meanwhile, however often it was killed. */
export const RESTART_SERVED_MS = 1_000;
/** A control process that ran this long was healthy: the next crash counts as the first. */
export const HEALTHY_AFTER_MS = 60_000;
/** Crashes in a row before it was ever ready, after which trying again has no sense. */
export const MAX_BOOT_CRASHES = 5;
/** The log is copied to `.1` and emptied at this size; two files bound the disk it takes. */
export const LOG_ROTATE_BYTES = 16 * 1024 * 1024;
export const LOG_CHECK_MS = 30_000;

/** `cinnabar down --now` waits this long before it kills; for an orderly stop control says how long. */
export const DOWN_NOW_TIMEOUT_MS = 300_000;
/** An orderly stop that may take longer than this says so when it begins. */
export const LONG_STOP_MS = 360_000;
/** What the unit has systemd wait for a stop (TimeoutStopSec); one that may take longer asks for more. */
export const UNIT_STOP_MS = 600_000;
/** ... which nobody hears who finds the stop of another under way: that one has a bound of its own. */
export const JOINED_TIMEOUT_MS = 3_600_000;
/** So often `cinnabar down` begins anew where control was killed in its stop, or is back. */
export const STOP_TURNS = 4;
/** After a refused stop control is started again, which takes a second or two; `down` waits so long for it. */
export const BACK_TIMEOUT_MS = 30_000;
/** A command that changes something waits so long for a control process that is being started again. */
export const BACK_SOON_MS = 5_000;
/** After SIGKILL a process is gone in milliseconds; longer means it hangs in the kernel. */
export const KILL_TIMEOUT_MS = 10_000;
/** How often a vanishing process is looked for. */
export const GONE_POLL_MS = 25;

/** Less free disk than this: a save of even a small cache may fail. */
export const DISK_WARN_BYTES = 2 * 1024 * 1024 * 1024;
export const DISK_FAIL_BYTES = 256 * 1024 * 1024;
/** Less than this, and not even a start can be recorded (the store's log grows by some pages). */
export const DISK_FULL_BYTES = 1_000_000;
/** Open files: each client is one in the endpoint; below this the smallest SKU's limit is not reached. */
export const OPEN_FILES_WARN = 16_384;
export const OPEN_FILES_FAIL = 1_024;
/** Certificates are renewed long before: one that expires this soon was not renewed. */
export const CERTIFICATE_WARN_MS = 7 * 24 * 3_600 * 1_000;
/** One probe of the doctor: a port, a process, a file. */
export const PROBE_TIMEOUT_MS = 3_000;

/**
 * Without a terminal a step that is done in less than this is one line, its end; from then on it says
 * that it still runs, at pauses that double up to the second figure.
 */
export const FIRST_WORD_MS = 1_000;
export const MOST_SILENT_MS = 10_000;
