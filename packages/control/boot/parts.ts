/** The parts of the control process and how they are given to each other. Nothing is decided here. */
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { boundLogs, LocalNode, labelOf, type ProvisionedEngine } from '../../engine/index.ts';
import type { RunningApi } from '../api/index.ts';
import { openSecretBox } from '../auth/secret-box.ts';
import { openToken } from '../auth/token.ts';
import { engineUsers } from '../auth/users.ts';
import { LOG_FOLDER, type StartOptions } from '../boot-protocol.ts';
import type { Room } from '../catalog/capacity.ts';
import { freeDisk, freeMemory, readSizingMachine } from '../catalog/machine.ts';
import type { Miniature } from '../catalog/miniature.ts';
import { Databases, systemClock } from '../databases/index.ts';
import { LocalFleet } from '../endpoints/fleet.ts';
import { distinctHosts } from '../listen.ts';
import { ConnectionAudit, Observe, type ObserveDeps } from '../observe/index.ts';
import { ARRANGING } from '../plan/limits.ts';
import {
  catalogueOn,
  kernelPorts,
  MaintenanceDesk,
  type ResourceDeps,
  Resources,
  roomOn,
} from '../resources/index.ts';
import type { SystemStatus } from '../service.ts';
import { openDatabase, type Reserve, refuseLostStore, Store } from '../store/index.ts';
import type { Authority } from '../tls/authority.ts';
import { Certificates } from './certificates.ts';
import { otherEngines } from './engines.ts';
import { subscriptionOf } from './identity.ts';
import { DATABASE_PORTS, ENDPOINT_EVENT_MS, INTERNAL_PORTS, SHARD_PORTS } from './limits.ts';
import { miniatureOf } from './miniature.ts';

export const LOOPBACK = ['127.0.0.1', '::1'];
/** Set when the first cache was ever made here. */
export const FIRST_CACHE = 'first-cache';

export interface Parts {
  readonly store: Store;
  readonly token: string;
  readonly engine: ProvisionedEngine;
  readonly authority: Authority;
  readonly certificates: Certificates;
  readonly fleet: LocalFleet;
  readonly node: LocalNode;
  /** Where the sockets of engines are. */
  readonly sockets: string;
  readonly engineLogs: { stop(): void };
  readonly databases: Databases;
  readonly resources: Resources;
  readonly maintenance: MaintenanceDesk;
  readonly miniature: Miniature | null;
  readonly room: () => Room;
  readonly observe: Observe;
  readonly audit: ConnectionAudit;
  api: RunningApi | null;
}

/** What has to be there before the rest can be put together. */
export interface Given {
  readonly options: StartOptions;
  readonly store: Store;
  readonly token: string;
  readonly engine: ProvisionedEngine;
  readonly authority: Authority;
  readonly fleet: LocalFleet;
  readonly logger: Logger;
  readonly now: () => number;
  readonly status: () => SystemStatus;
  readonly reloadApi: () => Promise<void>;
}

export async function openStore(
  home: string,
  log: Logger,
  reserve: Reserve,
): Promise<{ store: Store; token: string }> {
  const file = join(home, 'store.db');
  refuseLostStore(file, join(home, 'data'));
  const db = openDatabase(file);
  const sealed = db.prepare('SELECT count(*) AS n FROM secrets').get();
  const box = await openSecretBox(home, { mayCreate: Number(sealed?.['n']) === 0 });
  const sealer = {
    seal: (owner: string, text: string) => box.seal(text, owner),
    open: (owner: string, text: string) => box.open(text, owner),
  };
  const store = new Store(db, sealer, Date.now);
  store.onFull(() => reserve.release());
  store.onEvent((event) => {
    const level = event.severity === 'warning' ? 'warn' : event.severity;
    log[level](event, event.message);
    // The quick start makes its cache once: a user who deleted it does not want it back.
    if (event.reason === 'cluster-creating' && store.meta(FIRST_CACHE) === null) {
      store.write(() => store.setMeta(FIRST_CACHE, event.clusterId ?? ''));
    }
  });
  return { store, token: await openToken(home) };
}

export async function startFleet(
  options: StartOptions,
  build: string,
  log: Logger,
  databases: () => Databases | null,
  store: Store,
): Promise<LocalFleet> {
  const { home, runDir, workers } = options;
  let lostAt = Number.NEGATIVE_INFINITY;
  const fleet = new LocalFleet({
    folder: runDir,
    workers: workers ?? availableParallelism(),
    build,
    logFile: join(home, LOG_FOLDER, 'endpoint.log'),
    say: (reason, detail) => {
      log.info({ reason, detail }, 'endpoint');
      // Said again at each try to start another one.
      const told = reason === LOST && performance.now() - lostAt < ENDPOINT_EVENT_MS;
      if (reason === LOST && !told) lostAt = performance.now();
      if (ENDPOINT_EVENTS.has(reason) && !told) endpointEvent(store, reason, detail);
    },
    onVoteGiven: () => databases()?.certificatesChanged(null),
  });
  mkdirSync(join(home, LOG_FOLDER), { recursive: true, mode: 0o700 });
  await fleet.start();
  return fleet;
}

/** What a user should be told of the endpoint's own processes: clients were disconnected, or could be. */
const LOST = 'supervisor-lost';
const ENDPOINT_EVENTS: ReadonlySet<string> = new Set([
  'worker-died',
  'worker-hung',
  'supervisor-hung',
  LOST,
]);

