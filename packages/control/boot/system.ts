/**
 * Putting the parts together, in the order in which they need each other, and taking them apart in
 * the opposite one. Nothing is decided here.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { LocalNode, type ProvisionedEngine, provisionEngine } from '../../engine/index.ts';
import { type RunningApi, startApi } from '../api/index.ts';
import { writePrivate } from '../auth/private-file.ts';
import { openSecretBox } from '../auth/secret-box.ts';
import { openToken } from '../auth/token.ts';
import { engineUsers } from '../auth/users.ts';
import { CONTROL_FILE, type ControlFile, LOG_FOLDER, type StartOptions } from '../boot-protocol.ts';
import { addNeeds, capacitySummary, needOf } from '../catalog/capacity.ts';
import { readSizingMachine } from '../catalog/machine.ts';
import { Databases, systemClock } from '../databases/index.ts';
import { LocalFleet } from '../endpoints/fleet.ts';
import { distinctHosts } from '../listen.ts';
import {
  catalogueOn,
  kernelPorts,
  Resources,
  type RoomView,
  watchRoom,
} from '../resources/index.ts';
import type { SystemStatus } from '../service.ts';
import { type FolderLock, lockFolder, openDatabase, Store } from '../store/index.ts';
import { Authority } from '../tls/authority.ts';
import { type ApiPorts, apiPorts } from './api-ports.ts';
import { Certificates, certificateEvent } from './certificates.ts';
import { buildVersion, subscriptionOf } from './identity.ts';
import {
  DATABASE_PORTS,
  DRAIN_DEADLINE_MS,
  INTERNAL_PORTS,
  RENEW_EVERY_MS,
  SERVING_DEADLINE_MS,
  SHARD_PORTS,
} from './limits.ts';
import { type Say, step } from './steps.ts';
import { fewerConnections, openToOthers } from './warnings.ts';

const LOOPBACK = ['127.0.0.1', '::1'];

/** For tests of what time does to a running service; nobody can set them from outside. */
export interface Internals {
  /** The clock of certificates alone. */
  readonly now?: () => number;
  readonly renewEveryMs?: number;
}

export interface Stopped {
  readonly notes: readonly string[];
}

export class System {
  readonly #options: StartOptions;
  readonly #log: Logger;
  readonly #say: Say;
  readonly #startedAt = Date.now();
  readonly #build = buildVersion();
  readonly #stopAsked: (options: { save: boolean }) => void;
  readonly #internals: Internals;
  #lock: FolderLock | null = null;
  #parts: Parts | null = null;
  #renewal: NodeJS.Timeout | null = null;

  constructor(
    options: StartOptions,
    log: Logger,
    say: Say,
    stopAsked: (options: { save: boolean }) => void,
    internals: Internals = {},
  ) {
    this.#internals = internals;
    this.#options = options;
    this.#log = log;
    this.#say = say;
    this.#stopAsked = stopAsked;
  }

  /** Resolves when the API answers. Throws ControlError or EngineError: nothing stays behind then. */
  async start(): Promise<{ readonly status: SystemStatus; readonly firstStart: boolean }> {
    try {
      return await this.#start();
    } catch (error) {
      await this.#undo();
      throw error;
    }
  }

