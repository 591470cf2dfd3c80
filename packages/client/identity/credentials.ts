/**
 * With what a client logs in, now and each time it connects again.
 *
 * AUTH changes a connection that lives; the next one logs in with what the client was made with, which
 * after a rotation is a key that is no longer valid. So a new login is put where the library looks when
 * it connects, too: options, and for ioredis and iovalkey a connection's own copy of them (`condition`),
 * which is made when connecting begins. Clusters make their nodes' clients from options of their own.
 */
import { isIoredis } from '../adapters/ioredis-shape.ts';
import { isNodeRedis, isNodeRedisCluster, type NodeClient } from '../adapters/node-redis-shape.ts';

export interface Login {
  readonly username: string;
  readonly password: string;
}

type Options = Record<string, unknown>;

interface IoParts {
  options: Options & { redisOptions?: Options };
  condition?: { auth?: unknown; subscriber?: unknown; protocol?: number };
  status: string;
  readonly isCluster: boolean;
  nodes?(role: string): IoParts[];
  startupNodes?: unknown[];
  connectionPool?: { redisOptions?: Options; specifiedOptions?: Record<string, Options> };
  call(name: string, ...args: string[]): Promise<unknown>;
}

interface NodeClusterParts {
  _options: { defaults?: Options; rootNodes?: Options[] };
  readonly nodeByAddress: ReadonlyMap<string, { readonly client?: object | undefined }>;
}

/** New connections of this client, and of its nodes, log in with this. */
export function useLogin(client: object, login: Login): void {
  const { username, password } = login;
  const own = { username, password };
  if (isIoredis(client)) {
    const io = client as unknown as IoParts;
    if (io.isCluster) {
      io.options.redisOptions = { ...io.options.redisOptions, ...own };
      const { connectionPool: pool, startupNodes = [] } = io;
      if (pool !== undefined) pool.redisOptions = { ...pool.redisOptions, ...own };
      // A node's own options go before those of all.
      for (const node of [...startupNodes, ...Object.values(pool?.specifiedOptions ?? {})]) {
        if (typeof node === 'object' && node !== null && 'password' in node)
          Object.assign(node, own);
      }
      for (const node of io.nodes?.('all') ?? []) useLogin(node, login);
      return;
    }
    Object.assign(io.options, own);
    if (io.condition) io.condition.auth = [username, password];
  } else if (isNodeRedisCluster(client)) {
    const { _options: options, nodeByAddress } = client._self as unknown as NodeClusterParts;
    options.defaults = { ...options.defaults, ...own, credentialsProvider: provider(own) };
    for (const root of options.rootNodes ?? []) if (typeof root['url'] === 'string') bare(root);
    for (const { client: node } of nodeByAddress.values()) if (node) useLogin(node, login);
  } else if (isNodeRedis(client)) {
    const options = client._self.options as Options | undefined;
    const given = options?.['credentialsProvider'] as { type?: string } | undefined;
    // One that streams tells the client of new credentials itself.
    if (options === undefined || given?.type === 'streaming-credentials-provider') return;
    Object.assign(options, own, { credentialsProvider: provider(own) });
  }
}

/** A user and password in a root node's address would go before those of `defaults`. */
function bare(root: Options): void {
  const url = new URL(String(root['url']));
  if (url.password === '') return;
  url.username = '';
  url.password = '';
  root['url'] = url.href;
}

function provider(login: Login): object {
  return { type: 'async-credentials-provider', credentials: async () => login };
}

/** AUTH on every connection of this client that is there and can take it. */
export function logInNow(client: object, login: Login): Promise<unknown>[] {
  const { username, password } = login;
  if (isIoredis(client)) {
    const io = client as unknown as IoParts;
    if (io.isCluster) return (io.nodes?.('all') ?? []).flatMap((node) => logInNow(node, login));
    const { condition } = io;
    // One that listens takes no AUTH in RESP2; it stays logged in, and its next connection has the new login.
    const listens = Boolean(condition?.subscriber) && condition?.protocol !== 3;
    return io.status !== 'ready' || listens ? [] : [io.call('AUTH', username, password)];
  }
  if (isNodeRedisCluster(client)) {
    const { nodeByAddress } = client._self as unknown as NodeClusterParts;
    return [...nodeByAddress.values()].flatMap(({ client: node }) =>
      node === undefined ? [] : logInNow(node, login),
    );
  }
  if (!isNodeRedis(client)) return [];
  const raw = client._self;
  const proto: NodeClient = Object.getPrototypeOf(raw);
  if (Reflect.get(proto, 'isReady', raw) !== true) return [];
  const listens = raw._getQueue().isPubSubActive && (raw.options as Options)['RESP'] === 2;
  return listens ? [] : [proto.sendCommand.call(raw, ['AUTH', username, password])];
}