function endpointEvent(store: Store, reason: string, detail: string): void {
  const nobody = { clusterId: null, databaseId: null, shard: null, instance: null };
  const who = reason === LOST ? 'supervisor is gone:' : 'process';
  const message = `The endpoint's ${who} ${detail}`;
  store.tell({ reason, severity: 'warning', message, data: {}, ...nobody });
}

/** What the endpoint has to say is heard from here on; what it said before is not lost. */
export function heed(
  fleet: LocalFleet,
  { databases, maintenance }: Pick<Parts, 'databases' | 'maintenance'>,
  log: Logger,
): void {
  fleet.onEvent((event) => {
    log.info(event, `endpoint ${event.kind}`);
    if (event.kind === 'shard-lost' || event.kind === 'shard-mute') {
      databases.suspect(event.shard);
    } else if (event.kind === 'limit' && event.limit === 'scripts-refused') {
      maintenance.scriptsRefused(event);
    } else if (event.kind === 'limit') databases.limitHit(event);
    else if (event.kind === 'config-set') void databases.setConfig(event);
  });
}

export async function assemble(given: Given): Promise<Parts> {
  const { options, store, token, engine, authority, fleet, logger } = given;
  const { home, runDir, domain, listen, firstPorts } = options;
  const log = (level: 'debug' | 'info' | 'warn' | 'error', message: string, data: object) =>
    logger[level](data, message);
  const others = await otherEngines(store, engine, options.engineCache, log);
  const node = new LocalNode({ id: 'local', dataRoot: join(home, 'data'), engine, others });
  const sockets = join(runDir, 'e');
  mkdirSync(join(home, 'data'), { recursive: true, mode: 0o700 });
  mkdirSync(sockets, { recursive: true, mode: 0o700 });
  const hosts = distinctHosts([...LOOPBACK, ...listen]);
  const hostName = (cluster: { name: string; location: string }) =>
    domain === null ? 'localhost' : `${cluster.name}.${cluster.location}.${domain}`.toLowerCase();
  const databases = new Databases({
    store,
    node,
    clock: systemClock,
    users: (database, commands) => engineUsers(database, commands ?? engine.capabilities.commands),
    dataRoot: join(home, 'data'),
    socketRoot: sockets,
    shardPorts: firstPorts?.shard ?? SHARD_PORTS,
    internalPorts: firstPorts?.internal ?? INTERNAL_PORTS,
    engineHost: '127.0.0.1',
    hosts,
    directHosts: distinctHosts(listen),
    tls: (cluster) => authority.engine(cluster.id, hostName(cluster)),
    served: (cluster) => authority.served(cluster.id, hostName(cluster)),
    hostName,
    arranging: ARRANGING,
    freeMemory,
    freeDisk: () => freeDisk(home),
    ports: kernelPorts,
    randomHex: (bytes) => randomBytes(bytes).toString('hex'),
    log,
    fleet,
  });
  const room = roomOn(
    home,
    () => databases.footprint(),
    (error) => log('warn', 'the machine could not be read', { error: String(error) }),
  );
  const miniature = miniatureOf(store, options.miniature);
  const machine = { ...readSizingMachine(), miniature };
  const resourceDeps: ResourceDeps = {
    subscriptionId: subscriptionOf(store),
    catalogue: catalogueOn(machine, room),
    ports: kernelPorts,
    firstPort: firstPorts?.database ?? DATABASE_PORTS,
    domain,
    now: Date.now,
    newId: randomUUID,
    wake: (id) => databases.wake(id),
    applyUsers: (id, options) => databases.applyUsers(id, options),
    prepareCluster: async (cluster) => {
      await authority.engine(cluster.id, hostName(cluster));
      await authority.served(cluster.id, hostName(cluster));
    },
    releaseCluster: (cluster) => authority.remove(cluster.id),
    status: given.status,
    shards: (id) => databases.shards(id),
    engine: () => labelOf(engine.build),
    canStart: (label) => node.known(label) !== null,
    problems: (id) => databases.problems(id),
    log,
  };
  const resources = new Resources(store, resourceDeps);
  const looking: Omit<ObserveDeps, 'fleet'> = {
    database: (id) => store.databaseById(id),
    databases: () =>
      store
        .clusters()
        .flatMap((cluster) =>
          store.databases(cluster.id).map((database) => ({ cluster, database })),
        ),
    askEngines: (id, ask) => databases.askEngines(id, ask),
    now: Date.now,
  };
  const observe = new Observe({ ...looking, fleet });
  const audit = new ConnectionAudit({
    ...looking,
    write: (entry) => log('info', `shard ${entry.kind}`, entry),
  });
  audit.start();
  const dataDirs = () =>
    store.databases().flatMap(({ id }) => store.instances(id).map(({ dataDir }) => dataDir));
  const engineLogs = boundLogs(dataDirs, (error) =>
    log('warn', 'a log of an engine could not be cut', { error: String(error) }),
  );
  const certificates = new Certificates({
    store,
    authority,
    databases,
    hostName,
    now: given.now,
    reloadApi: given.reloadApi,
  });
  return {
    store,
    token,
    engine,
    authority,
    certificates,
    fleet,
    node,
    sockets,
    engineLogs,
    databases,
    resources,
    maintenance: new MaintenanceDesk(store, resourceDeps),
    miniature,
    room,
    observe,
    audit,
    api: null,
  };
}
