/**
 * The whole service for a test, from the outside: a control process as `cinnabar up` starts it, in a
 * folder and on ports of its own, spoken to over its HTTP API. What its engines really run is read
 * from them, as their admin user; the password comes from the store, as an owner of the machine could
 * read it. However the test ends, so does everything that was started here.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type EngineLink, openLink, refOf } from '../../engine/index.ts';
import { Guard } from '../../engine/testing.ts';
import { openSecretBox } from '../auth/secret-box.ts';
import type { FromControl, StartOptions } from '../boot-protocol.ts';
import type { ShardStatus, SystemStatus } from '../service.ts';
import { type InternalSecrets, type OperationRecord, openDatabase, Store } from '../store/index.ts';
import {
  END_DEADLINE_MS,
  ENGINE_DEADLINE_MS,
  OPERATION_DEADLINE_MS,
  POLL_MS,
  PORT_BLOCK,
  PORTS_FROM,
  PORTS_TO,
  READY_DEADLINE_MS,
} from './limits.ts';
import { killAllUnder } from './processes.ts';

const MAIN = fileURLToPath(new URL('../boot/run.ts', import.meta.url));
export const API_VERSION = '2025-07-01';

export interface Answer {
  readonly status: number;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: documents of ARM, whose fields each test asserts.
  readonly body: any;
  readonly headers: Headers;
}

export interface CacheSpec {
  readonly sku?: string;
  readonly ha?: boolean;
  /** Properties of the database beside the defaults here: EnterpriseCluster, keys on, TLS. */
  readonly database?: Readonly<Record<string, unknown>>;
}

export interface Fatal {
  readonly code: string;
  readonly message: string;
  readonly remedy: string;
}

export class Service {
  readonly scratch: string;
  readonly home: string;
  readonly options: StartOptions;
  readonly #guard: Guard;
  /** What the starts said of their steps. */
  readonly steps: string[] = [];
  #child: ChildProcess | null = null;
  #status: SystemStatus | null = null;

  constructor(options: Partial<StartOptions> = {}) {
    // Socket paths have at most 107 bytes.
    this.scratch = mkdtempSync(path.join(tmpdir().length <= 40 ? tmpdir() : '/tmp', 'e-'));
    this.home = path.join(this.scratch, 'home');
    this.#guard = new Guard(this.scratch);
    mkdirSync(path.join(this.home, 'logs'), { recursive: true, mode: 0o700 });
    const blocks = Math.floor((PORTS_TO - PORTS_FROM) / PORT_BLOCK);
    const first = PORTS_FROM + randomInt(blocks) * PORT_BLOCK;
    const cache = process.env['XDG_CACHE_HOME'] || path.join(homedir(), '.cache');
    this.options = {
      home: this.home,
      runDir: path.join(this.scratch, 'r'),
      engineCache: path.join(cache, 'cinnabar/engines'),
      listen: [],
      domain: null,
      apiPort: 0,
      httpsPort: 0,
      workers: 1,
      firstPorts: {
        database: first,
        shard: first + PORT_BLOCK / 4,
        internal: first + PORT_BLOCK / 2,
      },
      ...options,
    };
  }

  /** A running one, which ends with the test. */
  static async start(
    t: Pick<TestContext, 'after'>,
    options: Partial<StartOptions> = {},
  ): Promise<Service> {
    const service = new Service(options);
    t.after(() => service.close());
    await service.up();
    return service;
  }

  /** Starts the control process; resolves when it is ready. */
  async up(): Promise<SystemStatus> {
    const answer = await this.boot();
    if ('code' in answer) throw new Error(`${answer.code}: ${answer.message}\n${this.logTail()}`);
    return answer;
  }

