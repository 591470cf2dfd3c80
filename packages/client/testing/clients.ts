/** Every client library that the kit wraps, for the contract tests: made alike, called alike. */
import { Cluster as IoCluster, Redis as IoRedis } from 'ioredis';
import iovalkey from 'iovalkey';
import { createClient, createCluster } from 'redis';
import { createClient as createOlderClient } from 'redis5';
import type { ClientLike } from '../adapters/raw.ts';

/** The commands that the contract tests use, by names that all three share or that are mapped here. */
export interface AnyClient extends ClientLike {
  get(key: string): Promise<string | null>;
  set(key: string, value: string | Buffer): Promise<unknown>;
  incr(key: string): Promise<number>;
  append(key: string, value: string): Promise<number>;
  del(key: string): Promise<number>;
  on(event: 'error', listener: (error: unknown) => void): unknown;
}

export interface Kind {
  readonly name: string;
  readonly library: 'ioredis' | 'iovalkey' | 'redis';
  /** A new client; a factory for lanes(). */
  make(ports: readonly number[], more?: Record<string, unknown>): AnyClient & object;
  /** Connected, where the library does not do so by itself. */
  connect(client: object): Promise<void>;
  close(client: object): Promise<void>;
  /** Any command, by its words. */
  call(client: object, ...args: (string | Buffer)[]): Promise<unknown>;
  pipeline(client: object, commands: readonly (readonly string[])[]): Promise<readonly unknown[]>;
  multi(client: object, commands: readonly (readonly string[])[]): Promise<readonly unknown[]>;
  subscribe(client: object, channel: string, listener: (message: string) => void): Promise<void>;
}

interface IoLike {
  call(...args: unknown[]): Promise<unknown>;
  pipeline(commands: readonly (readonly string[])[]): {
    exec(): Promise<[Error | null, unknown][]>;
  };
  multi(commands: readonly (readonly string[])[]): { exec(): Promise<[Error | null, unknown][]> };
  subscribe(channel: string): Promise<unknown>;
  on(event: string, listener: (channel: string, message: string) => void): unknown;
  quit(): Promise<unknown>;
}

const io = {
  connect: async () => {},
  close: async (client: object) => void (await (client as IoLike).quit()),
  call: (client: object, ...args: (string | Buffer)[]) => (client as IoLike).call(...args),
  pipeline: async (client: object, commands: readonly (readonly string[])[]) =>
    (await (client as IoLike).pipeline(commands).exec()).map(([error, reply]) => error ?? reply),
  multi: async (client: object, commands: readonly (readonly string[])[]) =>
    (await (client as IoLike).multi(commands).exec()).map(([error, reply]) => error ?? reply),
  subscribe: async (client: object, channel: string, listener: (message: string) => void) => {
    const redis = client as IoLike;
    redis.on('message', (_channel, message) => listener(message));
    await redis.subscribe(channel);
  },
};

interface NodeLike {
  connect(): Promise<unknown>;
  close(): Promise<void>;
  sendCommand(...args: unknown[]): Promise<unknown>;
  multi(): NodeMulti;
  subscribe(channel: string, listener: (message: string) => void): Promise<void>;
}

interface NodeMulti {
  addCommand(...args: unknown[]): NodeMulti;
  exec(): Promise<unknown[]>;
  execAsPipeline(): Promise<unknown[]>;
}

function collect(
  client: object,
  commands: readonly (readonly string[])[],
  cluster: boolean,
): NodeMulti {
  let multi = (client as NodeLike).multi();
  for (const args of commands)
    multi = cluster ? multi.addCommand(args[1], false, args) : multi.addCommand(args);
  return multi;
}

const node = (cluster: boolean) => ({
  connect: async (client: object) => void (await (client as NodeLike).connect()),
  close: (client: object) => (client as NodeLike).close(),
  call: (client: object, ...args: (string | Buffer)[]) =>
    cluster
      ? (client as NodeLike).sendCommand(args[1], false, args)
      : (client as NodeLike).sendCommand(args),
  pipeline: (client: object, commands: readonly (readonly string[])[]) =>
    collect(client, commands, cluster).execAsPipeline(),
  multi: (client: object, commands: readonly (readonly string[])[]) =>
    collect(client, commands, cluster).exec(),
  subscribe: (client: object, channel: string, listener: (message: string) => void) =>
    (client as NodeLike).subscribe(channel, listener),
});

const quiet = <T extends { on(event: 'error', listener: () => void): unknown }>(client: T): T => {
  client.on('error', () => {});
  return client;
};

export const plainKinds: readonly Kind[] = [
  {
    name: 'ioredis',
    library: 'ioredis',
    make: ([port = 0], more) =>
      quiet(new IoRedis({ port, host: '127.0.0.1', ...more })) as unknown as AnyClient,
    ...io,
  },
  {
    name: 'iovalkey',
    library: 'iovalkey',
    make: ([port = 0], more) =>
      quiet(new iovalkey.default({ port, host: '127.0.0.1', ...more })) as unknown as AnyClient,
    ...io,
  },
  {
    name: 'redis',
    library: 'redis',
    make: ([port = 0], more) =>
      quiet(createClient({ socket: { port, host: '127.0.0.1' }, ...more })) as unknown as AnyClient,
    ...node(false),
  },
];

/** The oldest node-redis that the kit wraps. */
export const olderKinds: readonly Kind[] = [
  {
    name: 'redis 5',
    library: 'redis',
    make: ([port = 0], more) =>
      quiet(
        createOlderClient({ socket: { port, host: '127.0.0.1' }, ...more }),
      ) as unknown as AnyClient,
    ...node(false),
  },
];

export const clusterKinds: readonly Kind[] = [
  {
    name: 'ioredis cluster',
    library: 'ioredis',
    make: (ports, more) =>
      quiet(
        new IoCluster(
          ports.map((port) => ({ port, host: '127.0.0.1' })),
          more,
        ),
      ) as unknown as AnyClient,
    ...io,
  },
  {
    name: 'iovalkey cluster',
    library: 'iovalkey',
    make: (ports, more) =>
      quiet(
        new iovalkey.Cluster(
          ports.map((port) => ({ port, host: '127.0.0.1' })),
          more,
        ),
      ) as unknown as AnyClient,
    ...io,
  },
  {
    name: 'redis cluster',
    library: 'redis',
    make: (ports, more) =>
      quiet(
        createCluster({
          rootNodes: ports.map((port) => ({ url: `redis://127.0.0.1:${port}` })),
          ...more,
        }),
      ) as unknown as AnyClient,
    ...node(true),
  },
];

/** The same client with TLS, a host name that the certificate covers, and a password. */
export function overTls(
  kind: Kind,
  at: () => { readonly host: string; readonly ca: string; readonly password: string },
): Kind {
  return {
    ...kind,
    make: (ports, more) => {
      const { host, ca, password } = at();
      const [port = 0] = ports;
      const tls = { ca, servername: host };
      if (kind.library !== 'redis') {
        const one = { host, tls, password };
        const options = kind.name.includes('cluster')
          ? { redisOptions: one, dnsLookup: keepName }
          : one;
        return kind.make(ports, { ...options, ...more });
      }
      const socket = { host, tls: true, ca };
      const options = kind.name.includes('cluster')
        ? { rootNodes: [{ url: `rediss://${host}:${port}` }], defaults: { password, socket } }
        : { password, socket: { ...socket, port } };
      return kind.make(ports, { ...options, ...more });
    },
  };
}

/** A certificate covers names, not addresses. */
const keepName = (name: string, done: (error: null, address: string) => void): void =>
  done(null, name);
