/**
 * The management API as the commands use it. Azure's scope (subscription, resource group, location)
 * is filled in here and nowhere else, so that no user of the command line has to know it.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { CONTROL_FILE, type ControlFile, TOKEN_FILE } from '../../control/boot-protocol.ts';
import type {
  ClientsReport,
  LargeReport,
  SlowReport,
  StatsReport,
} from '../../control/observe/contract.ts';
import type { MaintenanceView, ShardStatus, SystemStatus } from '../../control/service.ts';
import { CliError, errorCode, systemError } from '../errors.ts';
import { absent, isFull, isUnderWay, stopped, stoppedInOrder } from './absent.ts';
import type { HttpAnswer, Target } from './http.ts';
import { send } from './http.ts';
import { refusal } from './refusal.ts';
import type {
  Cache,
  CertificateInfo,
  ClusterResource,
  DatabaseResource,
  EventRow,
  FailpointState,
  Keys,
  OperationRow,
  Page,
  SkuRow,
} from './shapes.ts';
import { unlessStopped } from './stopped.ts';

export const API_VERSION = '2025-07-01';
/** Since when the API knows the newest setting that is shown. */
const SHOWN_VERSION = '2026-02-01-preview';
export const GROUP = 'default';
export const LOCATION = 'local';
const PROVIDER = 'providers/Microsoft.Cache/redisEnterprise';

/** An accepted write: the resource as it is now, and the operation to wait for. */
export interface Accepted<T> {
  readonly resource: T;
  readonly operation: string | null;
  readonly created: boolean;
}

export class ApiClient {
  readonly #target: Target;
  readonly #subscription: string;
  readonly control: ControlFile;
  readonly #home: string;

  private constructor(target: Target, control: ControlFile, home: string) {
    this.#home = home;
    this.#target = target;
    this.#subscription = control.subscriptionId;
    this.control = control;
  }

  /** The API of the Cinnabar that runs on this data folder. */
  static forHome(home: string): ApiClient {
    const control = readControlFile(home);
    if (control === null) throw absent(home);
    const url = control.http ?? control.https;
    if (url === null) {
      throw new CliError(
        'failed',
        'api-off',
        'The running Cinnabar listens on no API address.',
        'Stop it and start it again: cinnabar down && cinnabar up',
      );
    }
    const ca = url.startsWith('https:')
      ? readText(control.caFile, 'read the CA certificate')
      : null;
    const token = readText(path.join(home, TOKEN_FILE), 'read the API token').trim();
    return new ApiClient({ url, token, ca }, control, home);
  }

