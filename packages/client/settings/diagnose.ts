/**
 * diagnose(url): connects, measures, and says what is wrong and what to do. It writes one key of its
 * own (with an expiry) to measure bandwidth, and removes it.
 */
import { randomBytes } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import { check, shape, text } from '../checks.ts';
import { messageOf } from '../errors.ts';
import { type Advice, adviceFor, isLocal, parseAddress } from '../identity/address.ts';
import { DIAGNOSE_BYTES, DIAGNOSE_MS, DIAGNOSE_PINGS, FAR_SERVER_MS } from '../limits.ts';
import { Probe } from './probe.ts';

export interface Diagnosis {
  readonly reachable: boolean;
  readonly endpoint: string;
  readonly connectMs: number | null;
  readonly rttMs: { readonly least: number; readonly median: number; readonly most: number } | null;
  /** Bytes a second, one connection, up and down. */
  readonly upBytesPerSecond: number | null;
  readonly downBytesPerSecond: number | null;
  readonly tls: {
    readonly version: string;
    readonly cipher: string;
    readonly validTo: string;
    readonly names: string;
    readonly trusted: boolean;
  } | null;
  readonly server: { readonly name: string; readonly version: string } | null;
  readonly policy: 'OSSCluster' | 'EnterpriseCluster or NoCluster' | null;
  readonly problems: readonly Advice[];
  /** Why it is not reachable, with what to do. */
  readonly error: string | null;
}

type Mutable = { -readonly [K in keyof Diagnosis]: Diagnosis[K] } & { problems: Advice[] };

const SLOW_LINK_BYTES_PER_SECOND = 10_000_000;

export async function diagnose(
  url: string,
  options: { readonly ca?: string } = {},
): Promise<Diagnosis> {
  check('diagnose()', url, text, 'the address');
  check('diagnose()', options, shape({ ca: text }));
  const address = parseAddress(url);
  const found: Mutable = {
    reachable: false,
    endpoint: `${address.host}:${address.port}`,
    connectMs: null,
    rttMs: null,
    upBytesPerSecond: null,
    downBytesPerSecond: null,
    tls: null,
    server: null,
    policy: null,
    problems: adviceFor(address),
    error: null,
  };
  const signal = AbortSignal.timeout(DIAGNOSE_MS);
  let probe: Probe | undefined;
  const stop = (): void => probe?.close();
  signal.addEventListener('abort', stop, { once: true });
  try {
    const started = performance.now();
    probe = await connect(address, options.ca, signal, found);
    found.connectMs = performance.now() - started;
    const { username, password } = address;
    if (password !== undefined)
      await (username === undefined
        ? probe.ask('AUTH', password)
        : probe.ask('AUTH', username, password));
    await measureTime(probe, found, isLocal(address.host));
    found.reachable = true;
    await identify(probe, found, address.database);
    await measureBytes(probe, found);
  } catch (error) {
    found.error = signal.aborted
      ? `nothing after ${DIAGNOSE_MS} ms: a firewall that drops packets, or a wrong port`
      : explain(messageOf(error), address.tls);
  } finally {
    signal.removeEventListener('abort', stop);
    probe?.close();
  }
  return found;
}

async function connect(
  address: ReturnType<typeof parseAddress>,
  ca: string | undefined,
  signal: AbortSignal,
  found: Mutable,
): Promise<Probe> {
  const trust = ca === undefined ? {} : { ca };
  try {
    const probe = await Probe.open(address, { ...trust, verify: true, signal });
    noteTls(probe, found, true);
    return probe;
  } catch (error) {
    const message = messageOf(error);
    if (!address.tls || !/certificate|altname|CERT|self-signed|issuer/i.test(message)) throw error;
    found.problems.push({
      code: 'certificate',
      message: `its certificate does not check out: ${message}. Give the CA (ca), or the name that it is for`,
    });
    const probe = await Probe.open(address, { ...trust, verify: false, signal });
    noteTls(probe, found, false);
    // No access key is sent over a connection whose other end nobody vouches for.
    if (address.password !== undefined) {
      probe.close();
      throw error;
    }
    return probe;
  }
}

function noteTls(probe: Probe, found: Mutable, trusted: boolean): void {
  const { tls } = probe;
  if (tls === undefined) return;
  const certificate = tls.getPeerCertificate();
  const version = tls.getProtocol() ?? 'unknown';
  found.tls = {
    version,
    cipher: tls.getCipher().name,
    validTo: certificate.valid_to ?? '',
    names: certificate.subjectaltname ?? '',
    trusted,
  };
  if (version === 'TLSv1' || version === 'TLSv1.1') {
    found.problems.push({
      code: 'old-tls',
      message: `${version} is broken; use a server and client with TLS 1.2 or 1.3`,
    });
  }
}

