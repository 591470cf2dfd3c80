/** Bounds of what a user may ask for, and of the loop that finishes cluster operations. */

/** Public ports that are given out when none is named: below the engines' own ports (from 20000). */
export const AUTOMATIC_PORTS = 8_000;
/** Ports below this need special rights on most systems. */
export const LOWEST_PORT = 1_024;
export const HIGHEST_PORT = 65_535;

/** As in Azure: tags of one resource, and the length of their names and values. */
export const MAX_TAGS = 50;
export const MAX_TAG_NAME = 512;
export const MAX_TAG_VALUE = 256;
export const MAX_LOCATION = 64;

/** Clusters a subscription can hold. Lists, capacity checks and name checks walk all of them. */
export const MAX_CLUSTERS = 1_000;
export const MAX_GROUPS = 980;

/** What was read of the machine's memory and disk counts for so long. */
export const ROOM_FRESH_MS = 500;

/** Maintenance windows, as in Azure. */
export const LEAST_WINDOWS = 2;
export const LEAST_WINDOW_MINUTES = 4 * 60;
export const MOST_WINDOW_MINUTES = 24 * 60;
export const LEAST_WINDOWS_MINUTES = 18 * 60;
/** How often it is looked whether a window is open. */
export const CALENDAR_INTERVAL_MS = 30_000;
/** A process that executes no script is replaced again after this at the earliest, then after twice that ... */
export const SCRIPTS_AGAIN_FIRST_MS = 10 * 60_000;
/** ... counting those of a day, which are among so many operations. */
export const SCRIPTS_COUNTED_MS = 24 * 3_600_000;
export const OPERATIONS_LOOKED_AT = 200;
/** A process of so many bytes that takes so many times what it uses is better made anew. */
export const FRAGMENTED_FROM_BYTES = 256 * 1024 * 1024;
export const FRAGMENTED_RATIO = 1.5;

/**
 * How often cluster operations that wait for a database are looked at; only while there are any.
 * A database's loop has no signal for every end, and a client should not wait longer for it.
 */
export const SETTLE_INTERVAL_MS = 50;

export const HOUR_MS = 3_600_000;
/** For how long the way back from a newer engine is kept if nobody says, and at most. */
export const WAY_BACK_HOURS = 24;
export const MOST_WAY_BACK_HOURS = 30 * 24;
