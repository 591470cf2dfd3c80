/**
 * The contract between the control process and an endpoint worker: the only thing they share.
 *
 * Transport: one unix socket a worker (mode 0600), each message a 4-byte big-endian length and that
 * many bytes of JSON. The first message both ways is `Hello`; a protocol that does not fit is
 * refused by name, and that worker is replaced by draining. Control pushes whole snapshots, never
 * patches. An epoch is stored before it is sent; a worker refuses an older one and answers with the
 * epoch it runs.
 */

import type { NewerOptions } from '../resp/table/index.ts';

export const PROTOCOL = 2;
/** A frame longer than this is a protocol error, not a message. */
export const MAX_FRAME_BYTES = 16 * 1024 * 1024;

export interface Hello {
  readonly type: 'hello';
  readonly protocol: number;
  readonly build: string;
  readonly pid: number;
}

export type Policy = 'OSSCluster' | 'EnterpriseCluster' | 'NoCluster';
export type ShardState = 'serving' | 'held' | 'down';

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  /** Serves this shard alone, as a node of a cluster does; absent: the whole database. */
  readonly shard?: string;
}

export interface InstanceView {
  /** Instance id: 40 hexadecimal digits. */
  readonly node: string;
  /** Unix socket of the engine. */
  readonly socket: string;
  /** What cluster clients are told, for OSSCluster; null elsewhere. */
  readonly announce: { readonly host: string; readonly port: number } | null;
}

/** Reason of a held shard whose next primary has all that the present one has: a planned switch. */
export const SWITCHING = 'switching';

export interface ShardView {
  /** Stable over failovers: '<database id>/<shard index>'. */
  readonly id: string;
  readonly slots: readonly (readonly [first: number, last: number])[];
  readonly state: ShardState;
  /** Named reason of the state, e.g. 'running', 'promoting', 'no-candidate'. */
  readonly reason: string;
  readonly primary: InstanceView | null;
  readonly replicas: readonly InstanceView[];
  /** The shard's own address here, whoever is its primary: cluster clients are told of no other. */
  readonly announce?: { readonly host: string; readonly port: number };
}

export interface UserView {
  readonly name: string;
  /** SHA-256 of each valid key, lower-case hexadecimal; empty: cannot log in. */
  readonly secretHashes: readonly string[];
  /** The engine user that lanes of this user log in as; no client knows its password. */
  readonly twin: { readonly name: string; readonly password: string };
}

export interface Limits {
  readonly maxConnections: number;
  readonly idleTimeoutMs: number;
  /** As in Valkey: a client with more unread reply bytes than this is disconnected. */
  readonly outputBufferBytes: number;
}

export interface DatabaseView {
  readonly id: string;
  readonly policy: Policy;
  readonly listen: readonly ListenAddress[];
  /** Files of the served certificate; null for Plaintext. A new generation means: load it again. */
  readonly certificate: {
    readonly certFile: string;
    readonly keyFile: string;
    readonly generation: number;
  } | null;
  readonly users: readonly UserView[];
  readonly limits: Limits;
  readonly guard: readonly GuardRule[];
  readonly azureStrict: boolean;
  /** An engine user that may run CONFIG GET: for Azure's subset, which no client user may reach. */
  readonly service?: { readonly name: string; readonly password: string };
  readonly readFrom: 'primary' | 'replica';
  /** Which run: when these change, so may the commands there are. */
  readonly engines?: readonly string[];
  /** Refused, because not every engine of the database knows it, or will. Absent: nothing is. */
  readonly newer?: NewerView;
  readonly shards: readonly ShardView[];
}

export interface NewerView {
  /** For each engine that does not know something: its label, e.g. 'valkey 8.1.1', and what. */
  readonly unknown: readonly {
    readonly engine: string;
    /** Full names, lower case. */
    readonly commands: readonly string[];
    /** Of commands that it knows. */
    readonly options: readonly NewerOptions[];
  }[];
  /** The end of a sentence: why it matters now, and until when. */
  readonly because: string;
}

/** For one of the commands in `resp/table/expensive.ts`. */
export interface GuardRule {
  /** Lower case. */
  readonly command: string;
  readonly action: 'allow' | 'warn' | 'refuse';
  /** Fields, members, elements or entries above which the rule applies; 0: always. */
  readonly above: number;
}

export interface Snapshot {
  readonly epoch: number;
  readonly databases: readonly DatabaseView[];
}

/** Who took over, and why: the node of one that the endpoint knows as a replica. */
export interface Successor {
  readonly node: string;
  readonly reason: string;
}

