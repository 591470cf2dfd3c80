/**
 * Every bound of the endpoint, with its reason. Sizes in bytes, times in milliseconds unless the
 * name says otherwise. What a SKU or a user sets comes with the snapshot, not from here.
 */

/** Accept queue of one listening socket: a reconnect storm waits here while a worker is replaced. */
export const LISTEN_BACKLOG = 4096;

/** TLS handshakes begun in one turn of the event loop: a storm of new clients adds at most this many
 * times half a millisecond to what connected clients wait. */
export const HANDSHAKES_A_TURN = 16;
/** With so many under way, the next is begun when its client has spoken. */
export const HANDSHAKES_UNSPOKEN = 64;
/** Connections of one database and worker that are before the end of their handshake; each holds a
 * descriptor and about 30 KB. Beyond, the oldest is dropped. */
export const HANDSHAKES_PENDING = 4096;
/** From accept to the end of the handshake. Clients give up after 5 to 15 s. */
export const HANDSHAKE_TIMEOUT_MS = 15_000;

/** Idle clients are looked for this often, or ten times within the idle time if that is shorter. */
export const IDLE_SWEEP_MS = 10_000;
/** TCP keep-alive: how long a silent peer goes unprobed. Finds half-open connections of hosts that
 * went away; Valkey uses 300 s, load balancers forget flows after 240. */
export const KEEP_ALIVE_MS = 60_000;
/** How long a client that is being ended may take to read its last words. */
export const LINGER_MS = 2000;

/** Part of the connection limit that a worker asks for at once: 1/SHARE of it for each worker. A
 * larger part means fewer questions, a smaller one fewer recalls near the limit. */
export const PERMIT_SHARE = 8;
/** A worker that does not answer a recall in this time is taken to have nothing to give back. */
export const PERMIT_RECALL_MS = 500;
/** How long an accepted connection waits for a permit before it is refused. */
export const PERMIT_WAIT_MS = 2000;
/** Connections of one database and worker that wait for a permit. */
export const PERMITS_WAITING = 4096;

/** Of what a client calls itself in a list of clients. A name may have 64 KB, and a list of many
 * has to fit into a frame. */
export const CLIENT_WORD_CHARS = 256;

/** Events that wait for a control process that reads slowly or is away; older ones are dropped. */
export const EVENTS_KEPT = 4096;
/** Unread bytes towards a control connection above which events wait in the ring. */
export const EVENT_BACKPRESSURE_BYTES = 1024 * 1024;
/** Control connections a worker or supervisor serves at once: one, and its successor. */
export const CONTROL_CONNECTIONS = 4;
/** A peer on a control socket that does not say hello in this time is cut off. */
export const HELLO_TIMEOUT_MS = 5000;

/** How long a worker waits for another one's answer: a unix socket takes well under a millisecond, a
 * garbage collection or a burst of handshakes some tens. Whoever is later is left out by name. */
export const PEER_ANSWER_MS = 250;
/** Between attempts to reach a worker that is starting. */
export const PEER_RETRY_MS = 50;
/** Bytes that another worker has not read: beyond, it is told and asked nothing. */
export const PEER_BACKLOG_BYTES = 8 * 1024 * 1024;
/** Questions to other workers under way at once. Beyond: answered from this worker alone. */
export const PEER_QUESTIONS = 4096;
/** Numbers of connections (CLIENT ID) that a worker gets at once from the supervisor. */
export const NUMBERS_A_BLOCK = 1000;

/** A worker waits this long for a listening socket that its snapshot names. */
export const LISTENER_WAIT_MS = 3000;
/** A worker that closes a listening socket may take this long (one that starts has to start first) until
 * the port is called free all the same. */
export const UNLISTEN_WAIT_MS = 2000;
/** From spawn to ready; a worker that takes longer is killed and counted as a crash. */
export const WORKER_START_MS = 15_000;
/** How often a worker is asked whether it still takes its turns: each question wakes two processes that
 * may have nothing else to do. */
export const WORKER_ASKED_MS = 2000;
/** ... and how often one that does not answer is looked at. */
export const WORKER_LOOK_MS = 500;
/** A worker that does not answer and uses no CPU this long is hung. Longer than an engine gets: it has
 * no copy, so its clients are disconnected. */
export const WORKER_HUNG_MS = 3000;
/** A worker that works this long without one turn of its loop never ends that turn. */
export const WORKER_TURN_MS = 60_000;
/** Back-off between restarts of a worker that dies: first at once, then doubling. */
export const RESTART_FIRST_MS = 25;
export const RESTART_LONGEST_MS = 5000;
/** A worker that lived this long starts the back-off anew. */
export const RESTART_FORGIVEN_MS = 10_000;
/** How long replaced workers may take to finish what is in flight. */
export const DRAIN_MS = 30_000;
/** ...and how long a worker that leaves lets handshakes and admissions that have begun come to an end. */
export const DRAIN_ARRIVALS_MS = 3000;
export const DRAIN_LOOK_MS = 20;
/** Clients of a shard's own address, when it is no longer served there. */
export const SHARD_LEAVES_MS = 3000;
/** After the drain's deadline: time to exit before SIGKILL. */
export const EXIT_GRACE_MS = 2000;
export const MOST_WORKERS = 64;

/** Engine rule 28: no renewal for this long and the engines may vote for themselves. */
export const LEASE_MS = 10_000;
export const LEASE_CHECK_MS = 500;
/** One engine's CONFIG SET by the watchdog, connect included. */
export const WATCHDOG_COMMAND_MS = 2000;
/** A weight that was refused to be given back: the next write is possible a tenth of a second after the last. */
export const WEIGHT_RETRY_MS = 20;
/** ... for a minute: with many engines each has its turn, and others may write, too. */
export const WEIGHT_TRIES = 3_000;
/** TLS session tickets are valid on every worker until the key changes. */
export const TICKET_KEY_ROTATION_MS = 12 * 3600 * 1000;
