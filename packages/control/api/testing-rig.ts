/**
 * For tests: the real API over the real resources and the real store, with a stand-in for the one
 * part that needs processes: it ends the operations of databases, as the executor does when what
 * runs is what is wanted.
 */
import { randomUUID } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import { join } from 'node:path';
import type { Room } from '../catalog/capacity.ts';
import { ControlError } from '../errors.ts';
import { afterMaintenance } from '../plan/upgrade.ts';
import {
  catalogueOn,
  kernelPorts,
  MaintenanceDesk,
  type ResourceDeps,
  Resources,
} from '../resources/index.ts';
import type { ShardStatus } from '../service.ts';
import type { ClusterRecord, OperationRecord } from '../store/index.ts';
import { openDatabase, Store } from '../store/index.ts';
import type { ApiContext } from './context.ts';
import { type ApiOptions, type RunningApi, startApi } from './index.ts';

export const TOKEN = 'cinnabar_test_token_that_is_long_enough_to_be_one';
const GIB = 1024 ** 3;

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
  /** As parsed; undefined when it is not JSON. */
  readonly body: ReturnType<typeof JSON.parse>;
}

export interface CallOptions {
  readonly body?: unknown;
  /** Sent as it is, instead of `body`. */
  readonly raw?: string | Buffer;
  readonly headers?: Readonly<Record<string, string>>;
  /** Null: no Authorization header. */
  readonly token?: string | null;
  readonly https?: boolean;
}

export interface Rig {
  readonly api: RunningApi;
  readonly store: Store;
  readonly resources: Resources;
  readonly maintenance: MaintenanceDesk;
  readonly sub: string;
  readonly log: { level: string; message: string; data: Record<string, unknown> }[];
  /** How the stand-in ends what it is woken for. */
  readonly executor: {
    /** Does nothing until it is told to go on. */
    held: boolean;
    /** The next operation of a database fails with this. */
    fail: { code: string; message: string } | null;
    readonly applied: { databaseId: string; disconnect: boolean }[];
    /** What applying users does, after it was noted in `applied`. */
    apply: () => Promise<void>;
    goOn(): void;
  };
  readonly cluster: {
    prepare: (cluster: ClusterRecord) => Promise<void>;
    release: (cluster: ClusterRecord) => Promise<void>;
  };
  room: Room;
  /** The time of day; null: the real one. */
  time: number | null;
  /** What would be seen of the engines, and what a start would run. */
  running: {
    shards: (databaseId: string) => ShardStatus[];
    engine: string;
    startable: readonly string[];
  };
  readonly stops: { save: boolean }[];
  reloads: number;
  call(method: string, path: string, options?: CallOptions): Promise<Answer>;
  /** Polls Azure-AsyncOperation to its end; answers the last status document. */
  done(answer: Answer): Promise<Answer['body']>;
  close(): Promise<void>;
  /** As a crash: what runs is not awaited, what is stored stays. */
  abandon(): Promise<void>;
}

export interface RigOptions {
  readonly https?: ApiOptions['https'];
  readonly ca?: Buffer;
  readonly firstPort?: number;
  /** A store that outlives the rig, in this folder; absent: in memory. */
  readonly home?: string;
  readonly subscriptionId?: string;
  readonly miniature?: { memoryFactor: number; maxShards: number | null } | null;
}

