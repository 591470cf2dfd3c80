/**
 * The proxy without the processes around it: a listening socket in this process, a snapshot made by
 * hand. For tests and benchmarks of the data path itself; clients get TLS, no limit and no permit.
 */

import { createHash } from 'node:crypto';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import type { DatabaseView, Event, ShardView, UserView } from '../control-protocol.ts';
import type { AdmittedClient } from '../data-path.ts';
import { ProxyPath } from './proxy.ts';

export interface ProxyOptions {
  readonly shards: readonly ShardView[];
  readonly policy?: DatabaseView['policy'];
  /** Keys by user name; the engine user behind each is `twins[name]`, or the user itself. */
  readonly keys: Readonly<Record<string, string>>;
  readonly twins?: Readonly<Record<string, { readonly name: string; readonly password: string }>>;
  readonly tls?: { readonly key: Buffer; readonly cert: Buffer };
  readonly view?: Partial<DatabaseView>;
}

export interface RunningProxy {
  readonly proxy: ProxyPath;
  readonly port: number;
  readonly tlsPort: number;
  readonly events: Event[];
  readonly reasons: string[];
  view: DatabaseView;
  /** Applies a changed view with the next epoch. */
  apply(change: Partial<DatabaseView>): void;
  close(): Promise<void>;
}

export async function startProxy(options: ProxyOptions): Promise<RunningProxy> {
  const events: Event[] = [];
  const reasons: string[] = [];
  const proxy = new ProxyPath(
    { worker: 0, workers: 1, emit: (event) => events.push(event), now: () => Date.now() },
    'test',
  );
  let epoch = 1;
  let number = 0;
  const sockets = new Set<Socket>();
  const admit = (tls: boolean) => (socket: Socket) => {
    socket.setNoDelay(true);
    socket.on('error', () => socket.destroy());
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.pause();
    const id = ++number;
    let ended = false;
    const client: AdmittedClient = {
      id: `0-${id}`,
      number: id,
      socket,
      address: `${socket.remoteAddress ?? ''}:${socket.remotePort ?? 0}`,
      tls,
      openedAt: Date.now(),
      end(reason, lastWords) {
        if (ended) return;
        ended = true;
        reasons.push(reason);
        if (lastWords === undefined) socket.destroy();
        else socket.end(lastWords);
      },
    };
    proxy.accept(client);
  };
  const servers: Server[] = [
    createServer({ pauseOnConnect: true, allowHalfOpen: true }, admit(false)),
  ];
  if (options.tls !== undefined) servers.push(createTlsServer(options.tls, admit(true)));
  const ports: number[] = [];
  for (const server of servers) {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    ports.push((server.address() as AddressInfo).port);
  }
  const users: UserView[] = Object.entries(options.keys).map(([name, key]) => ({
    name,
    secretHashes: [createHash('sha256').update(key).digest('hex')],
    twin: options.twins?.[name] ?? { name, password: key },
  }));
  const running: RunningProxy = {
    proxy,
    port: ports[0] ?? 0,
    tlsPort: ports[1] ?? 0,
    events,
    reasons,
    view: {
      id: 'test',
      policy: options.policy ?? 'EnterpriseCluster',
      listen: [],
      certificate: null,
      users,
      limits: { maxConnections: 10_000, idleTimeoutMs: 600_000, outputBufferBytes: 1 << 30 },
      guard: [],
      azureStrict: false,
      readFrom: 'primary',
      shards: options.shards,
      ...options.view,
    },
    apply(change) {
      running.view = { ...running.view, ...change };
      proxy.apply(running.view, ++epoch);
    },
    async close() {
      proxy.close();
      for (const socket of sockets) socket.destroy();
      await Promise.all(servers.map((s) => new Promise((resolve) => s.close(resolve))));
    },
  };
  proxy.apply(running.view, epoch);
  return running;
}

/** Shards over these engine sockets, slots in equal parts. */
export function evenShards(sockets: readonly string[]): ShardView[] {
  return sockets.map((socket, i) => ({
    id: `test/${i}`,
    slots: [
      [
        Math.floor((16384 * i) / sockets.length),
        Math.floor((16384 * (i + 1)) / sockets.length) - 1,
      ],
    ],
    state: 'serving',
    reason: 'running',
    primary: { node: String(i).padStart(40, '0'), socket, announce: null },
    replicas: [],
  }));
}
