/**
 * What is wrong with where a client connects to is said where the client is made: on the channel
 * `cinnabar:client:advice` each time, and once a process for each host as a warning of Node's.
 */
import { isIoredis } from '../adapters/ioredis-shape.ts';
import { isNodeRedis, isNodeRedisCluster } from '../adapters/node-redis-shape.ts';
import { FAR_SERVER_CALLS } from '../limits.ts';
import { adviceChannel } from '../telemetry/channels.ts';
import type { Recorder } from '../telemetry/recorder.ts';
import { type Advice, type Place, placeAdvice, sayFar } from './address.ts';

const said = new Set<string>();

export function advise(host: string, advice: readonly Advice[]): void {
  for (const one of advice) {
    if (adviceChannel.hasSubscribers) adviceChannel.publish({ ...one, host });
    const what = `${one.code} ${host}`;
    if (said.has(what)) continue;
    said.add(what);
    process.emitWarning(one.message, { type: 'CinnabarWarning', code: one.code });
  }
}

/** Of each host that this client is told to connect to. */
export function adviseOn(client: object): void {
  const seen = new Set<string>();
  for (const place of placesOf(client)) {
    if (seen.has(place.host)) continue;
    seen.add(place.host);
    advise(place.host, placeAdvice(place));
  }
}

/** Once enough commands have gone there and back by themselves to know how far it is. True: it is known. */
export function adviseOnDistance(client: object, recorder: Recorder): boolean {
  if (recorder.lone < FAR_SERVER_CALLS) return false;
  const place = placesOf(client)[0];
  const far = place === undefined ? undefined : sayFar(place, recorder.leastMs);
  if (place !== undefined && far !== undefined) advise(place.host, [far]);
  return true;
}

interface IoParts {
  readonly options: IoOptions & { readonly redisOptions?: IoOptions };
  readonly startupNodes?: readonly unknown[];
}

interface IoOptions {
  readonly host?: string;
  readonly path?: string | null;
  readonly tls?: unknown;
}

interface NodeParts {
  readonly url?: string;
  readonly socket?: {
    readonly host?: string;
    readonly path?: string;
    readonly tls?: boolean;
  };
}

interface NodeClusterParts {
  readonly _options: { readonly rootNodes?: readonly NodeParts[]; readonly defaults?: NodeParts };
}

/** Where it connects to first; not a socket in the file system. */
export function placesOf(client: object): Place[] {
  if (isIoredis(client)) {
    const { options, startupNodes } = client as unknown as IoParts;
    if (!client.isCluster) return ioPlace(options, options.tls);
    const nodes = (startupNodes ?? []).filter((node): node is IoOptions => node instanceof Object);
    return nodes.flatMap((node) => ioPlace(node, node.tls ?? options.redisOptions?.tls));
  }
  if (isNodeRedisCluster(client)) {
    const { rootNodes = [], defaults } = (client._self as unknown as NodeClusterParts)._options;
    return rootNodes.flatMap((node) => nodePlace(node, defaults?.socket?.tls));
  }
  if (isNodeRedis(client)) return nodePlace((client._self.options ?? {}) as NodeParts, undefined);
  return [];
}

function ioPlace({ host = 'localhost', path }: IoOptions, tls: unknown): Place[] {
  return path == null ? [{ host, tls: Boolean(tls) }] : [];
}

function nodePlace({ url, socket }: NodeParts, tls: boolean | undefined): Place[] {
  if (socket?.path !== undefined) return [];
  const parsed = url === undefined || !URL.canParse(url) ? undefined : new URL(url);
  const host = socket?.host ?? (parsed?.hostname || 'localhost');
  return [{ host, tls: socket?.tls ?? (parsed?.protocol === 'rediss:' || tls === true) }];
}
