/** The names that certificates of this machine carry. */
import { isIP } from 'node:net';
import { hostname, networkInterfaces } from 'node:os';

export interface NameSources {
  /** Addresses and names given by --listen. */
  readonly listen: readonly string[];
  /** Given by --domain; null when none was. */
  readonly domain: string | null;
}

const DNS_NAME =
  /^(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*$/;

/**
 * `hostName` first (when there is one), then `localhost`, the machine's name, loopback, and what
 * --listen and --domain add. Without doubles; what no certificate can carry is left out.
 *
 * An address that means "all" (0.0.0.0, ::) stands for the machine's own addresses as they are now.
 */
export function certificateNames(hostName: string | null, sources: NameSources): string[] {
  const wanted = [
    ...(hostName === null ? [] : [hostName]),
    'localhost',
    hostname(),
    '127.0.0.1',
    '::1',
    ...sources.listen.flatMap((each) => expand(each)),
    ...(sources.domain === null ? [] : [sources.domain]),
  ];
  const names = new Map<string, string>();
  for (const each of wanted) {
    const name = isIP(each) === 0 ? each.replace(/\.$/, '') : each;
    if (isIP(name) === 0 && !DNS_NAME.test(name)) continue;
    const key = canonical(name);
    if (!names.has(key)) names.set(key, name);
  }
  return [...names.values()];
}

/** One spelling for each name or address, to compare by. */
export function canonical(name: string): string {
  if (isIP(name) !== 6) return name.toLowerCase();
  return new URL(`http://[${name}]`).hostname.slice(1, -1);
}

/** Names that are wanted and not held. */
export function missingNames(wanted: readonly string[], held: readonly string[]): string[] {
  const have = new Set(held.map(canonical));
  return wanted.filter((name) => !have.has(canonical(name)));
}

function expand(listen: string): string[] {
  const bare = listen.replace(/^\[(.*)\]$/, '$1');
  if (bare !== '0.0.0.0' && bare !== '::') return [bare.replace(/%.*$/, '')];
  return Object.values(networkInterfaces())
    .flat()
    .flatMap((each) => {
      if (each === undefined || each.internal) return [];
      if (bare === '0.0.0.0' && each.family !== 'IPv4') return [];
      // Link-local addresses need a zone, which a certificate cannot carry.
      return each.address.toLowerCase().startsWith('fe80:') ? [] : [each.address];
    });
}
