/** What `recommended()` is asked and answers: for each library the shape that its own constructor takes. */

import type { Advice } from '../identity/address.ts';
import type { LanesOptions } from '../lanes/options.ts';

export type Library = 'ioredis' | 'iovalkey' | 'redis';
export type Service = 'azure' | 'cinnabar';
/** OSSCluster: a cluster client; the other policies: a plain one. */
export type ClusterPolicy = 'OSSCluster' | 'EnterpriseCluster' | 'NoCluster';

export interface RecommendedInput {
  readonly library: Library;
  readonly policy: ClusterPolicy;
  readonly host: string;
  /** Default 10000. */
  readonly port?: number;
  readonly username?: string;
  readonly password?: string;
  /** Default true. */
  readonly tls?: boolean;
  /** The CA's certificate (PEM), for a service with a CA of its own. */
  readonly ca?: string;
}

export interface TlsSettings {
  servername?: string;
  ca?: string;
  minVersion: 'TLSv1.2';
}

interface Place {
  host: string;
  port: number;
}

interface LoginSettings {
  username?: string;
  password?: string;
}

/** Times in milliseconds. */
export interface IoConnection extends LoginSettings {
  tls?: TlsSettings;
  connectTimeout: number;
  commandTimeout: number;
  keepAlive: number;
  noDelay: boolean;
  autoResendUnfulfilledCommands: boolean;
  maxRetriesPerRequest: number;
}

/** For `new Redis(options)`. */
export interface IoOptions extends IoConnection, Place {
  retryStrategy: (attempt: number) => number;
}

/** For `new Cluster(nodes, options)`. */
export interface IoClusterOptions {
  redisOptions: IoConnection;
  clusterRetryStrategy: (attempt: number) => number;
  slotsRefreshTimeout: number;
  slotsRefreshInterval: number;
  enableReadyCheck: boolean;
  dnsLookup: (address: string, callback: (error: null, address: string) => void) => void;
  natMap?: (address: string) => Place;
}

interface NodeSocketBase {
  connectTimeout: number;
  keepAlive: boolean;
  keepAliveInitialDelay: number;
  noDelay: boolean;
  reconnectStrategy: (retries: number) => number;
}
export type NodeSocket = NodeSocketBase & (({ tls: true } & TlsSettings) | { tls?: never });

/** For `createClient(options)`. */
export interface NodeOptions extends LoginSettings {
  socket: NodeSocket & Place;
  pingInterval: number;
  commandOptions: { timeout: number };
}

/** For `createCluster(options)`. */
export interface NodeClusterOptions {
  rootNodes: { url: string }[];
  defaults: LoginSettings & { socket: NodeSocket; pingInterval: number };
  commandOptions: { timeout: number };
  nodeAddressMap?: (address: string) => Place;
}

interface Made<Options> {
  readonly options: Options;
  /** For `lanes(factory, lanes)`: what the library has no option for. */
  readonly lanes: Pick<LanesOptions, 'pingMs' | 'deadlines'>;
  /** By option: why it is so. */
  readonly reasons: Readonly<Record<string, string>>;
  /** What is wrong with the address itself; said as a warning, too. */
  readonly problems: readonly Advice[];
}

export type RecommendedIo = Made<IoOptions>;
/** `nodes`: the first argument of the Cluster of ioredis and iovalkey. */
export type RecommendedIoCluster = Made<IoClusterOptions> & { readonly nodes: Place[] };
export type RecommendedNode = Made<NodeOptions>;
export type RecommendedNodeCluster = Made<NodeClusterOptions>;

export type Recommended<
  L extends Library = Library,
  P extends ClusterPolicy = ClusterPolicy,
> = L extends 'redis'
  ? P extends 'OSSCluster'
    ? RecommendedNodeCluster
    : RecommendedNode
  : P extends 'OSSCluster'
    ? RecommendedIoCluster
    : RecommendedIo;