  async #start(): Promise<{ readonly status: SystemStatus; readonly firstStart: boolean }> {
    const { home, runDir } = this.#options;
    this.#lock = lockFolder(home);
    mkdirSync(runDir, { recursive: true, mode: 0o700 });
    const engine = await this.#engine();
    const { store, token } = await step(this.#say, 'store', 'Store', () => this.#store());
    const ports = await apiPorts(store, this.#options, LOOPBACK);
    const firstStart = store.meta('first-cache') === null && store.clusters().length === 0;
    const authority = await step(this.#say, 'certificates', 'Certificates', () =>
      Authority.open({
        home,
        listen: this.#options.listen,
        domain: this.#options.domain,
        now: this.#internals.now ?? Date.now,
        onNotice: (notice) => certificateEvent(store, notice),
      }),
    );
    authority.prepare();
    const fleet = await step(this.#say, 'endpoint', 'Endpoint', () => this.#fleet());
    this.#parts = await this.#assemble(store, token, engine, authority, fleet);
    const { databases, resources } = this.#parts;
    await step(
      this.#say,
      'adopt',
      'Databases',
      async () => {
        const { adopted } = await databases.start();
        resources.start();
        return adopted;
      },
      (adopted) => found(store.databases().length, adopted),
    );
    await step(
      this.#say,
      'api',
      'Management API',
      () => this.#openApi(ports),
      (api) => api.http ?? '',
    );
    const total = store.databases().length;
    if (total > 0) {
      await step(
        this.#say,
        'serving',
        'Caches serving',
        (detail) => databases.serving(SERVING_DEADLINE_MS, (n) => detail(`${n} of ${total}`)),
        (n) => `${n} of ${total}`,
      );
    }
    const renewEveryMs = this.#internals.renewEveryMs ?? RENEW_EVERY_MS;
    this.#renewal = setInterval(() => void this.#renew(), renewEveryMs).unref();
    void this.#renew();
    const status = this.#status();
    await this.#writeControlFile(status);
    return { status, firstStart };
  }

  /** Orderly: no new clients, files written, processes ended. `save` false: at once. */
  async stop(save: boolean): Promise<Stopped> {
    const parts = this.#parts;
    if (this.#renewal !== null) clearInterval(this.#renewal);
    await rm(join(this.#options.home, CONTROL_FILE), { force: true });
    if (parts === null) {
      this.#lock?.release();
      return { notes: [] };
    }
    await step(this.#say, 'stop-api', 'Management API closed', async () => {
      await parts.api?.stop();
      await parts.resources.stop();
      parts.room.stop();
    });
    await step(this.#say, 'stop-endpoint', 'Endpoint closed', () =>
      parts.fleet.stop(save ? DRAIN_DEADLINE_MS : 0),
    );
    let done = 0;
    const total = parts.store.databases().length;
    const report = await step(
      this.#say,
      'stop-databases',
      'Databases saved',
      (detail) => parts.databases.stop(save, () => detail(`${++done} of ${total}`)),
      () => `${total} of ${total}`,
    );
    parts.store.close();
    this.#lock?.release();
    return { notes: report.notes };
  }

  /** A start that failed ends what it began; what ran before it goes on. */
  async #undo(): Promise<void> {
    await this.#parts?.databases.detach();
    this.#parts?.room.stop();
    this.#parts?.fleet.detach();
    this.#lock?.release();
  }

  #engine(): Promise<ProvisionedEngine> {
    const { engine: explicit, engineCache: cacheDir } = this.#options;
    return step(
      this.#say,
      'engine',
      'Engine',
      (detail) =>
        provisionEngine({
          cacheDir,
          ...(explicit === undefined ? {} : { explicit }),
          onProgress: (event) => detail(`${event.step} ${event.detail}`.trim()),
        }),
      ({ build }) => `${build.name} ${build.version} (${build.origin})`,
    );
  }

  async #store(): Promise<{ store: Store; token: string }> {
    const { home } = this.#options;
    const db = openDatabase(join(home, 'store.db'));
    const sealed = db.prepare('SELECT count(*) AS n FROM secrets').get();
    const box = await openSecretBox(home, { mayCreate: Number(sealed?.['n']) === 0 });
    const sealer = {
      seal: (owner: string, text: string) => box.seal(text, owner),
      open: (owner: string, text: string) => box.open(text, owner),
    };
    const store = new Store(db, sealer, Date.now);
    store.onEvent((event) => {
      const level = event.severity === 'warning' ? 'warn' : event.severity;
      this.#log[level](event, event.message);
    });
    return { store, token: await openToken(home) };
  }

  async #fleet(): Promise<LocalFleet> {
    const { home, runDir, workers } = this.#options;
    const fleet = new LocalFleet({
      folder: runDir,
      workers: workers ?? availableParallelism(),
      build: this.#build,
      logFile: join(home, LOG_FOLDER, 'endpoint.log'),
      say: (reason, detail) => this.#log.info({ reason, detail }, 'endpoint'),
      onVoteGiven: () => this.#parts?.databases.certificatesChanged(null),
    });
    mkdirSync(join(home, LOG_FOLDER), { recursive: true, mode: 0o700 });
    await fleet.start();
    fleet.onEvent((event) => {
      this.#log.info(event, `endpoint ${event.kind}`);
      if (event.kind === 'shard-lost' || event.kind === 'shard-mute') {
        this.#parts?.databases.wake(event.shard.split('/')[0] ?? '');
      }
    });
    return fleet;
  }

