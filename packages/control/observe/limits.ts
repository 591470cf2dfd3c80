/** Bounds of looking, each with its reason. */

/** One question to one engine. A busy one is left out rather than waited for. */
export const ENGINE_DEADLINE_MS = 2000;
/** What an engine keeps of each kind of its command log. */
export const ENGINE_LOG_ENTRIES = 128;
