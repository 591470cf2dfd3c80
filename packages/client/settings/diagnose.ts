/**
 * diagnose(url): connects, measures, and says what is wrong and what to do. It writes one key of its
 * own (with an expiry) to measure bandwidth, and removes it.
 */
import { performance } from 'node:perf_hooks';
import { checkServerIdentity } from 'node:tls';
import { check, shape, text } from '../checks.ts';
import { messageOf } from '../errors.ts';
import {
  type Address,
  type Advice,
  adviceFor,
  isLocal,
  parseAddress,
  sayFar,
} from '../identity/address.ts';
import { DIAGNOSE_MS, DIAGNOSE_PINGS, DIAGNOSE_WARM_PINGS } from '../limits.ts';
import { measureBytes } from './bandwidth.ts';
import { certificate } from './certificate.ts';
import { Probe } from './probe.ts';
import { isCertificate, remedyOf } from './remedy.ts';

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
  /** Why it is not reachable, with what to do: one of the problems. */
  readonly error: string | null;
}

type Mutable = { -readonly [K in keyof Diagnosis]: Diagnosis[K] } & { problems: Advice[] };

const SLOW_LINK_BYTES_PER_SECOND = 10_000_000;

export async function diagnose(
  url: string,
  options: { readonly ca?: string } = {},
): Promise<Diagnosis> {
  check('diagnose()', url, text, 'the address');
  check('diagnose()', options, shape({ ca: certificate }));
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
    await measureTime(probe, found, address);
    found.reachable = true;
    if (password === undefined) noPassword(found, address);
    await identify(probe, found, address);
    await measureBandwidth(probe, found);
  } catch (error) {
    const message = `nothing after ${DIAGNOSE_MS} ms: a firewall that drops packets, or a wrong port`;
    noteFault(
      found,
      signal.aborted ? { code: 'no-answer', message } : await remedyOf(error, address),
    );
  } finally {
    signal.removeEventListener('abort', stop);
    probe?.close();
  }
  return found;
}

async function connect(
  address: Address,
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
    if (!address.tls || !isCertificate.test(message)) throw error;
    found.problems.push({
      code: 'certificate',
      message: `its certificate does not check out: ${(await remedyOf(error, address)).message}`,
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

/** In the place of what it says more of. */
function noteFault(found: Mutable, fault: Advice): void {
  const { code, message } = fault;
  const same = code === 'wants-key' ? 'no-password' : code;
  found.error = message;
  found.problems = [...found.problems.filter((problem) => problem.code !== same), fault];
}

/** It was not asked for one: which is no wonder on this machine. */
function noPassword(found: Mutable, { host }: Address): void {
  const rest = found.problems.filter(({ code }) => code !== 'no-password');
  const message = `${host}: whoever reaches it is let in, no access key is asked for`;
  found.problems = isLocal(host) ? rest : [...rest, { code: 'no-password', message }];
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

async function measureTime(probe: Probe, found: Mutable, address: Address): Promise<void> {
  for (let i = 0; i < DIAGNOSE_WARM_PINGS; i += 1) await probe.ask('PING');
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
  const far = sayFar(address, at(0));
  if (far !== undefined) found.problems.push(far);
}

async function identify(probe: Probe, found: Mutable, address: Address): Promise<void> {
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
  if (found.policy === 'OSSCluster') checkNodes(slots, probe, found);
  if (address.database !== 0) await checkDatabase(probe, found, address.database);
}

async function checkDatabase(probe: Probe, found: Mutable, database: number): Promise<void> {
  if (found.policy === 'OSSCluster') {
    found.problems.push({
      code: 'database-in-cluster',
      message: `a cluster has database 0 only; the address names ${database}`,
    });
    return;
  }
  try {
    await probe.ask('SELECT', String(database));
  } catch (error) {
    found.problems.push({
      code: 'no-such-database',
      message: `the address names database ${database}, which cannot be had here (${messageOf(error)}): leave it out, or use 0`,
    });
  }
}

/** A client of a cluster connects to what the nodes call themselves, whatever name it was given. */
function checkNodes(slots: string, probe: Probe, found: Mutable): void {
  const { tls } = probe;
  if (tls === undefined) return;
  const names = new Set(
    [...slots.matchAll(/\$\d+\r\n([^\r\n]+)\r\n:\d+\r\n/g)].map(([, name = '']) => name),
  );
  const peer = tls.getPeerCertificate();
  const uncovered = [...names].filter((name) => checkServerIdentity(name, peer) !== undefined);
  if (uncovered.length === 0) return;
  found.problems.push({
    code: 'nodes-by-address',
    message: `the nodes call themselves ${uncovered.slice(0, 3).join(', ')}, which the certificate is not for: map them to the host name, as recommended('azure', ...) does (natMap, nodeAddressMap)`,
  });
}

async function measureBandwidth(probe: Probe, found: Mutable): Promise<void> {
  const bandwidth = await measureBytes(probe);
  if (bandwidth === undefined) return;
  const { up, down } = bandwidth;
  found.upBytesPerSecond = up;
  found.downBytesPerSecond = down;
  const least = Math.min(up, down);
  if (least < SLOW_LINK_BYTES_PER_SECOND) {
    found.problems.push({
      code: 'slow-link',
      message: `${(least / 1e6).toFixed(1)} MB/s on one connection: large values hold up small ones for long; use chunked() and lanes()`,
    });
  }
}
