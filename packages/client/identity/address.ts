/** What can be said of a connection before it is made: is it safe, can its certificate be checked? */
import { isIP } from 'node:net';
import { KitError } from '../errors.ts';
import { FAR_SERVER_MS } from '../limits.ts';

/** Where a connection leads, and whether it is safe on the way. */
export interface Place {
  readonly host: string;
  readonly tls: boolean;
}

export interface Address extends Place {
  readonly port: number;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly database: number;
}

/** Why there is no connection at all; besides `certificate`. */
export type Fault =
  | 'nothing-listens'
  | 'unknown-name'
  | 'not-tls'
  | 'wants-tls'
  | 'no-such-server'
  | 'no-answer'
  | 'wants-key'
  | 'wants-no-key'
  | 'wrong-key'
  | 'refused';

export interface Advice {
  readonly code:
    | 'plaintext'
    | 'ip-address'
    | 'host-name'
    | 'no-password'
    | 'far-server'
    | 'old-tls'
    | 'database-in-cluster'
    | 'no-such-database'
    | 'nodes-by-address'
    | 'slow-link'
    | 'certificate'
    | Fault;
  readonly message: string;
}

/** `rediss://user:password@host:port/0`; without a scheme: TLS. */
export function parseAddress(url: string): Address {
  const full = /^[a-z]+:\/\//i.test(url) ? url : `rediss://${url}`;
  let parsed: URL;
  try {
    parsed = new URL(full);
  } catch {
    throw new KitError(
      'ERR_CLIENT_OPTION',
      'the address is no URL; it looks like rediss://user:password@host:port',
    );
  }
  if (parsed.protocol !== 'redis:' && parsed.protocol !== 'rediss:') {
    throw new KitError(
      'ERR_CLIENT_OPTION',
      `${parsed.protocol} is not a scheme of this kind; use rediss: (TLS) or redis:`,
    );
  }
  if (parsed.hostname === '') {
    throw new KitError('ERR_CLIENT_OPTION', 'the address names no host');
  }
  const tls = parsed.protocol === 'rediss:';
  return {
    host: parsed.hostname.replace(/^\[|\]$/g, ''),
    port: parsed.port === '' ? (tls ? 10_000 : 6_379) : Number(parsed.port),
    tls,
    username: parsed.username === '' ? undefined : decoded(parsed.username),
    password: parsed.password === '' ? undefined : decoded(parsed.password),
    database: databaseOf(parsed.pathname.slice(1)),
  };
}

function databaseOf(path: string): number {
  const database = Number(path);
  if (Number.isSafeInteger(database) && database >= 0) return database;
  throw new KitError(
    'ERR_CLIENT_OPTION',
    "what follows the address's / is the number of a database, and mostly nothing",
  );
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new KitError(
      'ERR_CLIENT_OPTION',
      'user and password of the address are not well encoded: a % is written as %25',
    );
  }
}

/** This machine itself: nothing to protect on the way. */
export function isLocal(host: string): boolean {
  return (
    host === 'localhost' || host === '::1' || host.startsWith('127.') || host.endsWith('.localhost')
  );
}

export function adviceFor(address: Address): Advice[] {
  const advice = placeAdvice(address);
  if (address.password === undefined) {
    advice.push({
      code: 'no-password',
      message: `${address.host}: the address carries no access key; a token must be given otherwise`,
    });
  }
  return advice;
}

/** What can be said without knowing who logs in. */
export function placeAdvice({ host, tls }: Place): Advice[] {
  const advice: Advice[] = [];
  if (isLocal(host)) return advice;
  if (!tls) {
    advice.push({
      code: 'plaintext',
      message: `${host}: without TLS, keys and data can be read and changed on the way; use rediss:// (TLS)`,
    });
  }
  if (isIP(host) !== 0) {
    advice.push({
      code: 'ip-address',
      message: `${host}: certificates name hosts, not addresses, and addresses change; use the host name`,
    });
  }
  const own = host.replace(/\.privatelink\./i, '.');
  if (own !== host) {
    advice.push({
      code: 'host-name',
      message: `${host}: the certificate is for the cache's own name; connect to ${own}, which resolves to the private address by itself`,
    });
  }
  return advice;
}

/** `leastMs`: the shortest of many round trips. */
export function sayFar({ host }: Place, leastMs: number): Advice | undefined {
  if (isLocal(host) || leastMs <= FAR_SERVER_MS) return undefined;
  return {
    code: 'far-server',
    message: `${host}: a round trip takes at least ${leastMs.toFixed(1)} ms: client and cache should be in the same region and zone`,
  };
}
