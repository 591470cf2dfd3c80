/** Where things are by default, and deadlines of start and stop. */
import { LEAF_BACKDATE_MS } from '../tls/limits.ts';

/** The management API; the next free ones are taken at a first start when these are not. */
export const API_PORT = 8_470;
export const API_PORTS_TRIED = 20;
/** Shards of OSSCluster, as in Azure. */
export const SHARD_PORTS = 8_500;
/** Public ports of databases, as in Azure. */
export const DATABASE_PORTS = 10_000;
/** Replication and bus ports of engines. */
export const INTERNAL_PORTS = 20_000;
/** That the endpoint has no supervisor is an event once in so long. */
export const ENDPOINT_EVENT_MS = 10_000;
/**
 * Certificates are looked at when the time of day is this far from that of the last look: each half hour,
 * and at once when somebody has set the clock so far. Half of what they are valid before they were made,
 * so none that was made in between begins later than a clock that was set back by less.
 */
export const RENEW_EVERY_MS = LEAF_BACKDATE_MS / 2;
/** The time of day is looked at this often: for so long nobody can connect after a clock was set. */
export const CLOCK_LOOK_MS = 2_000;
/** A new certificate reaches every endpoint worker within this, or the answer says that it did not yet. */
export const CERTIFICATE_APPLY_MS = 5_000;
/** Sessions at the endpoint get this long to finish when everything stops. */
export const DRAIN_DEADLINE_MS = 2_000;
/** A start waits this long for its caches, then says which are not up and goes on. */
export const SERVING_DEADLINE_MS = 60_000;
/** A program that systemd started ends within this after the one that it started itself. */
export const UNIT_ENDS_MS = 1_000;
export const UNIT_POLL_MS = 20;
