/**
 * Our endpoint in front of given engines, without a control plane: the real supervisor and workers,
 * a snapshot made by hand.
 */

import { createHash } from 'node:crypto';
import path from 'node:path';
import { LocalFleet } from '../../control/endpoints/fleet.ts';
import type { DatabaseView } from '../../endpoint/control-protocol.ts';
import { STOP_DEADLINE_MS } from '../limits.ts';
import type { Target } from '../load/asker.ts';
import { SLOTS } from '../load/slots.ts';
import { inspectProcess, refOf, requireRef, signal } from '../processes.ts';
import { atExit } from '../rivals/at-exit.ts';
import type { BenchCertificate } from '../rivals/certificates.ts';
import type { PlainEngine } from '../rivals/engine.ts';
import { freePort } from '../rivals/launch.ts';
import { ACCESS_KEY } from './key.ts';

export interface OurEndpoint {
  readonly port: number;
  /** 0 without a certificate. */
  readonly tlsPort: number;
  /** The key that clients log in with. */
  readonly key: string;
  /** Processes of the workers. */
  workers(): readonly number[];
  target(tls: boolean): Target;
  /** Clients that are connected now. */
  connections(): Promise<number>;
  stop(): Promise<void>;
}

/** The engine user that the endpoint's lanes log in as. */
const TWIN = { name: 'bench-twin', password: 'bench-twin-password' };
const MAX_CONNECTIONS = 20_000;
const OUTPUT_BUFFER_BYTES = 256 * 1024 * 1024;

/**
 * Settings that an engine behind the endpoint needs: its twin user. And the key for everybody else,
 * so that clients of every side log in alike.
 */
export const ENDPOINT_ENGINE_SETTINGS: Readonly<Record<string, string>> = {
  requirepass: ACCESS_KEY,
  user: `${TWIN.name} on >${TWIN.password} ~* &* +@all`,
};

export async function startOurEndpoint(options: {
  readonly dir: string;
  readonly engines: readonly PlainEngine[];
  readonly certificate: BenchCertificate | null;
  readonly workers: number;
  readonly idleTimeoutMs?: number;
}): Promise<OurEndpoint> {
  const said: string[] = [];
  const fleet = new LocalFleet({
    folder: path.join(options.dir, 'run'),
    workers: options.workers,
    build: 'bench',
    logFile: path.join(options.dir, 'endpoint.log'),
    say: (reason, detail) => said.push(`${reason}: ${detail}`),
    onVoteGiven: () => undefined,
  });
  await fleet.start();
  const supervisor = fleet.status().supervisor;
  const ref = supervisor === null ? null : refOf(supervisor);
  // A benchmark that dies takes the endpoint with it, however it dies in its own code.
  const forget = atExit(() => {
    for (const worker of fleet.status().workers) {
      const each = refOf(worker.pid);
      if (each !== null) signal(each, 'SIGKILL');
    }
    if (ref !== null && inspectProcess(ref).state !== 'gone') signal(ref, 'SIGKILL');
  });
  const stop = async (): Promise<void> => {
    await fleet.stop(STOP_DEADLINE_MS);
    forget();
  };
  try {
    const port = await freePort();
    const tlsPort = options.certificate === null ? 0 : await freePort();
    const failed = await fleet.publish(1, [databaseView({ ...options, port, tlsPort })]);
    if (failed.length > 0) throw new Error(`the endpoint cannot serve: ${JSON.stringify(failed)}`);
    const ca = options.certificate?.ca ?? null;
    return {
      port,
      tlsPort,
      key: ACCESS_KEY,
      workers: () => fleet.status().workers.map((worker) => requireRef(worker.pid).pid),
      connections: async () => (await fleet.counters()).databases[0]?.connections ?? 0,
      target: (tls) => ({
        host: '127.0.0.1',
        port: tls ? tlsPort : port,
        username: 'default',
        password: ACCESS_KEY,
        ...(tls ? { tls: { ca } } : {}),
      }),
      stop,
    };
  } catch (error) {
    await stop();
    throw new Error(`${String(error)}\n${said.join('\n')}`);
  }
}

function databaseView(options: {
  readonly engines: readonly PlainEngine[];
  readonly certificate: BenchCertificate | null;
  readonly port: number;
  readonly tlsPort: number;
  readonly idleTimeoutMs?: number;
}): DatabaseView {
  const { engines, certificate, port, tlsPort } = options;
  const plain = { host: '127.0.0.1', port, tls: false };
  const share = Math.ceil(SLOTS / engines.length);
  return {
    id: 'bench',
    policy: 'EnterpriseCluster',
    listen: tlsPort === 0 ? [plain] : [plain, { host: '127.0.0.1', port: tlsPort, tls: true }],
    certificate:
      certificate === null
        ? null
        : { certFile: certificate.cert, keyFile: certificate.key, generation: 1 },
    users: [
      {
        name: 'default',
        secretHashes: [createHash('sha256').update(ACCESS_KEY).digest('hex')],
        twin: TWIN,
      },
    ],
    limits: {
      maxConnections: MAX_CONNECTIONS,
      idleTimeoutMs: options.idleTimeoutMs ?? 0,
      outputBufferBytes: OUTPUT_BUFFER_BYTES,
    },
    guard: [],
    azureStrict: false,
    readFrom: 'primary',
    shards: engines.map((engine, i) => ({
      id: `bench/${i}`,
      slots: [[i * share, Math.min(SLOTS, (i + 1) * share) - 1]],
      state: 'serving',
      reason: 'running',
      primary: { node: String(i).padStart(40, '0'), socket: engine.socket, announce: null },
      replicas: [],
    })),
  };
}
