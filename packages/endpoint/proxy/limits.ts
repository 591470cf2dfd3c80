/** Bounds of the proxy, each with its reason. Bytes and milliseconds unless the name says otherwise. */

import { PEER_ANSWER_MS } from '../limits.ts';

/** Commands of many clients are copied together into blocks of this size: one write a tick, and the
 * bytes are still there when a lane dies and a read may be sent again. */
export const BLOCK_BYTES = 64 * 1024;
/** Blocks kept for reuse by one worker and database: 16 MB. */
export const BLOCKS_KEPT = 256;
/** What all clients of a worker are read into, one after the other. */
export const INPUT_BYTES = 64 * 1024;
/** What is read of a client behind a blocking command, so that its close is seen: over this, nothing. */
export const BEHIND_BLOCKED_BYTES = 16 * 1024;
/** What a lane is read into: one buffer each, more than an engine writes in one go (80 KB), because where a
 * read ends in the middle of a client's replies he is written to twice... */
export const LANE_INPUT_BYTES = 128 * 1024;
/** ...with room before it for the beginning of a reply that came at the end of the last read. It is at
 * most a header line; a longer one (an error of a kilobyte) costs a copy. */
export const LANE_CARRY_BYTES = 512;
/** A reply's range at least this long keeps the buffer it came in, if it cannot be written at once; a
 * shorter one is copied, because a hundred bytes must not keep 64 KB alive. */
export const KEEP_BUFFER_BYTES = 16 * 1024;
/** Small ranges for one client that wait in a row, before they are put together. */
export const RANGES_IN_A_ROW = 64;
/** Bytes that are put together for one write, where they are not one range already: a TLS record. */
export const WRITE_BYTES = 16 * 1024;

/** Requests and replies over this travel on a bulk lane (engine rule 23). */
export const BULK_BYTES = 64 * 1024;
/** Bulk lanes of one shard and group that carry something. Each carries one large reply at a time. */
export const BULK_LANES = 4;
/** ...of which so many are read at a time... */
export const BULK_READING = 2;
/** ...and so much of each before the next one's turn, if another waits. */
export const BULK_SHARE_BYTES = 2 * 1024 * 1024;
/** Part of a client's output limit, which is the engine's for each connection, that its large replies
 * on one lane may come to: the engine makes all that it is asked for, before anybody reads. */
export const BULK_PART = 0.5;
/** Bulk lanes with those that wait for a client who does not read: a connection of the engine each. */
export const BULK_LANES_MOST = 32;
/** What a bulk lane is read into: more than a unix socket holds, so that one read empties it, nothing
 * is read twice in one turn of the event loop, and four lanes hold it for under a millisecond. */
export const BULK_INPUT_BYTES = 256 * 1024;
/** Unwritten bytes of a client above which the bulk lane that feeds it stops reading. */
export const CLIENT_HIGH_WATER = 1024 * 1024;
/** Keys remembered as large. Hashed, so a small key may be taken for a large one: it is then only a little slower. */
export const LARGE_KEYS = 64 * 1024;
/** A key that was large is taken for large this long after it was last seen so. */
export const LARGE_KEY_MS = 120_000;

/** CONFIG SET of one database and worker that wait for the control plane. */
export const SETTING_REQUESTS = 16;
/** How long one waits: a control process that died is back within a second or two. */
export const SETTING_WAIT_MS = 5000;

/** Unsent bytes of a lane above which its clients are not read from: the engine is behind. */
export const LANE_HIGH_WATER = 4 * 1024 * 1024;
/** Unanswered bytes of a small lane from which on another one is taken beside it. A unix socket holds about
 * so much: beyond, the worker waits for the engine, which reads 16 KB of each connection in a turn... */
export const LANE_FULL_BYTES = 128 * 1024;
/** ...and at most so many beside it. */
export const LANES_BESIDE = 3;
/** From connect to logged in. A unix socket takes microseconds; a stopped engine never answers. */
export const LANE_CONNECT_MS = 5000;
/** Between attempts to reach a shard that refuses connections. */
export const LANE_RETRY_MS = 20;
/** An answer that takes longer is said to the control process, which looks whether the engine lives. */
export const SILENCE_MS = 30;
/** ...and said again at the earliest after this: slow commands are legal. */
export const SILENCE_AGAIN_MS = 1000;
/** A lane that nobody used for this long is closed: before an engine would, whose shortest time is a minute. */
export const LANE_IDLE_MS = 45_000;
/** Lanes of users other than the default one, all together. Beyond: clients wait their turn. */
export const OTHER_USERS_LANES = 64;
/** Connections of single sessions (blocking commands, WATCH, tracking) in one worker and database.
 * Each is a connection of the engine too, whose limit has this reserve. */
