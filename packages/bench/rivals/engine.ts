/** A plain engine, as a rival (`direct`) or as what stands behind every proxy. */
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Asker } from '../load/asker.ts';
import type { BenchCertificate } from './certificates.ts';
import { freePort, type Launched, launch } from './launch.ts';
import type { Program } from './programs.ts';

export interface PlainEngine extends Launched {
  readonly port: number;
  /** 0 without a certificate. */
  readonly tlsPort: number;
  readonly socket: string;
  readonly dir: string;
}

export interface PlainEngineOptions {
  readonly dir: string;
  readonly name?: string;
  readonly certificate?: BenchCertificate;
  /** Engine settings by their own names, after ours. */
  readonly settings?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
  /** In front of the program, e.g. a tool that limits it. */
  readonly port?: number;
}

export async function startEngine(
  server: Program,
  options: PlainEngineOptions,
): Promise<PlainEngine> {
  const name = options.name ?? 'engine';
  const port = options.port ?? (await freePort());
  const tlsPort = options.certificate === undefined ? 0 : await freePort();
  const socket = path.join(options.dir, `${name}.sock`);
  const { certificate } = options;
  const settings: Record<string, string> = {
    port: String(port),
    bind: '127.0.0.1',
    unixsocket: socket,
    dir: options.dir,
    // Each side would pay for snapshots; a save in one cell and not in another decides the cell.
    save: '',
    appendonly: 'no',
    // The default; said because the connections benchmark needs more than a container's default.
    maxclients: '10000',
    ...(certificate === undefined
      ? {}
      : {
          'tls-port': String(tlsPort),
          'tls-cert-file': certificate.cert,
          'tls-key-file': certificate.key,
          'tls-ca-cert-file': certificate.ca,
          // Clients of the benchmark bring no certificate, through no side.
          'tls-auth-clients': 'no',
        }),
    ...options.settings,
  };
  const file = path.join(options.dir, `${name}.conf`);
  const lines = Object.entries(settings).map(
    ([key, value]) => `${key} ${value === '' ? '""' : value}`,
  );
  await writeFile(file, `${lines.join('\n')}\n`, { mode: 0o600 });
  const password = options.settings?.['requirepass'];
  const launched = await launch(name, server, [file], () => answers(socket, password), {
    cwd: options.dir,
    ...(options.env === undefined ? {} : { env: options.env }),
  });
  return { ...launched, port, tlsPort, socket, dir: options.dir };
}

async function answers(socket: string, password: string | undefined): Promise<boolean> {
  try {
    const asker = await Asker.open({
      path: socket,
      ...(password === undefined ? {} : { password }),
    });
    try {
      return (await asker.ask('PING')) === 'PONG';
    } finally {
      asker.close();
    }
  } catch {
    return false; // Not listening yet, or loading: asked again until the deadline.
  }
}