  /** As `up`, and a refusal is an answer. */
  async boot(env: Readonly<Record<string, string>> = {}): Promise<SystemStatus | Fatal> {
    const log = openSync(path.join(this.home, 'logs', 'control.log'), 'a', 0o600);
    const child = fork(MAIN, [], {
      execArgv: ['--disable-warning=ExperimentalWarning'],
      stdio: ['ignore', log, log, 'ipc'],
      detached: true,
      env: { ...process.env, ...env },
    });
    closeSync(log);
    this.#child = child;
    const ref = refOf(child.pid ?? 0);
    if (ref !== null) this.#guard.watch(ref);
    child.send({ type: 'start', options: this.options });
    const { promise, resolve, reject } = Promise.withResolvers<SystemStatus | Fatal>();
    const timer = setTimeout(
      () => reject(new Error(`not ready:\n${this.logTail()}`)),
      READY_DEADLINE_MS,
    );
    child.on('message', (message: FromControl) => {
      if (message.type === 'step') {
        this.steps.push(`${message.id} ${message.state} ${message.detail ?? ''}`);
      }
      if (message.type === 'ready') resolve(message.status);
      if (message.type === 'fatal') resolve(message);
    });
    child.once('exit', (code, signal) => reject(new Error(`control ended: ${code ?? signal}`)));
    const answer = await promise.finally(() => clearTimeout(timer));
    if ('code' in answer) {
      await gone(child);
      this.#child = null;
      return answer;
    }
    this.#status = answer;
    this.#watch(answer.endpoint);
    return answer;
  }

