/**
 * Every bound of the kit, with its reason. Options may change those marked (option); nothing else
 * is unbounded. Times are milliseconds, sizes bytes.
 */

/** A reply or request from this size on counts as large: 64 KB is one read of a Node socket. */
export const LARGE_BYTES = 64 * 1024;
/** Replies of such sizes are put together before the library sees them; up to the engine's largest string. */
export const GATHER_BYTES_MIN = 256 * 1024;
export const GATHER_BYTES_MAX = 512 * 1024 * 1024 + 64;

/** One read of a socket takes this much at most; one buffer of it serves all sockets. */
export const READ_BYTES = 256 * 1024;
/** What one connection may bring before the others are looked at. */
export const TURN_BYTES = 256 * 1024;

/** Small lanes: one is fastest while replies are small (every further socket is one more system call a tick). (option) */
export const SMALL_LANES_MAX = 4;
/** Bulk lanes: two large replies at a time already fill what one JavaScript thread can take in. (option) */
export const BULK_LANES_MAX = 2;
/** Blocking commands hold a connection each; beyond this many they wait for one. (option) */
export const BLOCKING_LANES_MAX = 16;
/** A small lane with this much expected to come or to go is full: the pool opens another. */
export const LANE_FULL_BYTES = 256 * 1024;
/** What a reply is taken to bring while nothing is known of it. */
export const SMALL_REPLY_BYTES = 64;
/** A lane that nobody used for this long is closed, down to one. */
export const LANE_IDLE_MS = 60_000;

/** A connection that brought nothing for this long is sent a PING: Azure drops it after ten minutes, firewalls sooner. (option) */
export const IDLE_PING_MS = 60_000;
/** TCP asks the other end of a connection that brought nothing for this long; the system's own measure is two hours. */
export const KEEP_ALIVE_MS = 30_000;
/** Node's timers fire at once when they are set for longer than this. */
export const TIMER_MS_MAX = 2 ** 31 - 1;

/** Calls that wait inside the pool (for order, a barrier, or a blocking lane); more are refused. */
export const WAITING_CALLS_MAX = 100_000;
/** Calls that wait for a connection: refused beyond either bound, and dropped after the age. (option) */
export const OFFLINE_CALLS_MAX = 10_000;
export const OFFLINE_BYTES_MAX = 64 * 1024 * 1024;
export const OFFLINE_AGE_MS = 5_000;

/** For so long a node of a cluster is believed that another one takes a command, this once (`ASK`). */
export const ASK_MS = 20;

/** A transaction of which some keys have gone to another node, and others not yet, is asked again; others on its slot wait. */
export const TRY_AGAIN_MS = 50;
export const TRY_AGAIN_TIMES = 16;

/** Patterns of (command, key) remembered as large; the oldest is forgotten first. */
export const LEARNED_PATTERNS_MAX = 4_096;
/** Of a longer key only the beginning makes its pattern. */
export const PATTERN_KEY_CHARS = 256;
/** A pattern that was not large for this many replies in a row is small again. */
export const UNLEARN_AFTER_REPLIES = 64;
/** Keys longer than this are cut for tables and messages. */
export const KEY_SHOWN_CHARS = 80;

/** One tick's commands are written together, but never more than this in one piece. */
export const BATCH_BYTES_MAX = 64 * 1024;
export const BATCH_COMMANDS_MAX = 1_000;

/** The janitor looks at deadlines, stalls and ages this often, and only while something is pending. */
export const JANITOR_MS = 20;
/** Defaults of the deadlines; see deadlines/classes.ts for what is in which class. (option) */
export const DEADLINE_CONNECT_MS = 5_000;
export const DEADLINE_FAST_MS = 2_000;
export const DEADLINE_SLOW_MS = 10_000;
export const DEADLINE_BULK_MS = 30_000;
export const DEADLINE_OPERATION_MS = 60_000;
/** What a blocking command gets beyond its own argument: a round trip and a busy moment. */
export const BLOCKING_GRACE_MS = 1_000;
/**
 * A blocking command that was given up fails after this at the latest: by then a server, and a process, that are
 * very busy have answered all the same. An element that comes later is nobody's.
 */
export const GIVEN_UP_MS = 1_000;
/** A connection that is closed and has nothing more to answer ends within this, or is destroyed. */
export const QUIT_MS = 2_000;
export const QUIT_LOOK_MS = 50;
/** A socket with work pending that brought no byte for this long is destroyed. (option) */
export const STALL_MS = 15_000;