export async function startRig(options: RigOptions = {}): Promise<Rig> {
  const home = options.home ?? '/nowhere';
  const sealer = {
    seal: (_owner: string, text: string) => text,
    open: (_owner: string, text: string) => text,
  };
  const store = new Store(
    openDatabase(options.home === undefined ? ':memory:' : join(home, 'store.db')),
    sealer,
    Date.now,
  );
  const sub = options.subscriptionId ?? randomUUID();
  const rig: Pick<Rig, 'log' | 'stops' | 'reloads' | 'cluster' | 'room' | 'time' | 'running'> = {
    log: [],
    stops: [],
    reloads: 0,
    cluster: { prepare: async () => {}, release: async () => {} },
    room: roomOf(512 * GIB),
    time: null,
    running: { shards: () => [], engine: 'valkey 9.1.2', startable: [] },
  };
  const executor: Rig['executor'] = {
    held: false,
    fail: null,
    applied: [],
    apply: async () => {},
    goOn() {
      executor.held = false;
      for (const operation of store.openOperations()) endOperation(store, operation, rig, executor);
    },
  };
  const deps: ResourceDeps = {
    subscriptionId: sub,
    catalogue: catalogueOn({ cores: 2, miniature: options.miniature ?? null }, () => rig.room),
    ports: kernelPorts,
    firstPort: options.firstPort ?? 10_000,
    domain: null,
    now: () => rig.time ?? Date.now(),
    newId: randomUUID,
    wake: () => {
      if (!executor.held) setImmediate(() => executor.held || executor.goOn());
    },
    applyUsers: async (databaseId, { disconnect }) => {
      executor.applied.push({ databaseId, disconnect });
      await executor.apply();
    },
    prepareCluster: (cluster) => rig.cluster.prepare(cluster),
    releaseCluster: (cluster) => rig.cluster.release(cluster),
    status: () => statusDocument(home),
    shards: (databaseId) => rig.running.shards(databaseId),
    engine: () => rig.running.engine,
    canStart: (label) => rig.running.startable.includes(label),
    problems: () => [],
    log: (level, message, data) => rig.log.push({ level, message, data }),
  };
  const resources = new Resources(store, deps);
  const maintenance = new MaintenanceDesk(store, deps);
  const api = await startApi(
    {
      service: resources,
      skus: resources,
      maintenance,
      certificates: NO_CERTIFICATES,
      observe: NOTHING_TO_SEE,
      token: TOKEN,
      now: Date.now,
      stop: (asked) => rig.stops.push(asked),
      stopWithinMs: () => 300_000,
      reloadEndpoint: async () => void rig.reloads++,
      lookAt: async () => undefined,
      log: (level, message, data) => rig.log.push({ level, message, data }),
    },
    { http: { hosts: ['127.0.0.1'], port: 0 }, https: options.https ?? null },
  );
  resources.start();
  if (resources.group('default') === null) {
    resources.putGroup(
      { name: 'default', location: 'local', tags: {} },
      { name: 'test', apiVersion: '', correlationId: '' },
    );
  }
  const agent = new Agent({ ca: options.ca ?? [], keepAlive: true });
  const call: Rig['call'] = (method, path, asked = {}) => send(api, agent, method, path, asked);
  return Object.assign(rig, {
    api,
    store,
    resources,
    maintenance,
    sub,
    executor,
    call,
    done: (answer: Answer) => poll(call, answer),
    abandon: async () => {
      agent.destroy();
      void resources.stop();
      await api.stop();
      store.close();
    },
    close: async () => {
      agent.destroy();
      await api.stop();
      await resources.stop();
      store.close();
    },
  });
}

/** Real certificates belong to the whole service: its own tests have them. */
export const NO_CERTIFICATES: ApiContext['certificates'] = {
  show: async () => {
    throw new ControlError('NoServedCertificate', 404, 'There is no certificate here.');
  },
  use: async () => {
    throw new ControlError('NoServedCertificate', 409, 'There is no certificate here.');
  },
};

/** What runs is looked at in the tests of the whole service. */
const nothing = async (): Promise<never> => {
  throw new ControlError('NothingRuns', 409, 'Nothing runs here.');
};
export const NOTHING_TO_SEE: ApiContext['observe'] = {
  stats: nothing,
  large: nothing,
  clients: nothing,
  kill: async () => false,
  slowlog: nothing,
  metrics: async () => '# nothing\n',
};

export function roomOf(bytes: number): Room {
  const figures = { totalBytes: bytes, availableBytes: bytes, ownBytes: 0 };
  return {
    memory: figures,
    disk: { ...figures, totalBytes: 4 * bytes, availableBytes: 4 * bytes },
  };
}

