/** Bounds of the control process's side of the data path, with their reasons. Milliseconds. */

/** A supervisor that was just spawned: Node's start and its socket. Usually 150. */
export const SUPERVISOR_START_MS = 10_000;
/** How often a starting supervisor's socket is tried. */
export const CONNECT_RETRY_MS = 20;
/** Connecting to a unix socket and getting hello. */
export const HELLO_WAIT_MS = 3000;
/** A process that kept somebody waiting is watched this long: without any work it is hung. */
export const STILL_MS = 2000;
export const STILL_LOOK_MS = 100;
/** A look that comes this late saw too little: this machine is busy. */
export const STILL_LATE_MS = 500;
/** A supervisor that says no hello, but works, is tried again. */
export const ADOPT_TRIES = 3;
/** A worker that is listed and was not reached is tried again so much later. */
export const REACH_AGAIN_MS = 250;
/** Any request but those that carry their own deadline. */
export const ANSWER_WAIT_MS = 5000;
/** Waiting for new workers to be ready and to apply a snapshot. */
export const APPLY_WAIT_MS = 15_000;
/** An answer to a request with a deadline of its own may come this much later. */
export const ANSWER_GRACE_MS = 500;
/** Workers that a dead supervisor left: how long they may take to hand over. Their listening sockets
 * are closed at once; this is for their clients. */
export const ORPHAN_DRAIN_MS = 2000;
/** How long the ports of orphans may take to become free. */
export const ORPHAN_RELEASE_MS = 5000;
/** Between two attempts to bring back a supervisor that died. */
export const RECOVER_PAUSE_MS = 250;
/** A replaced worker's successor must be ready in this time. */
export const REPLACE_WAIT_MS = 20_000;
/** The log of supervisor and workers starts anew at this size. */
export const LOG_BYTES = 4 * 1024 * 1024;
/** sun_path holds 108 bytes with its end; the longest name in the run folder is `w63-4194304.sock`. */
export const RUN_FOLDER_BYTES = 107 - '/w63-4194304.sock'.length;
/** A socket that the supervisor has lent is with its workers within so many looks. */
export const LENDING_TRIES = 10;
export const LENDING_PAUSE_MS = 20;