  /** The API where it is now: a control process that was started again may listen elsewhere. */
  again(): ApiClient {
    return ApiClient.forHome(this.#home);
  }

  /** Throws when it was stopped in order, and nobody starts it again. */
  refuseStopped(): void {
    if (stoppedInOrder(this.#home, this.control.pid)) throw stopped(this.#home);
  }

  async #call(method: string, pathAndQuery: string, body?: unknown): Promise<HttpAnswer> {
    const answer = await unlessStopped(this.control.pid, (signal) =>
      send(this.#target, method, pathAndQuery, body, signal),
    ).catch((error: unknown) => {
      const away = error instanceof CliError && error.exit === 'notRunning';
      const known = away && (isUnderWay(this.#home) || isFull(this.#home));
      throw known ? absent(this.#home) : error;
    });
    if (answer.status >= 400) throw refusal(answer, method, pathAndQuery);
    return answer;
  }

  #groupPath(): string {
    return `/subscriptions/${this.#subscription}/resourceGroups/${GROUP}`;
  }

  #clusterPath(name: string): string {
    return `${this.#groupPath()}/${PROVIDER}/${encodeURIComponent(name)}`;
  }

  #databasePath(name: string): string {
    return `${this.#clusterPath(name)}/databases/default`;
  }

  async #arm<T>(method: string, resource: string, body?: unknown): Promise<T> {
    const answer = await this.#call(method, `${resource}?api-version=${API_VERSION}`, body);
    return answer.body as T;
  }

  /** With all settings that the command line knows. */
  async #read<T>(resource: string): Promise<T> {
    return (await this.#call('GET', `${resource}?api-version=${SHOWN_VERSION}`)).body as T;
  }

  async #write<T>(
    method: string,
    resource: string,
    body?: unknown,
    version: string = API_VERSION,
  ): Promise<Accepted<T>> {
    const answer = await this.#call(method, `${resource}?api-version=${version}`, body);
    const link = answer.headers['azure-asyncoperation'] ?? '';
    const operation = /\/operationsStatus\/([^/?]+)/i.exec(link)?.[1] ?? null;
    return { resource: answer.body as T, operation, created: answer.status === 201 };
  }

  /** All pages of a list. */
  async #list<T>(resource: string): Promise<T[]> {
    const all: T[] = [];
    let next = `${resource}${resource.includes('?') ? '&' : '?'}api-version=${API_VERSION}`;
    for (;;) {
      const page = (await this.#call('GET', next)).body as Page<T>;
      all.push(...page.value);
      if (page.nextLink === undefined) return all;
      const url = new URL(page.nextLink);
      next = url.pathname + url.search;
    }
  }

  clusters(): Promise<ClusterResource[]> {
    return this.#list(`/subscriptions/${this.#subscription}/${PROVIDER}`);
  }

  cluster(name: string): Promise<ClusterResource> {
    return this.#read(this.#clusterPath(name));
  }

  async cache(name: string): Promise<Cache> {
    const cluster = await this.cluster(name);
    return { cluster, database: await this.database(name) };
  }

  async caches(): Promise<Cache[]> {
    const clusters = await this.clusters();
    return Promise.all(
      clusters.map(async (cluster) => ({ cluster, database: await this.database(cluster.name) })),
    );
  }

  /** Null when the cluster has none (yet). */
  async database(name: string): Promise<DatabaseResource | null> {
    try {
      return await this.#read<DatabaseResource>(this.#databasePath(name));
    } catch (error) {
      if (error instanceof CliError && error.exit === 'notFound') return null;
      throw error;
    }
  }

  async putCluster(name: string, body: unknown): Promise<Accepted<ClusterResource>> {
    try {
      return await this.#write('PUT', this.#clusterPath(name), body);
    } catch (error) {
      if (!(error instanceof CliError) || error.code !== 'ResourceGroupNotFound') throw error;
      // The first cache of this installation: the hidden resource group comes with it.
      await this.#groupPut();
      return this.#write('PUT', this.#clusterPath(name), body);
    }
  }

  async #groupPut(): Promise<void> {
    await this.#arm('PUT', this.#groupPath(), { location: LOCATION });
  }

  patchCluster(name: string, body: unknown, version = API_VERSION) {
    return this.#write<ClusterResource>('PATCH', this.#clusterPath(name), body, version);
  }

  deleteCluster(name: string): Promise<Accepted<unknown>> {
    return this.#write('DELETE', this.#clusterPath(name));
  }

  deleteDatabase(name: string): Promise<Accepted<unknown>> {
    return this.#write('DELETE', this.#databasePath(name));
  }

  putDatabase(name: string, body: unknown): Promise<Accepted<DatabaseResource>> {
    return this.#write('PUT', this.#databasePath(name), body);
  }

  /** `version`: for fields that the base version does not know. */
  patchDatabase(name: string, body: unknown, version = API_VERSION) {
    return this.#write<DatabaseResource>('PATCH', this.#databasePath(name), body, version);
  }

  flush(name: string): Promise<Accepted<unknown>> {
    return this.#write('POST', `${this.#databasePath(name)}/flush`, {});
  }

  keys(name: string): Promise<Keys> {
    return this.#arm('POST', `${this.#databasePath(name)}/listKeys`);
  }

