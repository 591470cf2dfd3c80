/**
 * Connection settings as data: the right options for each client library, each with its reason.
 *
 * 'cinnabar' and 'azure' differ in what the servers do. Azure Managed Redis drops connections that
 * were idle for ten minutes, and announces the nodes of an OSS cluster by address with a certificate
 * for the host name only, so addresses are mapped back to the name. Ours announces names that the
 * certificate covers and drops nobody for being idle; the rest is the same.
 */
import { isIP } from 'node:net';
import { check, oneOf, shape, text, whole, yesOrNo } from '../checks.ts';
import { KitError } from '../errors.ts';
import { DEADLINE_CONNECT_MS } from '../limits.ts';
import { reconnectDelay } from '../retries/backoff.ts';
import type {
  ClusterPolicy,
  IoConnection,
  Library,
  NodeSocket,
  Recommended,
  RecommendedInput,
  RecommendedIo,
  RecommendedIoCluster,
  RecommendedNode,
  RecommendedNodeCluster,
  Service,
  TlsSettings,
} from './shapes.ts';

const DEFAULT_PORT = 10_000;
const PING_MS = 60_000;
const KEEP_ALIVE_MS = 30_000;
const SLOTS_REFRESH_MS = 5_000;

const inputShape = shape(
  {
    library: oneOf('ioredis', 'iovalkey', 'redis'),
    policy: oneOf('OSSCluster', 'EnterpriseCluster', 'NoCluster'),
    host: text,
    port: whole(1, 65_535),
    username: text,
    password: text,
    tls: yesOrNo,
    ca: text,
  },
  ['library', 'policy', 'host'],
);

/**
 * The right options for this library and policy, in the shape that its constructor takes, each with its reason.
 *
 * @throws KitError `ERR_CLIENT_OPTION` for an input that is none
 */
export function recommended<L extends Library, P extends ClusterPolicy>(
  service: Service,
  input: RecommendedInput & { readonly library: L; readonly policy: P },
): Recommended<L, P> {
  // What stands here is no secret: it is shown.
  if (service !== 'azure' && service !== 'cinnabar') {
    throw new KitError(
      'ERR_CLIENT_OPTION',
      `recommended(): the service must be 'azure' or 'cinnabar', got ${typeof service === 'string' ? `'${String(service).slice(0, 40)}'` : typeof service}`,
    );
  }
  check('recommended()', input, inputShape, 'input');
  const cluster = input.policy === 'OSSCluster';
  const port = input.port ?? DEFAULT_PORT;
  const made =
    input.library === 'redis'
      ? nodeRedis(service, input, port, cluster)
      : ioredis(service, input, port, cluster);
  // The branches above are those of the type.
  return made as Recommended<L, P>;
}

function tlsOf(input: RecommendedInput): TlsSettings | undefined {
  if (input.tls === false) return undefined;
  return {
    // The name the certificate is for; without it a node reached by address cannot be checked.
    ...(isIP(input.host) === 0 ? { servername: input.host } : {}),
    ...(input.ca === undefined ? {} : { ca: input.ca }),
    minVersion: 'TLSv1.2',
  };
}

const common = {
  tls: 'keys and data are readable on the way otherwise; servername makes the check of nodes that are reached by address possible',
  connectTimeout:
    'shorter than 5 s turns a busy moment of the server into a loop of connecting and giving up',
  reconnect: 'full jitter: a fleet that was thrown off together must not come back together',
};