async function measureTime(probe: Probe, found: Mutable, local: boolean): Promise<void> {
  const times: number[] = [];
  for (let i = 0; i < DIAGNOSE_PINGS; i += 1) {
    const started = performance.now();
    await probe.ask('PING');
    times.push(performance.now() - started);
  }
  times.sort((a, b) => a - b);
  const at = (share: number): number =>
    times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0;
  found.rttMs = { least: at(0), median: at(0.5), most: at(1) };
  if (!local && at(0) > FAR_SERVER_MS) {
    found.problems.push({
      code: 'far-server',
      message: `a round trip takes at least ${at(0).toFixed(1)} ms: client and cache should be in the same region and zone`,
    });
  }
}

async function identify(probe: Probe, found: Mutable, database: number): Promise<void> {
  // A user may not be allowed INFO; what can be told without is told.
  const info = await probe.ask('INFO', 'server').then(String, () => '');
  const valkey = /valkey_version:(\S+)/.exec(info)?.[1];
  const redis = /redis_version:(\S+)/.exec(info)?.[1];
  if (valkey !== undefined) found.server = { name: 'valkey', version: valkey };
  else if (redis !== undefined) found.server = { name: 'redis', version: redis };
  const slots = await probe.ask('CLUSTER', 'SLOTS').then(String, () => '');
  found.policy =
    slots.startsWith('*') && !slots.startsWith('*0')
      ? 'OSSCluster'
      : 'EnterpriseCluster or NoCluster';
  if (found.policy === 'OSSCluster' && database !== 0) {
    found.problems.push({
      code: 'database-in-cluster',
      message: `a cluster has database 0 only; the address names ${database}`,
    });
  }
}

async function measureBytes(probe: Probe, found: Mutable): Promise<void> {
  // In a cluster only a third of all names belong to this node: the first that does is used.
  for (let attempt = 0; attempt < 64; attempt += 1) {
    const key = `cinnabar:diagnose:${randomBytes(6).toString('hex')}`;
    const value = randomBytes(DIAGNOSE_BYTES);
    try {
      const up = performance.now();
      await probe.ask('SET', key, value, 'EX', '60');
      const down = performance.now();
      await probe.ask('GET', key);
      const end = performance.now();
      await probe.ask('DEL', key);
      found.upBytesPerSecond = (DIAGNOSE_BYTES * 1_000) / (down - up);
      found.downBytesPerSecond = (DIAGNOSE_BYTES * 1_000) / (end - down);
      break;
    } catch (error) {
      const message = messageOf(error);
      if (message.startsWith('MOVED')) continue;
      // Not allowed to write, or no memory left: bandwidth stays unknown, which is no fault of the link.
      if (/^(NOPERM|OOM|READONLY|MISCONF)/.test(message)) return;
      throw error;
    }
  }
  const least = Math.min(
    found.upBytesPerSecond ?? Number.POSITIVE_INFINITY,
    found.downBytesPerSecond ?? Number.POSITIVE_INFINITY,
  );
  if (least < SLOW_LINK_BYTES_PER_SECOND) {
    found.problems.push({
      code: 'slow-link',
      message: `${(least / 1e6).toFixed(1)} MB/s on one connection: large values hold up small ones for long; use chunked() and lanes()`,
    });
  }
}

function explain(message: string, tls: boolean): string {
  if (/ECONNREFUSED/.test(message))
    return `${message}: nothing listens there; is the port right (10000; 6379 or 6380 elsewhere)?`;
  if (/ENOTFOUND|EAI_AGAIN/.test(message)) return `${message}: the name does not resolve from here`;
  if (/WRONGPASS|NOAUTH|invalid password/i.test(message))
    return `${message}: fetch the access key again; was it rotated?`;
  if (/^no connection within/.test(message)) {
    return tls
      ? `${message}: a firewall that drops packets, or a port that does not speak TLS (then use redis://, or the TLS port)`
      : `${message}: a firewall that drops packets, or a wrong address`;
  }
  if (tls && /wrong version number|packet length|RESP/i.test(message))
    return `${message}: the other end does not speak TLS on this port; use redis://, or the TLS port`;
  if (!tls && /closed|ECONNRESET|RESP/.test(message))
    return `${message}: the other end may want TLS; use rediss://`;
  return message;
}
