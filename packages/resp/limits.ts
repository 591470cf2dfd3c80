/** Bounds of the wire protocol. Each one turns a hostile or broken peer into a named error. */

/** Simple strings, errors, numbers and headers end within this; engines stay far below. */
export const MAX_LINE_BYTES = 64 * 1024;

/** Largest single string; the engines' own default (`proto-max-bulk-len`). */
export const MAX_BULK_BYTES = 512 * 1024 * 1024;

/** Nesting of one reply. Real replies (COMMAND DOCS, CLUSTER SHARDS) need fewer than ten levels. */
export const MAX_DEPTH = 64;

/** Payload bytes and element headers of one whole reply, so that an aggregate cannot fill memory. */
export const MAX_REPLY_BYTES = 1024 * 1024 * 1024;

/** Charged for each element besides its payload: what an empty element costs us in memory. */
export const ELEMENT_COST_BYTES = 16;

/** Strings at least this long are handed out as views of the received chunk; shorter ones are copied, so that a small value does not keep a whole chunk alive. */
export const VIEW_BYTES = 4096;

/** Arguments of one command. Engines have no such bound after login; here each costs eight bytes of offsets. */
export const MAX_ARGUMENTS = 1024 * 1024;

/** An inline command is a line typed by hand; longer ones are refused as the engines do. */
export const MAX_INLINE_BYTES = 64 * 1024;

/** A whole command; the engines' own `client-query-buffer-limit`. */
export const MAX_REQUEST_BYTES = 1024 * 1024 * 1024;

/** Arguments that are read by their specs to tell a newer option from data: beyond, its word is enough. */
export const MOST_ARGUMENTS_READ = 1_000;