/** Control to endpoint. Each carries an id; exactly one `Answer` with that id comes back. */
export type Request =
  | { readonly type: 'snapshot'; readonly id: number; readonly snapshot: Snapshot }
  /** A planned switch of the shard is about to begin: answered when its replicas are connected to. */
  | { readonly type: 'prepare'; readonly id: number; readonly shard: string }
  /** Answered when nothing is in flight on the shard; releases itself at the deadline. */
  | {
      readonly type: 'hold';
      readonly id: number;
      readonly shard: string;
      readonly deadlineMs: number;
    }
  /**
   * This replica of a held shard says that it is primary. Clients stay held, and what they need there is
   * made ready. The release names it again; a hold that ends without one that does undoes this.
   */
  | {
      readonly type: 'expect';
      readonly id: number;
      readonly shard: string;
      readonly epoch: number;
      readonly successor: Successor;
    }
  /**
   * The shard goes on as the snapshot of this epoch says; one that it calls held, as serving. With a
   * successor, one of its replicas is its primary from now on; the next snapshot says the same.
   */
  | {
      readonly type: 'release';
      readonly id: number;
      readonly shard: string;
      readonly epoch: number;
      readonly successor: Successor | null;
    }
  /** Stop accepting, finish what is in flight, exit. */
  | { readonly type: 'drain'; readonly id: number; readonly deadlineMs: number }
  /**
   * To a worker whose supervisor is gone: start another, and let it inherit every listening socket
   * that this worker holds. Answers `Raised`; refused by one that drains, which holds none.
   */
  | {
      readonly type: 'raise-supervisor';
      readonly id: number;
      readonly runtime: string;
      readonly program: string;
    }
  | { readonly type: 'counters'; readonly id: number }
  /** The largest requests and replies: `LargeView[]`. */
  | { readonly type: 'large'; readonly id: number; readonly database: string }
  /** At most so many, those that were active last. */
  | {
      readonly type: 'clients';
      readonly id: number;
      readonly database: string;
      readonly most: number;
    }
  | {
      readonly type: 'kill';
      readonly id: number;
      readonly client: string;
      readonly reason: string;
    }
  /** The end of a `config-set` event: recorded, or why not, in the words that the client reads. */
  | {
      readonly type: 'config-answer';
      readonly id: number;
      readonly database: string;
      readonly serial: string;
      readonly error: string | null;
    };

export type Answer =
  | { readonly type: 'done'; readonly id: number; readonly epoch: number; readonly result: unknown }
  | {
      readonly type: 'refused';
      readonly id: number;
      /** Epoch this worker runs: an older snapshot is refused with `stale-epoch`. */
      readonly epoch: number;
      readonly code: string;
      readonly message: string;
    };

/** Endpoint to control, unasked. */
export type Event =
  | {
      readonly type: 'event';
      readonly at: number;
      readonly kind: 'shard-lost' | 'shard-mute';
      readonly shard: string;
      readonly node: string;
      readonly detail: string;
    }
  | {
      readonly type: 'event';
      readonly at: number;
      readonly kind: 'login-failed';
      readonly database: string;
      readonly client: string;
      readonly user: string;
      readonly reason: string;
    }
  | {
      readonly type: 'event';
      readonly at: number;
      readonly kind: 'opened' | 'closed' | 'refused';
      readonly database: string;
      readonly client: string;
      readonly address: string;
      readonly reason: string;
    }
  | {
      readonly type: 'event';
      readonly at: number;
      readonly kind: 'limit';
      readonly database: string;
      readonly limit: string;
      /** Whose engine it is about, where it is about one. */
      readonly instance?: string;
      readonly detail: string;
    }
  /** A client asks for these settings, and waits for the `config-answer` with this serial. */
  | {
      readonly type: 'event';
      readonly at: number;
      readonly kind: 'config-set';
      readonly database: string;
      readonly client: string;
      readonly serial: string;
      readonly settings: Readonly<Record<string, string>>;
    }
  | {
      readonly type: 'event';
      readonly at: number;
      readonly kind: 'listen-failed';
      readonly database: string;
      readonly address: string;
      readonly reason: string;
    };

export type FromControl = Hello | Request;
export type FromEndpoint = Hello | Answer | Event;

/**
 * Log-linear histogram with fixed buckets, so that workers add up: value v falls in bucket
 * `b = 16 * exponent + mantissa` where exponent = floor(log2(v)), mantissa = the next four bits.
 * Sparse: [bucket, count] pairs.
 */
export interface Histogram {
  readonly unit: 'us' | 'bytes';
  readonly count: number;
  readonly sum: number;
  readonly buckets: readonly (readonly [bucket: number, count: number])[];
}

/** Cumulative since `since` (ms since 1970). */
export interface Counters {
  readonly since: number;
  readonly epoch: number;
  readonly databases: readonly DatabaseCounters[];
}

export interface DatabaseCounters {
  readonly id: string;
  readonly connections: number;
  readonly opened: number;
  /** By named reason. */
  readonly closed: Readonly<Record<string, number>>;
  readonly refused: Readonly<Record<string, number>>;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly commands: Readonly<Record<string, CommandCounters>>;
  /** What guard rules did, by command. */
  readonly guard: Readonly<Record<string, GuardCounters>>;
}

export interface GuardCounters {
  readonly warned: number;
  readonly refused: number;
}

export interface CommandCounters {
  readonly calls: number;
  readonly failed: number;
  readonly latency: Histogram;
  readonly requestBytes: Histogram;
  readonly replyBytes: Histogram;
}

/** All sightings of one key with one command, since `firstAt`. */
export interface LargeView {
  readonly kind: 'large-request' | 'large-reply';
  readonly database: string;
  readonly command: string;
  /** Cut, bytes that are no text as \x.. */
  readonly key: string;
  readonly count: number;
  /** Of the largest one. */
  readonly bytes: number;
  /** Of the slowest one: from its first byte in to its last byte out of the engine. */
  readonly ms: number;
  /** The most commands that waited behind one on its connection to the engine. */
  readonly behind: number;
  readonly firstAt: number;
  /** The last one, and who asked for it. */
  readonly at: number;
  readonly client: string;
}

export interface Raised {
  readonly pid: number;
}

export interface ClientView {
  readonly id: string;
  readonly database: string;
  readonly address: string;
  readonly name: string;
  readonly user: string;
  readonly openedAt: number;
  readonly idleMs: number;
  readonly state: string;
  readonly tls: boolean;
  /** '' when it did not say. */
  readonly library: string;
  readonly commands: number;
  readonly lastCommand: string;
  /** On the wire: with TLS, encrypted. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Four buckets an octave, from 16 µs up. */
  readonly latency: Histogram;
}
