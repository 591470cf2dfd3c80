/**
 * What the control plane may ask of a machine and of an engine.
 *
 * Two interfaces, so that the plan, the executor and the store can be driven by a simulator: only
 * these two and the clock have simulated twins (design, decisions 14 and 18). Everything here is a
 * typed verb, never a raw command, so that both twins mean the same thing.
 *
 * Two rules shape the verbs (engine rules 1 and 2):
 * - An engine never starts with the role files it left. `start` takes the role and writes it down.
 * - A pid is not an identity. A process is named by its pid and its start time together.
 */

import type { ArgumentSpecs } from '../resp/table/index.ts';

/** A process of ours: its pid, and field 22 of /proc/<pid>/stat in clock ticks since boot. */
export interface ProcessRef {
  readonly pid: number;
  readonly startTicks: number;
}

/** `gone` covers: no such pid, another process under that pid, a zombie, a dead task. */
export type ProcessState = 'running' | 'stopped' | 'uninterruptible' | 'gone';

export interface ProcessFacts {
  readonly state: ProcessState;
  /** User and system time used so far, in clock ticks (100 a second); 0 when gone. */
  readonly cpuTicks: number;
  readonly rssBytes: number;
  /** It would work if a core were free for it: whatever it does not do, it is not its fault. */
  readonly runnable: boolean;
}

/** One engine of a cluster as it stands in a prepared nodes.conf (engine rule 14). */
export interface ClusterMember {
  /** 40 hexadecimal digits. */
  readonly id: string;
  readonly host: string;
  /** The TLS data port: bus and replication always use TLS (engine rule 5). */
  readonly port: number;
  readonly busPort: number;
  /** For clients without TLS; absent: there is none. */
  readonly plainPort?: number;
  /** Null: this member is a primary. */
  readonly primaryId: string | null;
  readonly epoch: number;
  /** Inclusive ranges; empty for replicas. */
  readonly slots: readonly SlotRange[];
}

export type SlotRange = readonly [first: number, last: number];

/**
 * The role that is written down before a start.
 * - cluster: a new nodes.conf with these members; `myself` picks ours. A member that is not
 *   marked primary comes up as a follower: that is the fence.
 * - fenced: a standalone engine that answers READONLY and MASTERDOWN until told whom to follow.
 * - alone: a standalone primary. Only for a first start, or a cold start from data.
 */
export type StartRole =
  | {
      readonly kind: 'cluster';
      readonly members: readonly ClusterMember[];
      readonly myself: string;
    }
  | { readonly kind: 'fenced' }
  | { readonly kind: 'alone' };

export interface AclUser {
  readonly name: string;
  readonly enabled: boolean;
  /** SHA-256 of each accepted password, lower-case hexadecimal. */
  readonly passwordHashes: readonly string[];
  /** Command, key and channel rules as ACL tokens, e.g. ['~*', '&*', '+@all', '-@admin']. */
  readonly rules: readonly string[];
}

/** Files of the engine's TLS identity; `generation` grows with every renewal. */
export interface EngineTls {
  readonly certFile: string;
  readonly keyFile: string;
  readonly caFile: string;
  readonly generation: number;
}

/** What is known of an engine's language without one that runs. */
export interface KnownEngine {
  /** As recorded with instances, e.g. 'valkey 9.1.2'. */
  readonly label: string;
  /** Lower case; subcommands as 'config|get'. */
  readonly commands: ReadonlySet<string>;
  /** As it documents them; empty when it does not. */
  arguments(): ArgumentSpecs;
}