  regenerateKey(name: string, keyType: string, disconnect: boolean): Promise<Keys> {
    return this.#arm('POST', `${this.#databasePath(name)}/regenerateKey`, {
      keyType,
      ...(disconnect ? { disconnect: true } : {}),
    });
  }

  /** What the endpoint serves for a cache; never its key. */
  certificate(name: string): Promise<CertificateInfo> {
    return this.#arm('GET', `${this.#databasePath(name)}/certificate`);
  }

  setCertificate(name: string, certPem: string, keyPem: string): Promise<CertificateInfo> {
    return this.#arm('PUT', `${this.#databasePath(name)}/certificate`, { certPem, keyPem });
  }

  resetCertificate(name: string): Promise<CertificateInfo> {
    return this.#arm('DELETE', `${this.#databasePath(name)}/certificate`);
  }

  failover(name: string, body: unknown): Promise<Accepted<unknown>> {
    return this.#write('POST', `${this.#databasePath(name)}/failover`, body);
  }

  maintenance(): Promise<MaintenanceView[]> {
    return this.#list('/cinnabar/maintenance');
  }

  skipMaintenance(name: string): Promise<MaintenanceView> {
    return this.#arm('POST', `${this.#databasePath(name)}/maintain`, { skip: true });
  }

  maintain(name: string): Promise<Accepted<unknown>> {
    return this.#write('POST', `${this.#databasePath(name)}/maintain`, {});
  }

  upgrade(
    name: string,
    body: { readonly back: true } | { readonly wayBackHours?: number },
  ): Promise<Accepted<unknown>> {
    return this.#write('POST', `${this.#databasePath(name)}/upgrade`, body);
  }

  finishUpgrade(name: string): Promise<MaintenanceView> {
    return this.#arm('POST', `${this.#databasePath(name)}/upgrade`, { finish: true });
  }

  /** Every SKU but its own, with what the cache would become, or why it cannot. */
  async scalingTargets(name: string): Promise<SkuRow[]> {
    const path = `${this.#clusterPath(name)}/listSkusForScaling`;
    const answer = await this.#arm<{ cinnabar: { targets: SkuRow[] } }>('POST', path);
    return answer.cinnabar.targets;
  }

  // Extensions: what Azure has no route for.

  status(): Promise<SystemStatus> {
    return this.#arm('GET', '/cinnabar/status');
  }

  skus(policy: string, highAvailability: string): Promise<SkuRow[]> {
    return this.#list(`/cinnabar/skus?policy=${policy}&highAvailability=${highAvailability}`);
  }

  operation(id: string): Promise<OperationRow> {
    return this.#arm('GET', `/cinnabar/operations/${encodeURIComponent(id)}`);
  }

  cancelOperation(id: string): Promise<OperationRow> {
    return this.#arm('POST', `/cinnabar/operations/${encodeURIComponent(id)}/cancel`, {});
  }

  operations(limit: number): Promise<OperationRow[]> {
    return this.#list(`/cinnabar/operations?top=${limit}`);
  }

  events(filter: { cluster?: string; since?: number; limit: number }): Promise<EventRow[]> {
    const since = filter.since === undefined ? '' : `&since=${filter.since}`;
    const cluster =
      filter.cluster === undefined ? '' : `&cluster=${encodeURIComponent(filter.cluster)}`;
    return this.#list(`/cinnabar/events?top=${filter.limit}${since}${cluster}`);
  }

  shards(name: string): Promise<ShardStatus[]> {
    return this.#list(`${this.#databasePath(name)}/shards`);
  }

  setFailpoint(body: unknown): Promise<FailpointState> {
    return this.#arm('PUT', '/cinnabar/failpoint', body);
  }

  failpoint(): Promise<FailpointState> {
    return this.#arm('GET', '/cinnabar/failpoint');
  }

  clearFailpoint(): Promise<FailpointState> {
    return this.#arm('DELETE', '/cinnabar/failpoint');
  }

  /** `seconds`: measured from now on; null: everything since counting began. */
  stats(name: string, seconds: number | null): Promise<StatsReport> {
    return this.#extension('GET', name, seconds === null ? 'stats' : `stats?seconds=${seconds}`);
  }

  large(name: string, most: number): Promise<LargeReport> {
    return this.#extension('GET', name, `large?top=${most}`);
  }

  clients(name: string, most: number): Promise<ClientsReport> {
    return this.#extension('GET', name, `clients?top=${most}`);
  }

  async killClient(name: string, id: string): Promise<void> {
    await this.#extension('POST', name, `clients/${encodeURIComponent(id)}/kill`);
  }

  slowlog(name: string, most: number, all: boolean): Promise<SlowReport> {
    return this.#extension('GET', name, `slowlog?top=${most}&all=${all}`);
  }

  async #extension<T>(method: string, name: string, rest: string): Promise<T> {
    return (await this.#call(method, `${this.#databasePath(name)}/${rest}`)).body as T;
  }

  /** Resolves when the successors of all workers serve. */
  reloadEndpoint(): Promise<SystemStatus['endpoint']> {
    return this.#arm('POST', '/cinnabar/endpoint/reload', {});
  }

  /** Resolves when it has begun; answers how long it may take. */
  async stop(save: boolean): Promise<number> {
    const answer = await this.#call('POST', `/cinnabar/stop?api-version=${API_VERSION}`, { save });
    const { withinSeconds } = answer.body as { readonly withinSeconds: number };
    return withinSeconds * 1000;
  }
}

/** Null when there is none: not running, or stopped in order. */
export function readControlFile(home: string): ControlFile | null {
  const file = path.join(home, CONTROL_FILE);
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as ControlFile;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null;
    if (error instanceof SyntaxError) {
      throw new CliError(
        'failed',
        'control-file-broken',
        `${file} is not readable: ${error.message}.`,
        'Remove it and start again: cinnabar up',
      );
    }
    throw systemError(error, 'read', file);
  }
}

function readText(file: string, doing: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw systemError(error, doing, file);
  }
}
