import { mkdirSync } from 'node:fs';
import { rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { type ProvisionedEngine, provisionEngine } from '../../engine/index.ts';
import { type RunningApi, startApi } from '../api/index.ts';
import { writePrivate } from '../auth/private-file.ts';
import {
  CONTROL_FILE,
  type ControlFile,
  STOP_FILE,
  type StartOptions,
  type StopEnd,
  type StopFile,
} from '../boot-protocol.ts';
import { passing } from '../databases/failpoints.ts';
import type { Databases, Serving } from '../databases/index.ts';
import { STOP_REST_MS } from '../databases/limits.ts';
import { writingMs } from '../databases/save-turns.ts';
import type { StopReport, StopWish } from '../databases/stop.ts';
import type { SystemStatus } from '../service.ts';
import { type FolderLock, lockFolder, Reserve } from '../store/index.ts';
import { Authority } from '../tls/authority.ts';
import { ROOT_REPLACED } from '../tls/root.ts';
import { type ApiPorts, apiPorts } from './api-ports.ts';
import { certificateEvent } from './certificates.ts';
import { buildVersion, subscriptionOf } from './identity.ts';
import { CLOCK_LOOK_MS, DRAIN_DEADLINE_MS, RENEW_EVERY_MS, SERVING_DEADLINE_MS } from './limits.ts';
import {
  assemble,
  FIRST_CACHE,
  heed,
  LOOPBACK,
  openStore,
  type Parts,
  startFleet,
} from './parts.ts';
import { systemStatus } from './status.ts';
import { type Say, step } from './steps.ts';

/** For tests of what time does to a running service; nobody can set them from outside. */
export interface Internals {
  /** The clock of certificates alone. */
  readonly now?: () => number;
  readonly clockLookMs?: number;
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
  /** By the time of day. */
  #renewedAt = Number.NEGATIVE_INFINITY;
  readonly #reserve: Reserve;
  readonly #hurried = Promise.withResolvers<void>();
  /** Said to everybody as long as this process lives: no client can connect. */
  #rootReplaced: readonly string[] = [];

  constructor(
    options: StartOptions,
    log: Logger,
    say: Say,
    stopAsked: (options: { save: boolean }) => void,
    internals: Internals = {},
  ) {
    this.#internals = internals;
    this.#options = options;
    this.#reserve = new Reserve(options.home);
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
    this.#reserve.prepare();
    mkdirSync(runDir, { recursive: true, mode: 0o700 });
    const engine = await this.#engine();
    const { store, token } = await step(this.#say, 'store', 'Store', () =>
      openStore(home, this.#log, this.#reserve),
    );
    const ports = await apiPorts(store, this.#options, LOOPBACK);
    const firstStart = store.meta(FIRST_CACHE) === null && store.clusters().length === 0;
    const authority = await step(this.#say, 'certificates', 'Certificates', () =>
      Authority.open({
        home,
        listen: this.#options.listen,
        domain: this.#options.domain,
        now: this.#internals.now ?? Date.now,
        trusted: store.clusters().length > 0,
        onNotice: (notice) => {
          certificateEvent(store, notice);
          if (notice.code === ROOT_REPLACED) this.#rootReplaced = [notice.message];
        },
      }),
    );
    authority.prepare();
    const fleet = await step(this.#say, 'endpoint', 'Endpoint', () =>
      passing('open-endpoint', () =>
        startFleet(
          this.#options,
          this.#build,
          this.#log,
          () => this.#parts?.databases ?? null,
          store,
        ),
      ),
    );
    this.#parts = await assemble({
      options: this.#options,
      store,
      token,
      engine,
      authority,
      fleet,
      logger: this.#log,
      now: this.#internals.now ?? Date.now,
      status: () => this.#status(),
      reloadApi: async () => this.#assembled().api?.reload(await authority.api()),
    });
    const { databases, resources, maintenance } = this.#parts;
    await step(
      this.#say,
      'adopt',
      'Databases',
      async () => {
        const { adopted } = await passing('adopt-databases', () => databases.start());
        heed(fleet, { databases, maintenance }, this.#log);
        resources.start();
        maintenance.start();
        return adopted;
      },
      (adopted) => found(store.databases().length, adopted),
    );
    await step(
      this.#say,
      'api',
      'Management API',
      () => this.#openApi(ports),
      (api) => [api.http ?? '', ...(ports.moved === null ? [] : [`(${ports.moved})`])].join(' '),
    );
    // From here on everything is answered; what is not up yet says so itself.
    await this.#writeControlFile(this.#status());
    await this.#serving(databases, store.databases().length);
    const lookMs = this.#internals.clockLookMs ?? CLOCK_LOOK_MS;
    this.#renewal = setInterval(() => this.#renewWhenDue(), lookMs).unref();
    this.#renewWhenDue();
    this.#reserve.keep();
    const status = this.#status();
    return { status, firstStart };
  }

  /** How long an orderly stop may take on a slow disk; one that takes longer hangs. */
  stopWithinMs(): number {
    return STOP_REST_MS + writingMs(this.#parts?.databases.dataBytes() ?? 0);
  }

  /** A stop was asked for: the start is brought to its end, but waits for no cache any more. */
  hurry(): void {
    this.#hurried.resolve();
  }

  async #serving(databases: Databases, total: number): Promise<void> {
    if (total === 0) return;
    let last: Serving = { count: 0, why: 'not looked at yet', settled: false };
    const text = () => `${last.count} of ${total}${last.why === null ? '' : `: ${last.why}`}`;
    const wait = async (detail: (text: string) => void) => {
      let over = false;
      const all = databases.serving(SERVING_DEADLINE_MS, (now) => {
        if (over) return;
        last = now;
        detail(text());
      });
      await Promise.race([all, this.#hurried.promise]);
      over = true;
    };
    await step(this.#say, 'serving', 'Caches serving', wait, text, () => last.why === null);
  }

  /** Orderly: no new clients, files written, processes ended. `save` false: at once. */
  async stop(wish: StopWish): Promise<StopEnd> {
    const parts = this.#parts;
    if (this.#renewal !== null) clearInterval(this.#renewal);
    await rm(join(this.#options.home, CONTROL_FILE), { force: true });
    if (parts === null) {
      this.#lock?.release();
      return { notes: [], held: [] };
    }
    await step(this.#say, 'stop-api', 'Management API closed', async () => {
      await parts.api?.stop();
      parts.audit.stop();
      parts.maintenance.stop();
      await parts.resources.stop();
      parts.engineLogs.stop();
    });
    await this.#reserve.stop();
    await step(this.#say, 'stop-endpoint', 'Endpoint closed', () =>
      parts.fleet.stop(wish.save ? DRAIN_DEADLINE_MS : 0),
    );
    const { notes, held } = await this.#stopDatabases(parts, wish);
    // One that could not be ended is taken over by the next start, through its socket.
    if ((await parts.node.find()).length === 0) {
      await rm(parts.sockets, { recursive: true, force: true });
      // If anything else is in it, it is somebody's.
      await rmdir(this.#options.runDir).catch(() => undefined);
    }
    parts.store.close();
    await this.#writeStopFile({ pid: process.pid, notes, held });
    this.#lock?.release();
    return { notes, held };
  }

  #stopDatabases({ store, databases }: Parts, wish: StopWish): Promise<StopReport> {
    const total = store.databases().length;
    let done = 0;
    const count = () => `${done} of ${total}`;
    const onSaved = (detail: (text: string) => void) => () => {
      done++;
      detail(count());
    };
    const title = wish.save ? 'Databases saved' : 'Databases ended, not saved';
    return step(
      this.#say,
      'stop-databases',
      title,
      (detail) => databases.stop(wish, onSaved(detail)),
      count,
      () => done === total,
    );
  }

  async #writeStopFile(file: StopFile): Promise<void> {
    const write = () =>
      writePrivate(join(this.#options.home, STOP_FILE), `${JSON.stringify(file)}\n`);
    try {
      // On a disk without a byte left the next start needs the reserve as well.
      await write().catch((error) => (this.#reserve.release() ? write() : Promise.reject(error)));
    } catch (error) {
      // The log and the parent have it too.
      this.#log.error({ error: String(error) }, 'how the stop ended could not be written down');
    }
  }

  /** A start that failed ends what it began; what ran before it goes on. */
  async #undo(): Promise<void> {
    // Without the lock it is somebody else's.
    if (this.#lock !== null) await rm(join(this.#options.home, CONTROL_FILE), { force: true });
    await this.#parts?.databases.detach();
    await this.#reserve.stop();
    this.#parts?.engineLogs.stop();
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
          onProgress: (event) => detail(event.detail),
        }),
      ({ build }) => `${build.name} ${build.version} (${build.origin})`,
    );
  }

  async #openApi(ports: ApiPorts): Promise<RunningApi> {
    const parts = this.#assembled();
    parts.api = await startApi(
      {
        service: parts.resources,
        skus: parts.resources,
        maintenance: parts.maintenance,
        certificates: parts.certificates,
        observe: parts.observe,
        token: parts.token,
        now: Date.now,
        stop: this.#stopAsked,
        stopWithinMs: () => this.stopWithinMs(),
        reloadEndpoint: () => parts.fleet.reload(),
        lookAt: (id) => parts.databases.lookAt(id),
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

  /** Also when the clock was set: certificates that end or begin at another time than now are no use. */
  #renewWhenDue(): void {
    const now = this.#internals.now?.() ?? Date.now();
    if (Math.abs(now - this.#renewedAt) < RENEW_EVERY_MS) return;
    this.#renewedAt = now;
    void this.#renew();
  }

  async #renew(): Promise<void> {
    try {
      await this.#assembled().certificates.renew();
    } catch (error) {
      this.#log.error({ error: String(error) }, 'certificates could not be renewed');
    }
  }

  #status(): SystemStatus {
    return systemStatus(this.#assembled(), {
      options: this.#options,
      version: this.#build,
      build: this.#options.build ?? 'unknown',
      startedAt: this.#startedAt,
      warnings: this.#rootReplaced,
    });
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

function found(databases: number, adopted: number): string {
  if (databases === 0) return 'none yet';
  const engines =
    adopted === 0 ? 'starting' : `${adopted} ${adopted === 1 ? 'engine' : 'engines'} adopted`;
  return `${databases} ${databases === 1 ? 'cache' : 'caches'}, ${engines}`;
}