/** The stand-in: what the executor commits when processes are as wanted. */
function endOperation(
  store: Store,
  operation: OperationRecord,
  { running, time }: Pick<Rig, 'running' | 'time'>,
  executor: Rig['executor'],
): void {
  if (operation.status !== 'InProgress' || operation.databaseId === null) return;
  const database = store.databaseById(operation.databaseId);
  if (database === null) return;
  const endedAt = Date.now();
  const { fail } = executor;
  store.write(() => {
    if (fail !== null) {
      executor.fail = null;
      const created = operation.kind === 'CreateDatabase';
      store.putDatabase({
        ...database,
        provisioningState: 'Failed',
        resourceState: created ? 'CreateFailed' : 'UpdateFailed',
        reason: fail,
      });
      store.putOperation({ ...operation, status: 'Failed', error: fail, endedAt });
    } else if (operation.kind === 'DeleteDatabase') {
      store.removeDatabase(database.id);
      store.putOperation({ ...operation, status: 'Succeeded', endedAt });
    } else if (['CreateDatabase', 'UpdateDatabase', 'Flush', 'Maintain'].includes(operation.kind)) {
      const engines = running
        .shards(database.id)
        .flatMap((shard) => shard.instances.map(({ instance }) => instance.engine));
      store.putDatabase({
        ...database,
        provisioningState: 'Succeeded',
        resourceState: 'Running',
        observedGeneration: database.generation,
        maintenance: null,
        upgrade: afterMaintenance(database.upgrade, engines, time ?? endedAt),
        reason: { code: 'running', message: '' },
      });
      const step = { name: 'engines', state: 'done', startedAt: endedAt, endedAt, detail: '' };
      store.putOperation({
        ...operation,
        status: 'Succeeded',
        endedAt,
        steps: [step as OperationRecord['steps'][number]],
      });
    }
    store.addEvent({
      reason: 'operation-ended',
      severity: 'info',
      message: operation.kind,
      clusterId: operation.clusterId,
      databaseId: operation.databaseId,
      shard: null,
      instance: null,
      data: {},
    });
  });
}

async function poll(call: Rig['call'], answer: Answer): Promise<Answer['body']> {
  const url = answer.headers['azure-asyncoperation'];
  if (url === undefined) throw new Error(`no Azure-AsyncOperation in ${answer.text}`);
  const { pathname, search } = new URL(url);
  const deadline = Date.now() + 10_000;
  for (;;) {
    const status = await call('GET', `${pathname}${search}`);
    if (status.status !== 200) throw new Error(`${status.status} ${status.text}`);
    if (['Succeeded', 'Failed', 'Canceled'].includes(status.body.status)) return status.body;
    if (Date.now() > deadline) throw new Error(`still ${status.text}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function send(
  api: RunningApi,
  agent: Agent,
  method: string,
  path: string,
  options: CallOptions,
): Promise<Answer> {
  const base = options.https === true ? api.https : api.http;
  if (base === null) throw new Error('that listener is off');
  const { hostname, port } = new URL(base);
  const bytes =
    options.raw ?? (options.body === undefined ? undefined : JSON.stringify(options.body));
  const headers: Record<string, string> = { host: `${hostname}:${port}` };
  if (options.token !== null) headers['authorization'] = `Bearer ${options.token ?? TOKEN}`;
  if (options.body !== undefined) headers['content-type'] = 'application/json';
  if (bytes !== undefined || method === 'POST') {
    headers['content-length'] = String(Buffer.byteLength(bytes ?? ''));
  }
  Object.assign(headers, options.headers);
  return new Promise((resolve, reject) => {
    const common = { hostname, port, method, path, headers, timeout: 20_000 };
    const request =
      options.https === true
        ? httpsRequest({ ...common, agent })
        : httpRequest({ ...common, agent: false });
    request.on('timeout', () => request.destroy(new Error(`${method} ${path}: no answer`)));
    request.on('error', reject);
    request.on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        const json = (response.headers['content-type'] ?? '').startsWith('application/json');
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers as Record<string, string>,
          text,
          body: json && text !== '' ? JSON.parse(text) : undefined,
        });
      });
    });
    request.end(bytes);
  });
}

function statusDocument(home: string): ReturnType<Resources['status']> {
  return {
    version: '0.0.0',
    build: 'test',
    pid: process.pid,
    startedAt: Date.now(),
    node: process.version,
    engine: { name: 'valkey', version: '9.1.2', origin: 'test' },
    home,
    api: { http: null, https: null },
    caFile: join(home, 'ca.pem'),
    endpoint: { pid: null, workers: [] },
    domain: 'localhost',
    listen: [],
    warnings: [],
    capacity: { totalBytes: 0, reservedBytes: 0, freeBytes: 0 },
  };
}