  get status(): SystemStatus {
    assert.ok(this.#status !== null, 'it was never ready');
    return this.#status;
  }

  get pid(): number {
    assert.ok(this.#child?.pid !== undefined, 'no control process');
    return this.#child.pid;
  }

  get ca(): string {
    return readFileSync(this.status.caFile, 'utf8');
  }

  get token(): string {
    return readFileSync(path.join(this.home, 'api-token'), 'utf8').trim();
  }

  /** SIGKILL to the control process alone; resolves when it is gone. */
  async killControl(): Promise<void> {
    const child = this.#child;
    assert.ok(child !== null, 'no control process');
    this.#child = null;
    child.kill('SIGKILL');
    await gone(child);
  }

  /** An orderly stop, as Ctrl-C does it. */
  async down(): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    this.#child = null;
    child.send({ type: 'stop', now: false });
    await gone(child);
  }

  async close(): Promise<void> {
    try {
      this.#child?.kill('SIGKILL');
      await killAllUnder(this.scratch);
    } finally {
      await this.#guard.release();
    }
  }

  logTail(length = 30_000): string {
    return readFileSync(path.join(this.home, 'logs', 'control.log'), 'utf8').slice(-length);
  }

  // --- the API -----------------------------------------------------------------------------------

  async call(
    method: string,
    target: string,
    body?: unknown,
    more: { readonly query?: string; readonly headers?: Record<string, string> } = {},
  ): Promise<Answer> {
    const url = target.startsWith('http')
      ? target
      : `${this.status.api.http}${target}?${more.query ?? `api-version=${API_VERSION}`}`;
    const response = await fetch(url, {
      method,
      headers: {
        authorization: `Bearer ${this.token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...more.headers,
      },
      ...(body === undefined
        ? {}
        : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    let parsed: unknown = null;
    try {
      parsed = JSON.parse(text);
    } catch {
      // An empty body, or one that the test looks at as text.
    }
    return { status: response.status, text, body: parsed, headers: response.headers };
  }

  cluster(name: string): string {
    const subscription = (
      JSON.parse(readFileSync(path.join(this.home, 'control.json'), 'utf8')) as {
        subscriptionId: string;
      }
    ).subscriptionId;
    return `/subscriptions/${subscription}/resourceGroups/default/providers/Microsoft.Cache/redisEnterprise/${name}`;
  }

  database(name: string): string {
    return `${this.cluster(name)}/databases/default`;
  }

  putCluster(name: string, spec: CacheSpec = {}): Promise<Answer> {
    return this.call('PUT', this.cluster(name), {
      location: 'local',
      sku: { name: spec.sku ?? 'Balanced_B0' },
      properties: {
        highAvailability: spec.ha === false ? 'Disabled' : 'Enabled',
        publicNetworkAccess: 'Enabled',
      },
    });
  }

  putDatabase(name: string, spec: CacheSpec = {}): Promise<Answer> {
    return this.call('PUT', this.database(name), {
      properties: {
        clusteringPolicy: 'EnterpriseCluster',
        accessKeysAuthentication: 'Enabled',
        ...spec.database,
      },
    });
  }

  /** Makes a cache and waits until its operations succeeded. */
  async create(name: string, spec: CacheSpec = {}): Promise<void> {
    for (const answer of [await this.putCluster(name, spec), await this.putDatabase(name, spec)]) {
      assert.equal(answer.status, 201, answer.text);
    }
    const ended = await this.settled(name);
    assert.deepEqual(
      ended.map((each) => `${each.kind} ${each.status}`).sort(),
      ['CreateCluster Succeeded', 'CreateDatabase Succeeded'],
      JSON.stringify(ended.map((each) => each.error)),
    );
    await this.shards(name);
  }

  /** The operations of a cache, newest first, when none is under way any more. */
  async settled(name: string): Promise<OperationRecord[]> {
    return eventually(`operations of ${name} ended`, OPERATION_DEADLINE_MS, async () => {
      const { body } = await this.call('GET', '/cinnabar/operations', undefined, {
        query: `cluster=${name}`,
      });
      const all = (body.value ?? []) as OperationRecord[];
      return all.every((each) => each.endedAt !== null) ? all : null;
    });
  }

  async shards(name: string): Promise<ShardStatus[]> {
    const { body, text } = await this.call('GET', `${this.database(name)}/shards`);
    assert.ok(Array.isArray(body?.value), text);
    const all = body.value as ShardStatus[];
    for (const { instance } of all.flatMap((each) => each.instances)) {
      if (instance.process !== null) this.#guard.watch(instance.process);
    }
    return all;
  }

  /** Who serves at the endpoint now. */
  async endpoint(): Promise<SystemStatus['endpoint']> {
    const { body } = await this.call('GET', '/cinnabar/status');
    const endpoint = body.endpoint as SystemStatus['endpoint'];
    this.#watch(endpoint);
    return endpoint;
  }

  #watch({ pid, workers }: SystemStatus['endpoint']): void {
    for (const each of [pid, ...workers.map((worker) => worker.pid)]) {
      const process = each === null ? null : refOf(each);
      if (process !== null) this.#guard.watch(process);
    }
  }

  /** Every shard serves and every instance is a complete copy. */
  async healthy(name: string): Promise<ShardStatus[]> {
    return eventually(`${name} healthy`, OPERATION_DEADLINE_MS, async () => {
      const all = await this.shards(name);
      const well = all.every(
        ({ shard, instances }) =>
          shard.phase === 'serving' &&
          instances.every((i) => ['serving', 'in-sync'].includes(i.condition)),
      );
      return well && all.length > 0 ? all : null;
    });
  }

  async keys(name: string): Promise<{ primaryKey: string; secondaryKey: string }> {
    const { status, body, text } = await this.call('POST', `${this.database(name)}/listKeys`);
    assert.equal(status, 200, text);
    return body;
  }

  async port(name: string): Promise<number> {
    return (await this.call('GET', this.database(name))).body.properties.port;
  }

  /** As the admin user of an engine; the caller closes it. */
  async engine(socket: string, databaseId: string): Promise<EngineLink> {
    const { admin } = await this.internalSecrets(databaseId);
    return openLink(socket, { user: 'admin', password: admin }, ENGINE_DEADLINE_MS);
  }

  async internalSecrets(databaseId: string): Promise<InternalSecrets> {
    const found = await this.store((store) => store.secret<InternalSecrets>(databaseId));
    assert.ok(found !== null, `no secrets of ${databaseId}`);
    return found;
  }

  /** The store beside the control process's own handle on it. */
  async store<T>(use: (store: Store) => T): Promise<T> {
    const box = await openSecretBox(this.home, { mayCreate: false });
    const sealer = {
      seal: (owner: string, text: string) => box.seal(text, owner),
      open: (owner: string, text: string) => box.open(text, owner),
    };
    const store = new Store(openDatabase(path.join(this.home, 'store.db')), sealer, Date.now);
    try {
      return use(store);
    } finally {
      store.close();
    }
  }
}

function gone(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`control did not end in ${END_DEADLINE_MS} ms`));
    }, END_DEADLINE_MS);
    child.once('exit', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/** The first answer that is not null; errors on the way are kept for the message. */
export async function eventually<T>(
  what: string,
  deadlineMs: number,
  look: () => Promise<T | null> | T | null,
): Promise<T> {
  const deadline = Date.now() + deadlineMs;
  let last: unknown = null;
  for (;;) {
    try {
      const found = await look();
      if (found !== null) return found;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) {
      throw new Error(`not in ${deadlineMs} ms: ${what}${last === null ? '' : ` (${last})`}`);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
