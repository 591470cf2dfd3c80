/** Bounds of the store. */

/** Events and audit records kept; older ones are dropped in batches as new ones come. */
export const EVENTS_KEPT = 50_000;
export const AUDIT_KEPT = 50_000;
/** How often the tables are trimmed: once in so many inserts, so that an insert stays cheap. */
export const TRIM_EVERY = 500;
/** Finished operations kept per installation; clients poll for hours, not for months. */
export const OPERATIONS_KEPT = 5_000;
/** From a user's `up` to the first instruction of its control process, on a busy machine. */
export const LAUNCH_MS = 2_000;
/** How long a statement waits for a reader of the same file (a backup, a curious sqlite3). */
export const BUSY_TIMEOUT_MS = 2_000;
