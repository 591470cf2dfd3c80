/** Real clients on the printed address of a cache, with their own reconnection left as it is. */
import { connect as connectTls } from 'node:tls';
import { Cluster, Redis } from 'ioredis';
import type { Service } from './service.ts';

export type Policy = 'OSSCluster' | 'EnterpriseCluster' | 'NoCluster';

export interface Target {
  readonly policy: Policy;
  readonly port: number;
  readonly password: string;
  /** Null: Plaintext. */
  readonly ca: string | null;
}

/** What the tests ask of a client, whatever its kind. */
export interface Client {
  call(...args: [string, ...(string | number)[]]): Promise<unknown>;
  close(): void;
}

export async function target(
  service: Service,
  name: string,
  policy: Policy,
  tls = true,
): Promise<Target> {
  const [{ primaryKey }, port] = await Promise.all([service.keys(name), service.port(name)]);
  return { policy, port, password: primaryKey, ca: tls ? service.ca : null };
}

/** ioredis with its defaults: it connects again by itself. */
export function connect(to: Target): Client {
  const security = {
    username: 'default',
    password: to.password,
    ...(to.ca === null ? {} : { tls: { ca: to.ca, servername: 'localhost' } }),
  };
  if (to.policy === 'OSSCluster') {
    const cluster = new Cluster([{ host: 'localhost', port: to.port }], {
      redisOptions: security,
      dnsLookup: (address, done) => done(null, address),
    });
    // Its connection errors are told to each waiting command as well.
    cluster.on('error', () => undefined);
    return {
      call: (command, ...args) => cluster.call(command, ...args),
      close: () => cluster.disconnect(),
    };
  }
  const redis = new Redis({ host: 'localhost', port: to.port, ...security });
  redis.on('error', () => undefined);
  return {
    call: (command, ...args) => redis.call(command, ...args),
    close: () => redis.disconnect(),
  };
}

/** One connection that tells its first failure and never tries again. */
export function once(to: Target, more: { readonly port?: number } = {}): Redis {
  const redis = new Redis({
    host: 'localhost',
    port: more.port ?? to.port,
    username: 'default',
    password: to.password,
    retryStrategy: null,
    lazyConnect: true,
    ...(to.ca === null ? {} : { tls: { ca: to.ca, servername: 'localhost' } }),
  });
  redis.on('error', () => undefined);
  return redis;
}

/** Null when the login worked, else what the server said. */
export async function loginError(
  to: Target,
  more: { readonly port?: number } = {},
): Promise<string | null> {
  const redis = once(to, more);
  let said: Error | null = null;
  redis.on('error', (error) => {
    said ??= error;
  });
  try {
    await redis.connect();
    await redis.call('PING');
    return null;
  } catch (error) {
    return String(said ?? error);
  } finally {
    redis.disconnect();
  }
}

/** What a TLS connection is told before it says anything, up to its end. */
export function firstWords(to: Target): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let said = '';
  connectTls({ host: 'localhost', port: to.port, ...(to.ca === null ? {} : { ca: to.ca }) })
    .on('data', (chunk) => {
      said += String(chunk);
    })
    .on('error', reject)
    .on('close', () => resolve(said));
  return promise;
}
