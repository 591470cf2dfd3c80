/** Bounds of the management API. */

const MIB = 1024 * 1024;

/** A week: an idle time beyond is as good as none (0). */
export const MAX_IDLE_MINUTES = 10_080;
/** Azure takes 4 MiB; the largest body that means something here (50 tags) has 40 KiB. */
export const MAX_BODY_BYTES = 1 * MIB;
/** Deeper JSON has no meaning here and would cost stack when it is stored. */
export const MAX_BODY_DEPTH = 32;
/** Form bodies of the token server. */
export const MAX_FORM_BYTES = 64 * 1024;
/** Node's own limit for a header block; stated so that it cannot change under us. */
export const MAX_HEADER_BYTES = 16 * 1024;
export const MAX_URL_LENGTH = 8 * 1024;
export const MAX_SEGMENTS = 40;

/** Requests that are being answered at once; more get 503 with Retry-After. */
export const MAX_IN_FLIGHT = 256;
/** Open connections a listener; more wait in the kernel's queue and are then refused. */
export const MAX_CONNECTIONS = 1_024;

/** A client that takes longer to send its headers or its whole request is cut off with 408. */
export const HEADERS_TIMEOUT_MS = 10_000;
export const REQUEST_TIMEOUT_MS = 30_000;
/** Longer than the pauses of polling clients (az: 30 s), so that they keep their connection. */
export const KEEP_ALIVE_MS = 65_000;
/** Socket without any traffic; the keys of a large database may take some seconds to apply. */
export const SOCKET_TIMEOUT_MS = 120_000;
/** Answers in flight get this long when the API stops. */
export const STOP_GRACE_MS = 3_000;
/** How often Node looks for connections that are over these times. */
export const TIMEOUT_CHECK_MS = 5_000;

/** Items of one page of a list; `$top` may ask for fewer. */
export const PAGE_SIZE = 100;
/** Operations or events in one answer of the extensions. */
export const MAX_HISTORY = 1_000;
export const DEFAULT_HISTORY = 50;

/** Whole seconds, never 0: az takes 0 as absent and waits 30 s. */
export const RETRY_AFTER_S = 1;

/** Life of a token that the token server issues; MSAL renews it before. */
export const TOKEN_LIFETIME_S = 3_600;
/** Clocks of client and server are one machine's; this covers a step of it. */
export const CLOCK_SKEW_S = 60;

/** Characters of a caller's correlation or request id that are echoed and stored. */
export const MAX_CALLER_ID = 128;
/** Characters of a path in the audit record. */
export const MAX_AUDIT_PATH = 512;
/** Names of ignored fields in one log line. */
export const MAX_IGNORED_NAMES = 50;
/** Rules for expensive commands in one request: there are fewer such commands. */
export const MAX_GUARD_RULES = 64;
/** A failpoint that nobody disarms; as long as any other rehearsed fault. */
export const MAX_FAILPOINT_MS = 60 * 60 * 1000;
/** Copies of a shard on one machine beyond this only cost memory. */
export const MAX_REPLICAS = 4;
/** Clients listed, entries of a log: one answer of a few megabytes. */
export const MAX_CLIENTS_LISTED = 10_000;
/** A measurement that takes longer would outlive the patience of HTTP clients. */
export const MAX_STATS_SECONDS = 25;