/** Retries: attempts in all, full jitter between base and cap. (option) */
export const RETRY_ATTEMPTS = 5;
export const RETRY_BASE_MS = 50;
export const RETRY_CAP_MS = 1_000;
/** The budget of a process: a tenth of the calls of the last seconds may be repeated, and this many in any case. */
export const RETRY_BUDGET_RATIO = 0.1;
export const RETRY_BUDGET_BURST = 100;
export const RETRY_BUDGET_WINDOW_MS = 10_000;
/** Breaker: opens when half of at least this many calls of a window failed; probes after the pause. */
export const BREAKER_WINDOW_MS = 10_000;
export const BREAKER_MIN_CALLS = 20;
export const BREAKER_FAILURE_RATIO = 0.5;
export const BREAKER_OPEN_MS = 1_000;
/** Without a connection nothing counts before this: a failover takes less, and calls wait for its end. */
export const BREAKER_AWAY_MS = 1_000;
/** Reconnects: full jitter up to the cap, so that a fleet does not come back in one wave. */
export const RECONNECT_BASE_MS = 50;
export const RECONNECT_CAP_MS = 5_000;
/**
 * A connection that nobody waits for comes back within this. Of 200 processes whose connections one fault ended, 50 ms
 * bring all within one tenth of a second; these bring a quarter of those that have time.
 */
export const RECONNECT_LEISURE_MS = 400;
/** By so much from one attempt to the next; from base to cap it takes 21 steps, and more change nothing. */
export const RECONNECT_GROWTH = 1.25;
export const RECONNECT_STEPS_MAX = 32;

/**
 * Chunked values. One chunk is one read of a Node socket, and with what the kit and the server put around it
 * (5 and 10 bytes) it is within the server's 64 KB allocation class: 64 KB of data would take 80. Its request,
 * a hundred bytes more, is below LARGE_BYTES, where servers and this kit begin to report large values. (option)
 */
export const CHUNK_BYTES = 64 * 1024 - 256;
export const CHUNK_BYTES_MIN = 256;
export const CHUNK_BYTES_MAX = 1024 * 1024;
/** Chunks in flight an operation: half a megabyte, what a turn of the event loop can take in. (option) */
export const CHUNK_WINDOW = 8;
/** A value may have this many chunks: 64 GB of 64 KB chunks, and a manifest that still is a small key. */
export const CHUNKS_MAX = 1024 * 1024;
/** Versions that a reader may still be reading live this long after they were replaced. (option) */
export const CHUNK_GRACE_MS = 60_000;
/** Chunks of a write that never came to its manifest die by themselves after this. (option) */
export const CHUNK_TORN_TTL_MS = 3_600_000;
/** A reader that loses the race against a writer starts over this often before it says so. */
export const CHUNK_READ_ATTEMPTS = 5;
/** After an abort of a write: what it had begun is cleaned up, if the server answers in this time. */
export const CHUNK_ABORT_MS = 100;

/** Which key was asked for last is known for at least so many calls after a write was refused. */
export const OVERTAKEN_KEPT_CALLS = 1_024;

/** Guard: bounds from which a command is worth a word. (option) */
export const GUARD_KEY_BYTES = 1_024;
export const GUARD_VALUE_BYTES = 100 * 1024;
export const GUARD_ARGUMENTS = 1_000;
export const GUARD_RANGE = 1_000;
/** In production one finding of a rule is said in this time; the rest is counted. */
export const GUARD_SAMPLE_MS = 60_000;

/** Telemetry: commands that are counted each by itself; servers have some 400. */
export const COMMAND_NAMES_MAX = 512;
/** Telemetry: how many of the largest keys are kept. */
export const TOP_KEYS = 32;
/** Commands named in an error as having been in front. */
export const EXPLAIN_FRONT = 3;
/** The host's own counters are read at most this often. */
export const HOST_SAMPLE_MS = 1_000;

/** Tokens are renewed at this share of their life, give or take the jitter, and never later than the margin. */
export const TOKEN_RENEW_RATIO = 0.75;
export const TOKEN_RENEW_JITTER = 0.1;
export const TOKEN_MARGIN_MS = 180_000;
export const TOKEN_RETRY_MS = 5_000;
/** A login whose connection ended before it was answered. */
export const LOGIN_ATTEMPTS = 5;
export const LOGIN_AGAIN_MS = 100;
/** How often it is looked whether a connection that is being made was refused. */
export const LOGIN_LOOK_MS = 20;
/** A server further away than this is worth a warning. */
export const FAR_SERVER_MS = 5;
/** Commands that were alone on their connection: the shortest of so many is the way there and back. */
export const FAR_SERVER_CALLS = 100;
/** diagnose(): everything it does ends by then. */
export const DIAGNOSE_MS = 15_000;
export const DIAGNOSE_PINGS = 20;
/** Not counted: of a connection, and code, that have not got going. */
export const DIAGNOSE_WARM_PINGS = 20;
/** Bandwidth is the best of the rounds that begin in this time. */
export const DIAGNOSE_BYTES_MS = 500;
/** In a cluster of many nodes few names belong to the one that is asked. */
export const DIAGNOSE_KEYS_MAX = 512;
/** Whether a port speaks TLS where it was asked without, or the other way round, is known by then. */
export const DIAGNOSE_OTHERWISE_MS = 2_000;
export const DIAGNOSE_BYTES = 1024 * 1024;
/** A reply longer than this does not fit what diagnose asks for. */
export const DIAGNOSE_REPLY_MAX = 8 * 1024 * 1024;
