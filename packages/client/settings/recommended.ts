/**
 * Connection settings as data: the right options for each client library, each with its reason.
 *
 * 'cinnabar' and 'azure' differ in what the servers do. Azure Managed Redis announces the nodes of an
 * OSS cluster by address with a certificate for the host name only, so addresses are mapped back to
 * the name. Ours announces names that the certificate covers; the rest is the same. Both drop
 * connections that were idle for ten minutes.
 */
import { isIP } from 'node:net';
import { check, oneOf, shape, text, whole, yesOrNo } from '../checks.ts';
import { KitError } from '../errors.ts';
import { placeAdvice } from '../identity/address.ts';
import { advise } from '../identity/advise.ts';
import {
  DEADLINE_BULK_MS,
  DEADLINE_CONNECT_MS,
  DEADLINE_FAST_MS,
  DEADLINE_SLOW_MS,
  IDLE_PING_MS,
  KEEP_ALIVE_MS,
} from '../limits.ts';
import { nodeReconnect, reconnectDelay } from '../retries/backoff.ts';
import { certificate } from './certificate.ts';
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
/** Of any command: "less than five seconds" is where Azure's guidance begins. */
const COMMAND_TIMEOUT_MS = 4_000;
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
    ca: certificate,
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
  const problems = placeAdvice({ host: input.host, tls: input.tls !== false });
  advise(input.host, problems);
  const made =
    input.library === 'redis'
      ? nodeRedis(service, input, port, cluster)
      : ioredis(service, input, port, cluster);
  const reasons = { ...made.reasons, ...lanesReasons(input.library) };
  // The branches above are those of the type.
  return { ...made, reasons, problems, lanes: forLanes } as unknown as Recommended<L, P>;
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

const forLanes = {
  pingMs: IDLE_PING_MS,
  deadlines: {
    connectMs: DEADLINE_CONNECT_MS,
    fastMs: DEADLINE_FAST_MS,
    slowMs: DEADLINE_SLOW_MS,
    bulkMs: DEADLINE_BULK_MS,
  },
};

function lanesReasons(library: Library): Record<string, string> {
  return {
    'lanes.pingMs':
      library === 'redis'
        ? 'pingInterval does not mind whether it is answered: this one ends a connection that says nothing, and it is made anew'
        : 'the library has no option for it: an idle connection is dropped by the service after ten minutes, and one whose other end is gone is found by the next caller',
    'lanes.deadlines':
      "one time for all is too long for a GET and too short for megabytes: small values, slow kinds, large values; a blocking command's own argument and a second",
  };
}

const common = {
  tls: 'keys and data are readable on the way otherwise; servername makes the check of nodes that are reached by address possible',
  connectTimeout:
    'shorter than 5 s turns a busy moment of the server into a loop of connecting and giving up',
  reconnect: 'full jitter: a fleet that was thrown off together must not come back together',
};

/** Before what holds for all is added. */
type Bare<Made> = Omit<Made, 'lanes' | 'problems'>;

function ioredis(
  service: Service,
  input: RecommendedInput,
  port: number,
  cluster: boolean,
): Bare<RecommendedIo> | Bare<RecommendedIoCluster> {
  const tls = tlsOf(input);
  const connection: IoConnection = {
    ...(input.username === undefined ? {} : { username: input.username }),
    ...(input.password === undefined ? {} : { password: input.password }),
    ...(tls === undefined ? {} : { tls }),
    connectTimeout: DEADLINE_CONNECT_MS,
    commandTimeout: COMMAND_TIMEOUT_MS,
    keepAlive: KEEP_ALIVE_MS,
    noDelay: true,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 1,
  };
  const reasons: Record<string, string> = {
    tls: common.tls,
    connectTimeout: common.connectTimeout,
    commandTimeout:
      'by default a call waits for ever for a server that says nothing; under 5 s is where Azure begins, longer where values are large. It holds for blocking commands too: give those, and large values, to lanes() or to a client of their own',
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
): Bare<RecommendedNode> | Bare<RecommendedNodeCluster> {
  const tls = tlsOf(input);
  const plain = {
    connectTimeout: DEADLINE_CONNECT_MS,
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_MS,
    noDelay: true,
    reconnectStrategy: nodeReconnect,
  };
  const socket: NodeSocket = tls === undefined ? plain : { tls: true, ...tls, ...plain };
  const login = {
    ...(input.username === undefined ? {} : { username: input.username }),
    ...(input.password === undefined ? {} : { password: input.password }),
  };
  const reasons: Record<string, string> = {
    'socket.tls': common.tls,
    'socket.connectTimeout': common.connectTimeout,
    'socket.reconnectStrategy': `${common.reconnect}. The library's first attempt comes at once, whatever this says: lanes() makes it wait`,
    'socket.keepAlive': 'finds a peer that is gone without a word',
    pingInterval:
      'connections that were idle for ten minutes are dropped by the service, and a dead one is noticed before the next command needs it',
    commandOptions:
      'under 5 s is where Azure begins; it ends with the moment in which the command is written. The library has no time-out of a reply: lanes() and observe(client, { timeoutMs }) have',
    disableOfflineQueue: 'left off: lanes() bounds what waits, by count, bytes and age',
  };
  if (!cluster) {
    return {
      options: {
        ...login,
        socket: { host: input.host, port, ...socket },
        pingInterval: IDLE_PING_MS,
        commandOptions: { timeout: COMMAND_TIMEOUT_MS },
      },
      reasons,
    };
  }
  const scheme = tls === undefined ? 'redis' : 'rediss';
  return {
    options: {
      rootNodes: [{ url: `${scheme}://${input.host}:${port}` }],
      defaults: { ...login, socket, pingInterval: IDLE_PING_MS },
      commandOptions: { timeout: COMMAND_TIMEOUT_MS },
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