export interface EngineLaunch {
  /** Label of the engine to start, one that the node knows; absent: the one in use. */
  readonly engine?: string;
  /** The instance's id: 40 hexadecimal digits, the cluster node id in cluster mode. */
  readonly instance: string;
  readonly dataDir: string;
  /** At most 107 bytes (sun_path). */
  readonly socket: string;
  readonly host: string;
  /** TLS, always: replication and the bus use nothing else. */
  readonly port: number;
  readonly busPort: number;
  /** A port without TLS for clients, who are told of this one; absent: they use `port`. */
  readonly plainPort?: number;
  /** Addresses beside `host` and loopback, for clients that come directly from other machines. */
  readonly listen?: readonly string[];
  /** Announced to cluster clients; must be covered by the certificate. */
  readonly announceHost: string;
  readonly role: StartRole;
  /** What the engine may load at start. `nothing` also moves leftover data files out of the way. */
  readonly load: 'nothing' | 'files';
  readonly tls: EngineTls;
  readonly users: readonly AclUser[];
  /** Password of the user `replication`, by which this engine follows its primary. */
  readonly replicationPassword: string;
  /** Engine settings by their Valkey names; values as the engine reads them. */
  readonly settings: Readonly<Record<string, string>>;
}

export interface EngineFacts {
  readonly role: 'primary' | 'replica';
  readonly replicationId: string;
  readonly offset: number;
  /** Replicas only; primaries say `up`. `down` on a replica: it has read its stream to the end. */
  readonly link: 'up' | 'down';
  readonly syncing: boolean;
  readonly loading: boolean;
  /** Replicas: host and port of the primary they follow, '' and 0 when none. */
  readonly primaryHost: string;
  readonly primaryPort: number;
  /** Primaries: replicas that are online, with the offset they acknowledged. */
  readonly followers: readonly { readonly port: number; readonly offset: number }[];
  /** Cluster mode only. */
  readonly cluster: ClusterFacts | null;
  readonly keys: number;
  /** Of the snapshot that it began with: their memory lies in the order of slots. */
  readonly loadedKeys: number;
  readonly usedMemoryBytes: number;
  /** The part of it that is there without keys: what the engine began with, and the backlog for replicas. */
  readonly idleMemoryBytes: number;
  /** Engine name and version, e.g. 'valkey 9.1.2'. */
  readonly version: string;
}

export type StreamFacts = Pick<
  EngineFacts,
  'role' | 'replicationId' | 'offset' | 'link' | 'syncing' | 'primaryPort'
>;

export interface ClusterFacts {
  readonly myId: string;
  /** `ok` when it serves its slots. */
  readonly state: 'ok' | 'fail';
  /** The configuration epoch of this node (a replica reports its primary's). */
  readonly epoch: number;
  readonly slots: readonly SlotRange[];
  /** Every node this one knows, by id, with the primary it names for it (null: a primary). */
  readonly nodes: readonly {
    readonly id: string;
    readonly primaryId: string | null;
    readonly epoch: number;
    readonly slots: readonly SlotRange[];
    readonly failed: boolean;
  }[];
}

/** One move of slots as the engine at either end tells it. */
export interface SlotMoveFacts {
  readonly name: string;
  readonly operation: 'import' | 'export';
  readonly ranges: readonly SlotRange[];
  readonly source: string;
  readonly target: string;
  /** ms since 1970, cut to seconds. */
  readonly createdAt: number;
  /** The engine's word: 'snapshotting', 'failover-paused', 'success', 'failed', 'cancelled', ... */
  readonly state: string;
  readonly message: string;
}