export const OWN_LANES = 4096;
/** Idle own connections kept for the next blocking command of the same user; more, up to SPARE_LANES, of
 * which clients may still ask for what they wrote there. */
export const OWN_LANES_KEPT = 8;

/** A worker that leaves waits so long for the first word of a client that has only just connected. */
export const DRAIN_FRESH_MS = 2000;
/** What the kernel said is trusted for so long: ends of a few clients, and a turn of a busy loop. */
export const DRAIN_STALE_MS = 1;
/** A client is in a pause when nothing came for so long: longer than the way to it and back... */
export const DRAIN_SILENT_MS = 5;
/** ...and whoever makes no pause in this time leaves between any two commands. */
export const DRAIN_PAUSES_MS = 1000;

/** How long a command waits for a shard that is held, down or not reachable, before it fails. A
 * failover takes milliseconds, a cold start seconds; most clients' own limit is 5 to 15 s. */
export const SHARD_WAIT_MS = 10_000;
/** Resolution of that bound. */
export const WAIT_SWEEP_MS = 50;
/** A command that the engine sends elsewhere (MOVED) is sent again at most so often... */
export const REDIRECTS = 16;
/** ...and asks for the slot map at most once in this time while nothing changes. */
export const SLOT_MAP_RETRY_MS = 10;

/** Unanswered commands of one client. Beyond: it is not read from until some are answered. */
export const CLIENT_IN_FLIGHT = 100_000;
/** Commands of a new client from one moment with nothing unanswered to the next; reads beyond wait for it.
 * An engine makes all replies that it is asked for before anybody takes them, and ends a connection that
 * has kept too much since it was last empty; here that is others', too. How large replies are, nobody
 * knows beforehand: with Azure's limits a dozen first pipelines at once may ask for values of 10 MB... */
export const READS_FIRST = 4;
/** ...and each time that they were small for twice as many, up to this. */
export const READS_MOST = 1024;
/** Bytes of such replies that a client may be sent in one go and still be sent for more commands the next
 * time: what stands behind them on the lane, somebody else's, waits a millisecond or two. */
export const READS_BYTES = 2 * 1024 * 1024;
/** The same of a client who has not read what he got: there may be many, and none of them is in a hurry. */
export const READS_BEHIND_BYTES = 64 * 1024;
/** Questions of one client to all shards that are unanswered. To put the answers together costs a worker up
 * to a millisecond each (INFO everything), and a dozen clients with two hundred each took a second. */
export const MERGES_AHEAD = 8;
/** ...and of all clients of a worker, of those that have to be put together: one in the engines, one here. */
export const MERGES = 2;
/** How long one counts as such: what takes an engine longer, others need not wait for. */
export const MERGE_LATE_MS = 100;
/** For clients who do not read: after each answer none is begun for so many times as long as it took. */
export const MERGES_BEHIND = 10;
/** What clients of one worker may have unread all together, if none of them may that alone. */
export const UNREAD_LEAST_BYTES = 256 * 1024 * 1024;
/** Bytes of replies that wait for an earlier reply of another shard, for one client. */
export const REORDER_BYTES = 64 * 1024 * 1024;
/** A command that arrives in pieces, all clients of a worker and database together. */
export const PARTIAL_BYTES_ALL = 1024 * 1024 * 1024;

/** Before login, as the engine: arguments and length of one. */
export const UNAUTHENTICATED_ARGUMENTS = 10;
export const UNAUTHENTICATED_BULK_BYTES = 16_384;
/** A whole command before login, and answers that nobody reads: strangers get no more memory each. */
export const UNAUTHENTICATED_BYTES = 20_480;
export const UNAUTHENTICATED_OUTPUT_BYTES = 64 * 1024;
/** An argument of a command that is answered here (a name, a channel, an option); payloads have no such limit. */
export const LOCAL_ARGUMENT_BYTES = 64 * 1024;
/** What MONITOR shows of one command: arguments, and bytes of each. */
export const MONITOR_ARGUMENTS = 1000;
export const MONITOR_ARGUMENT_BYTES = 4096;
/** A failed login is answered after this long, doubled for each further one from that address... */
export const LOGIN_DELAY_MS = 100;
/** ...up to this. */
export const LOGIN_DELAY_MAX_MS = 2000;
/** Addresses remembered for that, and for how long. */
export const LOGIN_ADDRESSES = 4096;
export const LOGIN_FORGET_MS = 60_000;

/** A replica that is further behind than this is not read from. */
export const REPLICA_LAG_MS = 1000;
/** Primary and replicas are asked for their offsets this often while somebody reads from replicas:
 * a session that has just written reads from the primary for about so long. */
