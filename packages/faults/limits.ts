/** Every bound of the faults, with its reason. */

/** A fault that nobody ends is ended by its guardian after this. */
export const MAX_FAULT_MS = 60 * 60 * 1000;
/** File systems larger than this are never filled: others live there. */
export const MAX_FILL_BYTES = 4 * 1024 * 1024 * 1024;
/** Bytes that the in-path proxy holds back in one direction before it stops reading. */
export const PROXY_HELD_BYTES = 4 * 1024 * 1024;
/** Between two looks at a condition that is waited for. */
export const POLL_MS = 10;
/** How long a process that is ended, stopped or traced may take until that shows. */
export const SETTLE_DEADLINE_MS = 5_000;
