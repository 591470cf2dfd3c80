/** Bounds of the tests of the whole service: generous, since several of them share two cores. */

/** Start of the control process to its word `ready`. */
export const READY_DEADLINE_MS = 60_000;
/** An operation of a cache in miniature. */
export const OPERATION_DEADLINE_MS = 60_000;
/** Anything that heals by itself, as a client sees it. */
export const HEAL_DEADLINE_MS = 20_000;
/** Told to end, to gone. */
export const END_DEADLINE_MS = 20_000;
export const POLL_MS = 15;
/** Each service looks for ports in a block of its own, below what Linux gives to outgoing connections. */
export const PORTS_FROM = 21_000;
export const PORTS_TO = 32_000;
export const PORT_BLOCK = 200;
/** A client that cannot connect is told so after this. */
export const CONNECT_DEADLINE_MS = 5_000;
export const ENGINE_DEADLINE_MS = 2_000;
/** Engines of OSSCluster databases are asked every 30 s who is connected. */
export const AUDIT_DEADLINE_MS = 45_000;