export const REPLICA_POLL_MS = 25;
/** ...and no longer asked when nobody has for this long. */
export const REPLICA_UNUSED_MS = 2000;
/** Offsets of the primary remembered: a little more than the bound on the lag. */
export const REPLICA_OFFSETS = 64;

/** Queued commands of one MULTI: bytes. The engine's own query buffer limit. */
export const TRANSACTION_BYTES = 256 * 1024 * 1024;
/** What one client may hold a worker for in a turn of the event loop, with commands that are not plain... */
export const TURN_MS = 2;
/** ...and after how many of them the time is looked at. */
export const TURN_COMMANDS = 8;
/** An engine whose words may mean that it executes no script any more is asked again at the earliest after this. */
export const REFUSED_SCRIPTS_AGAIN_MS = 1000;
/** ... and while it does not, that is said again after this: whoever sees to it may not have been able to. */
export const REFUSED_SCRIPTS_TOLD_MS = 60_000;
/** What all clients that were made to wait may hold it for in a turn; the next ones come first in the next. */
export const TURN_ALL_MS = 2;
/** Bodies of scripts remembered to load them again. */
export const SCRIPT_BYTES = 16 * 1024 * 1024;
export const SCRIPTS = 4096;
/** Merged answer of a command that goes to all shards (KEYS): beyond this it fails by name. */
export const MERGE_BYTES = 512 * 1024 * 1024;
/** Channels of one client. */
export const SUBSCRIPTIONS = 100_000;
/** Monitors of one database and worker; each is told everything. */
export const MONITORS = 16;

/** Log of the largest requests and replies: entries kept, and from which size on. */
export const LARGE_LOG_ENTRIES = 256;
/** An entry that was seen in this time stays before a larger one that was not. */
export const LARGE_LOG_FRESH_MS = 3_600_000;
export const LARGE_LOG_BYTES = 64 * 1024;
/** How long an engine that ended a connection in the middle of a reply is asked why. */
export const WITHIN_REPLY_MS = 1000;
/** What a guard did is said at most so often, for each rule, with a count. */
export const GUARD_SAID_MS = 60_000;
/** Keys and arguments in logs are cut to this. */
export const LOG_TEXT_BYTES = 128;
/** Several clients that WAIT on one lane are asked for in rounds of at most this: who comes in the
 * middle of a round waits so long for its turn. */
export const WAIT_ROUND_MS = 50;
/** Small lanes of one shard and group that WAIT has freed and that are kept, because clients may still
 * ask there for what they wrote. One is made only while all the others have a WAIT in them. */
export const SPARE_LANES = 32;
/** In a round of this, a lane that is to go asks its replicas whether they have what clients may ask about.
 * They answer in a millisecond, and whoever asks meanwhile waits no longer than a round of others' WAIT. */
export const CLOSING_WAIT_MS = 20;
/** How often it is looked how far replicas have come, while somebody waits for that (standing.ts). */
export const STANDING_MS = 5;
/** How long a client that is being ended may take to read what is due to it before its last words. */
export const LAST_WORDS_MS = 2000;
/** How much later a message may come from one engine than from another: the kernel keeps a small one for
 * up to 40 ms, until those before it are acknowledged. A loaded machine adds to that. */
export const BUS_LATE_MS = 100;
/** A subscription that was made again on another primary: how long the old one leads (overlap.ts)... */
export const OLD_LEADS_MS = 60;
/** ...and how long it is listened to. What it has brought may come from the new one after that. */
export const OVERLAP_MS = 150;
/** How many messages may have come on one of the two alone... */
export const OVERLAP_MESSAGES = 4096;
/** ...and how many bytes of them may wait for the old one. */
export const OVERLAP_BYTES = 4 * 1024 * 1024;
/** Messages, and bytes of them, that are kept for BUS_LATE_MS for the case that the primary changes. Who
 * gets more of them gets them without delay: then the kernel has full packets to send. */
export const RECENT_MESSAGES = 1024;
export const RECENT_BYTES = 1024 * 1024;
/** The hold of a shard that nobody uses; ended at once. */
export const REHEARSAL_MS = 1000;
/** How long a new primary's clients wait until what is listened to there is subscribed: after a crash... */
export const SUBSCRIBE_FIRST_MS = 50;
/** ...and after a planned switch, in every worker: as long as one waits for another's answer. */
export const LISTENERS_FIRST_MS = PEER_ANSWER_MS;
/** A longer script or transaction may publish, whatever stands in it. */
export const LOOKED_THROUGH_BYTES = 1024 * 1024;