/** An open, logged-in connection of the control process to one engine. Never carries client commands. */
export interface EngineLink {
  readonly closed: boolean;
  /** Called once, with the reason. Immediately when already closed. */
  onClose(listener: (reason: string) => void): void;
  close(): void;
  /** `busy`: a script runs (-BUSY). `loading`: -LOADING. Rejects with EngineError on deadline or close. */
  ping(deadlineMs: number): Promise<'pong' | 'busy' | 'loading'>;
  /**
   * The same question for whoever asks it all day: no promise, no timer, one buffer. `answered` is
   * called at most once; not when the link closes first.
   */
  beat(answered: (answer: 'pong' | 'busy' | 'loading') => void): void;
  facts(deadlineMs: number): Promise<EngineFacts>;
  /** The part of the facts that moves with every write: cheap enough to ask once a second. */
  stream(deadlineMs: number): Promise<StreamFacts>;
  /** The same, and whether it is loading: what decides of a replica whose primary is dead. */
  drained(deadlineMs: number): Promise<StreamFacts & { readonly loading: boolean }>;
  /**
   * CLUSTER FAILOVER TAKEOVER. The decision must have been committed before (engine rule 3). The engine
   * claims every slot that it believes its primary to own; of `without` it lets go first.
   */
  takeover(deadlineMs: number, without?: readonly SlotRange[]): Promise<void>;
  /** CLUSTER REPLICATE, or REPLICAOF in standalone mode. */
  follow(primary: { id: string; host: string; port: number }, deadlineMs: number): Promise<void>;
  /** Standalone only: REPLICAOF NO ONE. */
  becomePrimary(deadlineMs: number): Promise<void>;
  /** CLUSTER MEET by address. */
  meet(host: string, port: number, busPort: number, deadlineMs: number): Promise<void>;
  /** CLUSTER FORGET; a node that is not known is no error. */
  forget(id: string, deadlineMs: number): Promise<void>;
  /** CLUSTER MIGRATESLOTS: accepted is not done, `slotMoves` of the same engine tells. */
  moveSlots(ranges: readonly SlotRange[], target: string, deadlineMs: number): Promise<void>;
  /** Moves that this engine takes part in or took part in, newest first; null: it cannot move slots. */
  slotMoves(deadlineMs: number): Promise<readonly SlotMoveFacts[] | null>;
  /** Ends every move out of this engine that is not done; what has moved stays where it is. */
  cancelSlotMoves(deadlineMs: number): Promise<void>;
  /** CLUSTER SETSLOT NODE on itself: for slots whose owner is gone and that nobody else claims. */
  claimSlots(ranges: readonly SlotRange[], deadlineMs: number): Promise<void>;
  /** Deletes the keys of these slots, also where they are another engine's (CLUSTER FLUSHSLOT, 9.0). */
  flushSlots(ranges: readonly SlotRange[], deadlineMs: number): Promise<void>;
  /** FUNCTION DUMP: all libraries, in a form that `restoreFunctions` takes and that can be compared. */
  dumpFunctions(deadlineMs: number): Promise<Buffer>;
  /** The engine's libraries are exactly these afterwards. */
  restoreFunctions(dump: Buffer, deadlineMs: number): Promise<void>;
  /** CONFIG SET, all at once. */
  configure(settings: Readonly<Record<string, string>>, deadlineMs: number): Promise<void>;
  readSettings(names: readonly string[], deadlineMs: number): Promise<Record<string, string>>;
  /**
   * Names of the commands that this engine knows, lower case, subcommands as 'config|get': rules
   * for an adopted engine of another version are built from its own. Asked once a connection.
   */
  commands(deadlineMs: number): Promise<ReadonlySet<string>>;
  /**
   * ACL SETUSER with a full reset: the user is exactly this afterwards. `cutOff`: and its connections
   * end in the same moment, so that none of them is refused a command before.
   */
  setUser(user: AclUser, deadlineMs: number, cutOff?: boolean): Promise<void>;
  removeUser(name: string, deadlineMs: number): Promise<void>;
  /** CLIENT PAUSE ms WRITE. */
  pauseWrites(ms: number, deadlineMs: number): Promise<void>;
  unpause(deadlineMs: number): Promise<void>;
  /**
   * CLIENT UNBLOCK ... ERROR for every client that sits in WAIT or WAITAOF; answers how many. On an
   * engine that was made a replica they would wait for ever.
   */
  unblockWaits(deadlineMs: number): Promise<number>;
  flush(deadlineMs: number): Promise<void>;
  /** Ends client connections of one user, or all but internal ones; answers how many. */
  disconnect(user: string | null, deadlineMs: number): Promise<number>;
  /** SAVE in the foreground; for an orderly stop. */
  save(deadlineMs: number): Promise<void>;
  /** Any command, for tools and tests; replies as parsed by `resp`. */
  command(args: readonly (string | Buffer)[], deadlineMs: number): Promise<unknown>;
}