function ioredis(
  service: Service,
  input: RecommendedInput,
  port: number,
  cluster: boolean,
): RecommendedIo | RecommendedIoCluster {
  const tls = tlsOf(input);
  const connection: IoConnection = {
    ...(input.username === undefined ? {} : { username: input.username }),
    ...(input.password === undefined ? {} : { password: input.password }),
    ...(tls === undefined ? {} : { tls }),
    connectTimeout: DEADLINE_CONNECT_MS,
    keepAlive: KEEP_ALIVE_MS,
    noDelay: true,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 1,
  };
  const reasons: Record<string, string> = {
    tls: common.tls,
    connectTimeout: common.connectTimeout,
    keepAlive:
      'finds a peer that is gone without a word, and keeps what is between from forgetting the connection',
    noDelay: 'small commands must not wait for more to be sent with them',
    autoResendUnfulfilledCommands:
      'after a reconnect the library would send unanswered writes again: a second INCR',
    maxRetriesPerRequest:
      'commands that wait for a connection fail within a few attempts, not after twenty',
  };
  if (!cluster) {
    return {
      options: { host: input.host, port, ...connection, retryStrategy: reconnectDelay },
      reasons: { ...reasons, retryStrategy: common.reconnect },
    };
  }
  return {
    nodes: [{ host: input.host, port }],
    options: {
      redisOptions: connection,
      clusterRetryStrategy: reconnectDelay,
      slotsRefreshTimeout: DEADLINE_CONNECT_MS,
      slotsRefreshInterval: SLOTS_REFRESH_MS,
      enableReadyCheck: true,
      // Names are resolved by the connection itself, so that TLS sees the name.
      dnsLookup: (address: string, callback: (error: null, address: string) => void) =>
        callback(null, address),
      ...(service === 'azure' ? { natMap: hostForAddress(input.host) } : {}),
    },
    reasons: {
      ...reasons,
      clusterRetryStrategy: common.reconnect,
      slotsRefreshTimeout:
        'the default of one second is too short for a first TLS connection to a busy node',
      slotsRefreshInterval: 'a change of the topology is noticed without a MOVED',
      dnsLookup: 'the library would connect to the address, and the certificate is for the name',
      ...(service === 'azure'
        ? {
            natMap:
              'nodes are announced as address:85xx; the certificate covers the host name only',
          }
        : {}),
    },
  };
}

function nodeRedis(
  service: Service,
  input: RecommendedInput,
  port: number,
  cluster: boolean,
): RecommendedNode | RecommendedNodeCluster {
  const tls = tlsOf(input);
  const plain = {
    connectTimeout: DEADLINE_CONNECT_MS,
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_MS,
    noDelay: true,
    reconnectStrategy: (retries: number): number => reconnectDelay(retries + 1),
  };
  const socket: NodeSocket = tls === undefined ? plain : { tls: true, ...tls, ...plain };
  const login = {
    ...(input.username === undefined ? {} : { username: input.username }),
    ...(input.password === undefined ? {} : { password: input.password }),
  };
  const reasons: Record<string, string> = {
    'socket.tls': common.tls,
    'socket.connectTimeout': common.connectTimeout,
    'socket.reconnectStrategy': common.reconnect,
    'socket.keepAlive': 'finds a peer that is gone without a word',
    pingInterval:
      service === 'azure'
        ? 'connections that were idle for ten minutes are dropped by the service'
        : 'a dead connection is noticed before the next command needs it',
    disableOfflineQueue: 'left off: lanes() bounds what waits, by count, bytes and age',
  };
  if (!cluster) {
    return {
      options: { ...login, socket: { host: input.host, port, ...socket }, pingInterval: PING_MS },
      reasons,
    };
  }
  const scheme = tls === undefined ? 'redis' : 'rediss';
  return {
    options: {
      rootNodes: [{ url: `${scheme}://${input.host}:${port}` }],
      defaults: { ...login, socket, pingInterval: PING_MS },
      ...(service === 'azure' ? { nodeAddressMap: mapAddress(input.host) } : {}),
    },
    reasons: {
      ...reasons,
      defaults:
        'what rootNodes say is used for the first connection only; nodes that are found later get these',
      ...(service === 'azure'
        ? {
            nodeAddressMap:
              'nodes are announced as address:85xx; the certificate covers the host name only',
          }
        : {}),
    },
  };
}

/** ioredis and iovalkey take a function as natMap: every announced address becomes the host name. */
function hostForAddress(host: string): (key: string) => { host: string; port: number } {
  return (key) => ({ host, port: Number(key.slice(key.lastIndexOf(':') + 1)) });
}

function mapAddress(host: string): (address: string) => { host: string; port: number } {
  return (address) => ({ host, port: Number(address.slice(address.lastIndexOf(':') + 1)) });
}
