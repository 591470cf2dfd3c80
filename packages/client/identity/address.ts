/** What can be said of a connection before it is made: is it safe, can its certificate be checked? */
import { isIP } from 'node:net';
import { KitError } from '../errors.ts';

export interface Address {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly database: number;
}

export interface Advice {
  readonly code:
    | 'plaintext'
    | 'ip-address'
    | 'no-password'
    | 'far-server'
    | 'old-tls'
    | 'database-in-cluster'
    | 'slow-link'
    | 'certificate';
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
    database: parsed.pathname.length > 1 ? Number(parsed.pathname.slice(1)) : 0,
  };
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
  const advice: Advice[] = [];
  const { host, tls } = address;
  if (!tls && !isLocal(host)) {
    advice.push({
      code: 'plaintext',
      message: `${host}: without TLS, keys and data can be read and changed on the way; use rediss://`,
    });
  }
  if (tls && isIP(host) !== 0 && !isLocal(host)) {
    advice.push({
      code: 'ip-address',
      message: `${host}: certificates name hosts, not addresses, and addresses change; use the host name`,
    });
  }
  if (address.password === undefined) {
    advice.push({
      code: 'no-password',
      message: `${host}: the address carries no access key; a token must be given otherwise`,
    });
  }
  return advice;
}