export interface EngineLogin {
  readonly user: string;
  readonly password: string;
}

/** A place where engines run. The local machine is the first one. */
export interface EngineNode {
  readonly id: string;
  /** The engine in use: what this node starts unless a launch names another. */
  readonly engine: EngineBuild;
  /** An engine that can be started here, by its label; null: it is not there, or not any more. */
  known(label: string): KnownEngine | null;
  /**
   * Writes configuration, ACL file and role, then starts the process in its own process group.
   * Resolves when the process exists (not when it answers). The caller must record the result.
   * `claim` is written to a file in the data folder first, so that a crash between fork and
   * record leaves an engine that `find` can name.
   */
  start(launch: EngineLaunch): Promise<ProcessRef>;
  /** Processes of ours under this node's data root, known by their data folder; or in this one alone. */
  find(
    dataDir?: string,
  ): Promise<readonly { readonly dataDir: string; readonly process: ProcessRef }[]>;
  inspect(process: ProcessRef): ProcessFacts;
  /**
   * Told at once when a process ends that this object started. One that an earlier control process
   * started ends unheard: whoever must know looks at it, too.
   */
  onExit(listener: (process: ProcessRef) => void): void;
  /**
   * The fence: SIGKILL by pid and start time, then wait until gone. Works on stopped processes. Its
   * children are told to die with it; whatever touches its folder later waits until they are gone.
   * Rejects with EngineError `fence-unconfirmed` when the process is still there at the deadline.
   */
  kill(process: ProcessRef, deadlineMs: number): Promise<void>;
  /**
   * For so long, milliseconds from now, children of this engine give way to it: a copy of its data is due.
   * Where the system has no way to, nothing is done.
   */
  ease(process: ProcessRef, forMs: number): void;
  /**
   * What this engine gets of a busy machine from now on, as one that is not needed yet, or as any other.
   * Returns at once; where the system has no way to, nothing is done.
   */
  weigh(process: ProcessRef, weight: 'light' | 'full'): void;
  link(socket: string, login: EngineLogin, deadlineMs: number): Promise<EngineLink>;
  /** Renames the data folder to `<dir>.<label>` (engine rule 1). No folder: no error. */
  setAside(dataDir: string, label: string): Promise<void>;
  /** Removes what `setAside` kept for this folder. */
  dropAside(dataDir: string): Promise<void>;
  /** Removes the folder, what was set aside for it, and the socket ('': there is none). Idempotent. */
  removeData(dataDir: string, socket: string): Promise<void>;
  /** Whether a data file that can be loaded is there, with its size and SHA-256. */
  dataFile(
    dataDir: string,
  ): Promise<{ readonly path: string; readonly bytes: number; readonly sha256: string } | null>;
  /** Removes a data file that nobody is to load. None: no error. */
  dropDataFile(dataDir: string): Promise<void>;
  /** Renames the data file to `*.consumed`: the file of an orderly stop counts once (engine rule 11). */
  consumeDataFile(dataDir: string): Promise<void>;
  /**
   * Undoes `consumeDataFile` for the file with this digest: the start that consumed it was never
   * recorded. Answers whether there was something to undo.
   */
  reviveDataFile(dataDir: string, sha256: string): Promise<boolean>;
  /**
   * Whether the engine of this folder could write a new role down now. Always, where it goes on when it
   * cannot; else it would end itself, with all it holds. Synchronous: it is asked in a transaction.
   */
  canWriteRole(dataDir: string): boolean;
  /** Frees what a free port needs: true if host:port can be bound now, without reusePort. */
  portIsFree(host: string, port: number): Promise<boolean>;
}

export interface EngineBuild {
  readonly name: 'valkey' | 'redis';
  readonly version: string;
  /** Where it came from: 'path', 'provisioned', 'debian-unstable', 'explicit'. */
  readonly origin: string;
  readonly sha256: string;
}
