/**
 * The proxy without the processes around it: a listening socket in this process, a snapshot made by
 * hand. For tests and benchmarks of the data path itself; clients get TLS, no limit and no permit.
 *
 * With `workers: 2` there are two paths, as in two worker processes: clients come to them in turn, and
 * they talk to each other over the same sockets as workers do.
 */

import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import type {
  ClientView,
  DatabaseView,
  Event,
  LargeView,
  ShardView,
  Successor,
  UserView,
} from '../control-protocol.ts';
import type { AdmittedClient } from '../data-path.ts';
import { ALONE, type Neighbours } from '../neighbours.ts';
import { NeighbourLinks } from '../worker/neighbour-links.ts';
import { ProxyPath } from './proxy.ts';

export interface ProxyOptions {
  readonly shards: readonly ShardView[];
  readonly policy?: DatabaseView['policy'];
  /** Keys by user name; the engine user behind each is `twins[name]`, or the user itself. */
  readonly keys: Readonly<Record<string, string>>;
  readonly twins?: Readonly<Record<string, { readonly name: string; readonly password: string }>>;
  readonly tls?: { readonly key: Buffer; readonly cert: Buffer };
  readonly view?: Partial<DatabaseView>;
  readonly workers?: number;
}

export interface RunningProxy {
  /** The first worker's path. */
  readonly proxy: ProxyPath;
  readonly proxies: readonly ProxyPath[];
  readonly port: number;
  readonly tlsPort: number;
  readonly events: Event[];
  readonly reasons: string[];
  view: DatabaseView;
  /** Applies a changed view with the next epoch. */
  apply(change: Partial<DatabaseView>): void;
  prepare(shard: string): Promise<void>;
  hold(shard: string, deadlineAt: number): Promise<void>;
  expect(shard: string, successor: Successor): void;
  /** `successor`: a replica that is its primary from now on. */
  release(shard: string, successor?: Successor): void;
  clients(): ClientView[];
  large(): LargeView[];
  /** Commands in flight to the first shard. */
  inFlight(): number;
  close(): Promise<void>;
}

/** What is tested with one worker and with two. */
export const WORKER_COUNTS = [1, 2] as const;

export async function startProxy(options: ProxyOptions): Promise<RunningProxy> {
  const events: Event[] = [];
  const reasons: string[] = [];
  const count = options.workers ?? 1;
  const folder = count > 1 ? mkdtempSync(join(tmpdir(), 'nb-')) : '';
  const proxies: ProxyPath[] = [];
  const links: NeighbourLinks[] = [];
  for (let worker = 0; worker < count; worker++) {
    const neighbours = count > 1 ? linkOf(folder, worker, () => proxies[worker], events) : ALONE;
    if (neighbours instanceof NeighbourLinks) links.push(neighbours);
    const host = {
      worker,
      workers: count,
      neighbours,
      emit: (event: Event) => void events.push(event),
      now: () => Date.now(),
    };
    proxies.push(new ProxyPath(host, 'test'));
  }
  await Promise.all(links.map((link) => link.listen()));
  for (const [i, link] of links.entries()) {
    const others = links.flatMap((_, j) => (i === j ? [] : [{ pid: j, socket: path(folder, j) }]));
    link.set(others);
  }
  const [proxy] = proxies;
  if (proxy === undefined) throw new Error('at least one worker');
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
    proxies[id % proxies.length]?.accept(client);
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
    proxies,
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
      epoch++;
      for (const each of proxies) each.apply(running.view, epoch);
    },
    async prepare(shard) {
      await Promise.all(proxies.map((each) => each.prepare(shard)));
    },
    expect(shard, successor) {
      for (const each of proxies) each.expect(shard, successor);
    },
    async hold(shard, deadlineAt) {
      await Promise.all(proxies.map((each) => each.hold(shard, deadlineAt)));
    },
    release(shard, successor) {
      for (const each of proxies) each.release(shard, epoch, successor ?? null);
    },
    clients: () => proxies.flatMap((each) => each.clients()),
    large: () => proxies.flatMap((each) => [...each.large()]),
    inFlight: () =>
      proxies.reduce((sum, each) => sum + (each.world.topology.first()?.inFlight ?? 0), 0),
    async close() {
      for (const each of proxies) each.close();
      for (const link of links) link.close();
      for (const socket of sockets) socket.destroy();
      await Promise.all(servers.map((s) => new Promise((resolve) => s.close(resolve))));
      if (folder !== '') rmSync(folder, { recursive: true, force: true });
    },
  };
  for (const each of proxies) each.apply(running.view, epoch);
  return running;
}

function path(folder: string, worker: number): string {
  return join(folder, `${worker}.sock`);
}

/** As `worker/worker.ts` does it, for a single database. */
function linkOf(
  folder: string,
  worker: number,
  proxy: () => ProxyPath | undefined,
  events: Event[],
): Neighbours {
  return new NeighbourLinks(path(folder, worker), worker, {
    asked: (_database, question) => proxy()?.asked(question) ?? null,
    told: (_database, notice, from) => proxy()?.told(notice, from),
    joined: (pid, eldest) => proxy()?.neighbourJoined(pid, eldest),
    left: (pid) => proxy()?.neighbourLeft(pid),
    mute: (pid, detail) =>
      void events.push({
        type: 'event',
        at: Date.now(),
        kind: 'limit',
        database: '',
        limit: 'peer-mute',
        detail: `worker ${pid}: ${detail}`,
      }),
  });
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