  async #assemble(
    store: Store,
    token: string,
    engine: ProvisionedEngine,
    authority: Authority,
    fleet: LocalFleet,
  ): Promise<Parts> {
    const { home, runDir, domain, listen, firstPorts, miniature } = this.#options;
    const node = new LocalNode({ id: 'local', dataRoot: join(home, 'data'), engine });
    const sockets = join(runDir, 'e');
    mkdirSync(join(home, 'data'), { recursive: true, mode: 0o700 });
    mkdirSync(sockets, { recursive: true, mode: 0o700 });
    const hosts = distinctHosts([...LOOPBACK, ...listen]);
    const hostName = (cluster: { name: string; location: string }) =>
      domain === null ? 'localhost' : `${cluster.name}.${cluster.location}.${domain}`.toLowerCase();
    const log = (level: 'debug' | 'info' | 'warn' | 'error', message: string, data: object) =>
      this.#log[level](data, message);
    const databases = new Databases({
      store,
      node,
      clock: systemClock,
      users: (database, commands) =>
        engineUsers(database, commands ?? engine.capabilities.commands),
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
      randomHex: (bytes) => randomBytes(bytes).toString('hex'),
      log,
      fleet,
    });
    const room = await watchRoom(
      home,
      () => databases.footprint(),
      (error) => log('warn', 'the machine could not be read', { error: String(error) }),
    );
    const machine = {
      ...readSizingMachine(),
      ...(miniature === undefined
        ? {}
        : {
            miniature: {
              memoryFactor: 1 / miniature.memoryDivisor,
              maxShards: miniature.maxShards,
            },
          }),
    };
    const resources = new Resources(store, {
      subscriptionId: subscriptionOf(store),
      catalogue: catalogueOn(machine, room.current),
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
      status: () => this.#status(),
      shards: (id) => databases.shards(id),
      log,
    });
    const certificates = new Certificates({
      store,
      authority,
      databases,
      hostName,
      now: this.#internals.now ?? Date.now,
      reloadApi: async () => this.#assembled().api?.reload(await authority.api()),
    });
    return {
      store,
      token,
      engine,
      authority,
      certificates,
      fleet,
      databases,
      resources,
      room,
      api: null,
    };
  }

  async #openApi(ports: ApiPorts): Promise<RunningApi> {
    const parts = this.#assembled();
    parts.api = await startApi(
      {
        service: parts.resources,
        skus: parts.resources,
        certificates: parts.certificates,
        token: parts.token,
        now: Date.now,
        stop: this.#stopAsked,
        log: (level, message, data) => this.#log[level](data, message),
      },
      {
        // Beyond this machine only over HTTPS: a token must not travel in the clear.
        http: { hosts: LOOPBACK, port: ports.http },
        https: {
          hosts: [...LOOPBACK, ...this.#options.listen],
          port: ports.https,
          certificate: await parts.authority.api(),
        },
      },
    );
    ports.record(parts.api);
    return parts.api;
  }

  async #renew(): Promise<void> {
    try {
      await this.#assembled().certificates.renew();
    } catch (error) {
      this.#log.error({ error: String(error) }, 'certificates could not be renewed');
    }
  }

  #status(): SystemStatus {
    const { store, engine, authority, certificates, fleet, room, api } = this.#assembled();
    const endpoint = fleet.status();
    const { listen, domain, home } = this.#options;
    return {
      version: this.#build,
      build: this.#build,
      pid: process.pid,
      startedAt: this.#startedAt,
      node: process.version,
      engine: {
        name: engine.build.name,
        version: engine.build.version,
        origin: engine.build.origin,
      },
      home,
      api: { http: api?.http ?? null, https: api?.https ?? null },
      caFile: authority.caFile,
      endpoint: { pid: endpoint.supervisor, workers: endpoint.workers },
      domain: domain ?? 'localhost',
      listen: [...LOOPBACK, ...listen],
      warnings: [
        ...(listen.length === 0 ? [] : [openToOthers(listen)]),
        ...fewerConnections(store.databases().map((each) => each.sizing.maxConnections)),
        ...certificates.problems.map((each) => each.message),
      ],
      capacity: capacitySummary(
        room.current(),
        addNeeds(store.databases().map((each) => needOf(each.sizing))),
      ),
    };
  }

  #assembled(): Parts {
    if (this.#parts === null) throw new Error('the control process is not assembled yet');
    return this.#parts;
  }

  async #writeControlFile(status: SystemStatus): Promise<void> {
    const { store } = this.#assembled();
    const file: ControlFile = {
      pid: process.pid,
      http: status.api.http,
      https: status.api.https,
      build: this.#build,
      caFile: status.caFile,
      subscriptionId: subscriptionOf(store),
    };
    await writePrivate(join(this.#options.home, CONTROL_FILE), `${JSON.stringify(file)}\n`);
  }
}

interface Parts {
  readonly store: Store;
  readonly token: string;
  readonly engine: ProvisionedEngine;
  readonly authority: Authority;
  readonly certificates: Certificates;
  readonly fleet: LocalFleet;
  readonly databases: Databases;
  readonly resources: Resources;
  readonly room: RoomView;
  api: RunningApi | null;
}

function found(databases: number, adopted: number): string {
  if (databases === 0) return 'none yet';
  const engines = adopted === 0 ? 'starting' : `${adopted} engines adopted`;
  return `${databases} ${databases === 1 ? 'cache' : 'caches'}, ${engines}`;
}
