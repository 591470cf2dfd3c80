/**
 * What the parent of `cinnabar up` and the control process say to each other, over the IPC channel
 * that `child_process` gives (JSON, one message each). Options come this way and not as arguments,
 * because arguments are readable by every user of the machine.
 *
 * The order of a life: parent sends `start`; control answers with `step` messages, then exactly one
 * of `ready` or `fatal`. The parent may send `stop` at any time after `start`, also before `ready`,
 * and again with `now` when the user is out of patience; control sends `stopping`, more `step`
 * messages, `stopped`, and exits 0. A stop that came over the API ends the same way, so the parent
 * knows that it was meant; or with `stop-refused`, because a cache could not be saved, and then the
 * parent starts control again, which takes over what still runs. A stop by a signal cannot be refused:
 * such a cache is left running, and named in `stopped`. An exit without `stopped` or `fatal` is a crash, and the parent starts
 * another one. When the channel closes without a `stop` the parent was killed, and nobody would start
 * control again: so it ends itself, after starting a new parent in the background (`keeper`), or
 * leaving that to systemd. A control process without a keeper goes on.
 *
 * Standard output and standard error of control are its log (JSON lines, and whatever Node prints
 * when it dies): the parent appends both to `<home>/logs/control.log`, mode 0600, and rotates it.
 */
import type { SystemStatus } from './service.ts';

export interface StartOptions {
  /** Data folder, absolute. */
  readonly home: string;
  /** Folder of sockets, absolute and short (a socket path has at most 107 bytes). */
  readonly runDir: string;
  /** Folder of provisioned engines, absolute; shared between data folders. */
  readonly engineCache: string;
  /** Addresses to listen on beside loopback, e.g. '0.0.0.0'. Empty: this machine only. */
  readonly listen: readonly string[];
  /** Null: names are `localhost`. */
  readonly domain: string | null;
  /** An engine binary that the user named; absent: found or fetched. */
  readonly engine?: string;
  /** Absent: the recorded ones, else the defaults; 0: any free port. */
  readonly apiPort?: number;
  readonly httpsPort?: number;
  /** Endpoint workers; absent: one a core. */
  readonly workers?: number;
  /** Where the search for free ports begins; absent: 10000, 8500, 20000. For tests that run beside others. */
  readonly firstPorts?: {
    readonly database: number;
    readonly shard: number;
    readonly internal: number;
  };
  /**
   * Program and arguments of a new parent, for when this one is killed. It gets these options as
   * its first message and begins when the channel closes.
   */
  readonly keeper?: readonly string[];
  /** Which build the parent is, as `cinnabar --version` says it: shown in the status. */
  readonly build?: string;
  /** Scales memory and caps shards, so that large SKUs run on a laptop; null: no more; absent: as at the last start. */
  readonly miniature?: MiniatureOption | null;
}

export interface MiniatureOption {
  /** Memory of each SKU is divided by this; at least 1. */
  readonly memoryDivisor: number;
  /** At most this many shards a database; at least 1. */
  readonly maxShards: number;
}

export type ToControl =
  | { readonly type: 'start'; readonly options: StartOptions }
  /** `now`: do not wait for sessions, steps or saves that hang; data may be lost, and it is said. */
  | { readonly type: 'stop'; readonly now: boolean };

/** A step of the start or of the stop. The same id comes again when its state changes. */
export interface BootStep {
  readonly type: 'step';
  /** Kebab case, stable: 'engine', 'store', 'adopt', 'certificates', 'endpoint', 'api', ... */
  readonly id: string;
  /** For people: 'Engine', 'Certificates', ... */
  readonly title: string;
  readonly state: 'running' | 'done' | 'failed';
  /** For people: 'valkey 9.1.2 (debian-unstable)', '2 of 8.5 MB', '3 caches adopted', ... */
  readonly detail?: string;
  /** Set with `done` and `failed`. */
  readonly ms?: number;
}

export type FromControl =
  | BootStep
  | {
      readonly type: 'ready';
      readonly status: SystemStatus;
      /** True if no cache was ever made in this data folder: the quick start hangs on it. */
      readonly firstStart: boolean;
    }
  | {
      readonly type: 'fatal';
      /** Kebab case, stable: 'home-in-use', 'port-in-use', 'engine-missing', 'store-newer', ... */
      readonly code: string;
      readonly message: string;
      /** What to do; a command where there is one. */
      readonly remedy: string;
    }
  /** `withinMs`: how long it may take to save everything on a slow disk; absent: nothing is saved. */
  | { readonly type: 'stopping'; readonly withinMs?: number | undefined }
  | ({ readonly type: 'stopped' } & StopEnd)
  /** It ends now and is to be started again: the stop would have lost data, and could be refused. */
  | ({ readonly type: 'stop-refused' } & StopEnd);

/** How a stop ended. */
export interface StopEnd {
  /** What the user should know: what was saved, what a crash would have lost. */
  readonly notes: readonly string[];
  /** Caches that were not stopped, because their data could not be saved; a sentence each. */
  readonly held: readonly string[];
}

/** `<home>/last-stop.json`, mode 0600: for a command line whose stop it was, when control is gone. */
export interface StopFile extends StopEnd {
  readonly pid: number;
}

export const STOP_FILE = 'last-stop.json';

/** `<home>/control.json`, mode 0600, written when the API answers, removed at an orderly stop. */
export interface ControlFile {
  readonly pid: number;
  /** Base URLs without a trailing slash; null when that listener is off. */
  readonly http: string | null;
  readonly https: string | null;
  readonly build: string;
  /** Installation root certificate, for the HTTPS API and the caches alike. */
  readonly caFile: string;
  readonly subscriptionId: string;
}

export const CONTROL_FILE = 'control.json';
/** A `fatal` that passes: another start or stop is under way on the data folder. */
export const UNDER_WAY = 'start-under-way';
export const LOG_FOLDER = 'logs';
export const LOG_FILE = 'control.log';
export const TOKEN_FILE = 'api-token';

/** Exit codes of the control process, for the parent: a `fatal` is not tried again. */
export const EXIT_STOPPED = 0;
export const EXIT_FATAL = 78;
/** Its parent was killed; the next control process is on its way. */
export const EXIT_ORPHANED = 75;

/**
 * Flags of the control process. Its objects live long or die at once, so a small young generation
 * costs it nothing and saves some 30 MB of resident memory.
 */
export const CONTROL_FLAGS: readonly string[] = ['--max-semi-space-size=2'];
