/** The cache through `ioredis`. */
import { Cluster, Redis } from 'ioredis';
import type { Address, Cache } from './cache.ts';
import { ioCommands } from './io-commands.ts';

export function openIoredis(address: Address): Cache {
  const { hostname, port, username, password, protocol } = new URL(address.url);
  const login = {
    username,
    password: decodeURIComponent(password),
    ...(protocol === 'rediss:' ? { tls: { ca: address.ca, servername: hostname } } : {}),
  };
  if (!address.cluster)
    return ioCommands(new Redis({ host: hostname, port: Number(port), ...login }));
  return ioCommands(
    new Cluster([{ host: hostname, port: Number(port) }], {
      redisOptions: login,
      // Names as they are announced: the certificates are made out to them, not to addresses.
      dnsLookup: (name, done) => done(null, name),
    }),
  );
}
