/** HAProxy in TCP mode in front of one engine, with TLS ended at it where asked. */
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { BenchCertificate } from './certificates.ts';
import { accepts, freePort, type Launched, launch } from './launch.ts';
import type { Program } from './programs.ts';

export interface RunningProxy extends Launched {
  readonly port: number;
  /** 0 without a certificate. */
  readonly tlsPort: number;
}

export function haproxyConfig(options: {
  readonly port: number;
  readonly tlsPort: number;
  readonly certificate: BenchCertificate | null;
  readonly engineSocket: string;
  readonly maxConnections: number;
}): string {
  return `# HAProxy as a rival. Every setting that is not its default has its reason here.
global
    # One thread a core is its default and its best here: it may use both cores, as it always did
    # in the measurements that the goals come from.
    # The connections benchmark opens ten thousand.
    maxconn ${options.maxConnections}
defaults
    # It does not speak the protocol; TCP mode is its fastest.
    mode tcp
    timeout connect 5s
    # Benchmarks hold idle connections; a timeout would end them and be counted against it.
    timeout client 1h
    timeout server 1h
frontend plain
    bind 127.0.0.1:${options.port}
    default_backend engine
${
  options.certificate === null
    ? ''
    : `frontend tls
    # The same certificate as every side; protocol versions as Azure and we allow.
    bind 127.0.0.1:${options.tlsPort} ssl crt ${options.certificate.both} ssl-min-ver TLSv1.2
    default_backend engine
`
}backend engine
    # The unix socket is the engine's fastest entrance, and the one our endpoint uses.
    server engine unix@${options.engineSocket}
`;
}

export async function startHaproxy(
  program: Program,
  options: {
    readonly dir: string;
    readonly engineSocket: string;
    readonly certificate: BenchCertificate | null;
    readonly maxConnections?: number;
  },
): Promise<RunningProxy> {
  const port = await freePort();
  const tlsPort = options.certificate === null ? 0 : await freePort();
  const file = path.join(options.dir, 'haproxy.cfg');
  const maxConnections = options.maxConnections ?? 2_000;
  await writeFile(file, haproxyConfig({ ...options, port, tlsPort, maxConnections }));
  const launched = await launch('haproxy', program, ['-db', '-f', file], () => accepts({ port }));
  return { ...launched, port, tlsPort };
}
