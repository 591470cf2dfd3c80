/** Every bound of the proving ground, with its reason. */

/** Rounds of a benchmark: a median of fewer than five hides one bad neighbour badly. */
export const MIN_PAIRS = 5;
/** A rival below this part of its known share of `direct` was disturbed: the run is void. */
export const VOID_BELOW = 0.8;
/** Runs of one void cell before it is reported as void. */
export const VOID_ATTEMPTS = 2;

/** Latencies are kept up to this (nanoseconds): 2^41 ns is 36 minutes. */
export const HISTOGRAM_OCTAVES = 41;
/** Sub-buckets of an octave: 128 bound the error of a value by 0.4 %. */
export const HISTOGRAM_SUB_BITS = 7;

/** Outstanding requests of one connection; above it an arrival is shed and counted. */
export const MAX_OUTSTANDING = 65_536;
/** Bytes of one batch of requests written at once. */
export const WRITE_BATCH_BYTES = 64 * 1024;
/** Read buffer of one connection. */
export const READ_BUFFER_BYTES = 64 * 1024;
/** Bytes of a reply that are kept for looking at: an error line or a version number fits. */
export const REPLY_HEAD_BYTES = 256;
/** A line (simple string, error, length) longer than this is a protocol error. */
export const MAX_REPLY_LINE_BYTES = 64 * 1024;
/** Nesting of aggregates in a reply; the engine itself stops far below. */
export const MAX_REPLY_DEPTH = 64;
/** A reply that a reader of values may hold in memory. */
export const MAX_REPLY_BYTES = 1024 * 1024 * 1024;
/** Wait before a lost connection is opened again; doubled up to the second figure. */
export const RECONNECT_MIN_MS = 5;
export const RECONNECT_MAX_MS = 50;
/** A cluster or sentinel client that lost a primary asks for the new one this often. */
export const DISCOVERY_MS = 20;
/** Redirections that one request follows. */
export const MAX_REDIRECTS = 16;
/** The generator is the limit when its own p99 send lag is above this... */
export const GENERATOR_LAG_MS = 2;
/** ...or when its thread was busy for more than this part of the time and did not keep up. */
export const GENERATOR_BUSY = 0.98;
/** Examples of each kind of anomaly that a report carries; all are counted. */
export const MAX_EXAMPLES = 20;
/** Entries of an append log that are read back at once. */
export const LOG_PAGE = 10_000;
/** A time without a success shorter than this is a gap between two arrivals, not a pause. */
export const PAUSE_MIN_MS = 3;
/** A request that waited so long is told of with its time. */
export const LONG_WAIT_MS = 50;
/** Failed requests that a report names one by one. */
export const MAX_FAILURES = 100_000;
/** Grain of the time line of a load. */
export const TIMELINE_GRAIN_MS = 100;

/** How long a process we started may take to answer. */
export const START_DEADLINE_MS = 15_000;
/** How long a process we end may take to go after SIGTERM, then after SIGKILL. */
export const STOP_DEADLINE_MS = 5_000;
/** Between two looks at a condition that is waited for. */
export const POLL_MS = 10;
/** A single request of a control or verification connection. */
export const REQUEST_DEADLINE_MS = 30_000;

/** Soft file limit that the connections benchmark asks for. */
export const WANTED_FILES = 24_000;

/** One thing that a benchmark began is ended within this, or left to whoever looks after it. */
export const UNDO_MS = 60_000;
