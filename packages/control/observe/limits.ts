/** Bounds of looking, each with its reason. */

/** One question to one engine. A busy one is left out rather than waited for. */
export const ENGINE_DEADLINE_MS = 2000;
/** What an engine keeps of each kind of its command log. */
export const ENGINE_LOG_ENTRIES = 128;
/** Between two looks at who is connected to the shards. A list of 15,000 holds an engine for some
 * milliseconds, so not often. */
export const AUDIT_MS = 30_000;
/** Looks without an answer after which an engine's clients are taken for gone. */
export const AUDIT_MISSES = 3;
