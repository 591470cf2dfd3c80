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
/** Held back for a full disk: the store's log and its index as large as they become, and some lines of our log. */
export const RESERVE_BYTES = 8 * 1024 * 1024;
export const RESERVE_CHUNK_BYTES = 1024 * 1024;
/** It is made only where so much is free: a disk that is nearly full needs its room for data. */
export const RESERVE_SPARE_BYTES = 8 * RESERVE_BYTES;
export const RESERVE_EVERY_MS = 10_000;
