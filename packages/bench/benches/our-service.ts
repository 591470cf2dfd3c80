/**
 * The whole service as a user runs it: the real control process on a data folder of its own, its
 * management API, its engines and its endpoint. For benchmarks and the soak.
 */
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { ApiClient } from '../../cli/api/client.ts';
import { waitFor } from '../../cli/api/operations.ts';
import { codeCache } from '../../cli/code-cache.ts';
import { processesOf } from '../../cli/orphans.ts';
import { Output } from '../../cli/output/output.ts';
import { openSecretBox } from '../../control/auth/secret-box.ts';
import {
  CONTROL_FLAGS,
  type FromControl,
  type MiniatureOption,
  type StartOptions,
  type ToControl,
} from '../../control/boot-protocol.ts';
import { openDatabase } from '../../control/store/open.ts';
import type { InternalSecrets } from '../../control/store/records.ts';
import { Store } from '../../control/store/store.ts';
import type { Policy } from '../../endpoint/control-protocol.ts';
import { engineCacheDir } from '../../engine/index.ts';
import { POLL_MS } from '../limits.ts';
import { Asker, type Target } from '../load/asker.ts';
import { exitOf, type ProcessRef, requireRef, signal, until } from '../processes.ts';
import { memoryFolder } from '../rivals/launch.ts';

const KEEPER_PROGRAM = path.join(import.meta.dirname, 'our-keeper.ts');
const CONTROL_PROGRAM = path.join(import.meta.dirname, '../../control/boot/run.ts');
/**
 * Ports are looked for from here up, in blocks, so that runs beside each other rarely meet; below the
 * range from which the kernel takes ports for outgoing connections, which would hold one now and then.
 */
const PORTS_FROM = 12_000;
const PORT_BLOCK = 400;
const PORT_BLOCKS = 22;
/** The first start may fetch the engine. */
const FIRST_START_MS = 120_000;
const OPERATION_MS = 60_000;
/** Many caches on a small machine: memory is only reserved, the processes are the same. */
const MINIATURE = { memoryDivisor: 64, maxShards: 4 };

export interface MadeCache {
  readonly name: string;
  readonly target: Target;
  readonly policy: Policy;
}

export interface ServiceOptions {
  readonly miniature?: MiniatureOption;
  /** Of the endpoint; default: one. */
  readonly workers?: 'one-a-core';
}

/** Of sockets and the like: in memory, as the one that the system gives to a user or a unit. */
async function runFolder(home: string): Promise<string> {
  const inMemory = await memoryFolder();
  if (inMemory !== null) return mkdtemp(`${inMemory}/cb-r-`);
  const below = path.join(home, 'r');
  await mkdir(below, { mode: 0o700 });
  return below;
}

export class OurService {
  readonly home: string;
  readonly runDir: string;
  readonly firstPort: number;
  readonly logs: string[] = [];
  private readonly options: ServiceOptions;
  private readonly keeper: ChildProcess;
  private readonly keeperGone: Promise<number | string>;
  private child: ChildProcess | null = null;
  private readonly quiet = new Output({ write: () => true }, { write: () => true }, {}, true);

  /** The server program that the next start uses; null: the newest there is. */
  engine: string | null = null;

  private constructor(home: string, options: ServiceOptions, runDir: string) {
    this.home = home;
    this.options = options;
    this.runDir = runDir;
    this.firstPort = PORTS_FROM + randomInt(PORT_BLOCKS) * PORT_BLOCK;
    this.keeper = spawn(process.execPath, [KEEPER_PROGRAM, home, runDir], {
      stdio: ['pipe', 'ignore', 'inherit'],
      detached: true,
    });
    this.keeperGone = exitOf(this.keeper);
    this.keeperGone.catch(() => undefined); // Whoever destroys sees it.
    // It keeps nobody from ending: an end is what it waits for.
    this.keeper.unref();
    this.keeper.stdin?.on('error', () => undefined); // Its own death shows in `destroy`.
  }

  static async make(options: ServiceOptions = {}): Promise<OurService> {
    // Deeper than /tmp the socket paths would be too long.
    const home = await mkdtemp('/tmp/cb-s-');
    const service = new OurService(home, options, await runFolder(home));
    return service;
  }

  get control(): ProcessRef {
    if (this.child?.pid === undefined) throw new Error('the control process does not run');
    return requireRef(this.child.pid);
  }

  get runs(): boolean {
    const { child } = this;
    return child !== null && child.exitCode === null && child.signalCode === null;
  }

  get api(): ApiClient {
    return ApiClient.forHome(this.home);
  }

  /** Milliseconds from the start of the process to its `ready`. */
  async start(
    env: Readonly<Record<string, string>> = {},
    miniature: MiniatureOption = this.options.miniature ?? MINIATURE,
  ): Promise<number> {
    const options: StartOptions = {
      home: this.home,
      runDir: this.runDir,
      engineCache: engineCacheDir(),
      listen: [],
      domain: null,
      apiPort: 0,
      httpsPort: 0,
      ...(this.options.workers === 'one-a-core' ? {} : { workers: 1 }),
      firstPorts: {
        database: this.firstPort,
        shard: this.firstPort + PORT_BLOCK / 4,
        internal: this.firstPort + PORT_BLOCK / 2,
      },
      miniature,
      ...(this.engine === null ? {} : { engine: this.engine }),
    };
    const began = performance.now();
    const child = fork(CONTROL_PROGRAM, {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      execArgv: [...CONTROL_FLAGS],
      detached: true,
      env: { ...process.env, ...codeCache(process.env), ...env },
    });
    this.child = child;
    this.keeper.stdin?.write(`${JSON.stringify(this.control)}\n`);
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (data: Buffer) => {
        this.logs.push(data.toString());
        this.logs.splice(0, this.logs.length - 200);
      });
    }
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(
        () =>
          reject(new Error(`the control process was not ready: ${this.logs.slice(-3).join('')}`)),
        FIRST_START_MS,
      );
      const settle = (act: () => void): void => {
        clearTimeout(timer);
        act();
      };
      child.on('message', (message: FromControl) => {
        if (message.type === 'ready') settle(resolve);
        if (message.type === 'fatal') settle(() => reject(new Error(message.message)));
      });
      child.once('exit', (code) => {
        settle(() =>
          reject(new Error(`control ended with ${code}: ${this.logs.slice(-3).join('')}`)),
        );
      });
      child.send({ type: 'start', options } satisfies ToControl);
    });
    return performance.now() - began;
  }

  /** SIGKILL to the control process alone: engines and endpoint go on. */
  async killControl(): Promise<void> {
    const child = this.child;
    if (child === null) return;
    const gone = exitOf(child);
    signal(this.control, 'SIGKILL');
    await gone;
    this.child = null;
  }

  /** An orderly stop is under way: that the process ends is no death. */
  stopping = false;

  /** As Ctrl-C does; resolves when the process is gone, or rejects when it hangs. */
  async stopInOrder(): Promise<void> {
    const { child } = this;
    if (child === null) return;
    this.stopping = true;
    const gone = exitOf(child);
    try {
      child.send({ type: 'stop', now: false } satisfies ToControl);
      await Promise.race([gone, this.hangs()]);
    } finally {
      this.stopping = false;
    }
    if (this.runs) throw new Error('the stop hangs');
    this.child = null;
  }

  /** Resolves when the process said that it hangs at a failpoint. */
  private async hangs(): Promise<void> {
    const said = (): boolean => this.logs.some((line) => line.includes('=hang'));
    while (this.runs && !said()) await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }

  /** A cache that answers, and how long that took from the first request. */
  async create(
    name: string,
    options: {
      readonly sku?: string;
      readonly highAvailability?: boolean;
      readonly policy?: Policy;
      readonly plaintext?: boolean;
    } = {},
  ): Promise<{ cache: MadeCache; ms: number }> {
    const policy = options.policy ?? 'EnterpriseCluster';
    const api = this.api;
    const began = performance.now();
    const cluster = await api.putCluster(name, {
      location: 'local',
      sku: { name: options.sku ?? 'Balanced_B1' },
      properties: {
        highAvailability: options.highAvailability === false ? 'Disabled' : 'Enabled',
        minimumTlsVersion: '1.2',
        publicNetworkAccess: 'Enabled',
      },
    });
    await this.wait(cluster.operation);
    const database = await api.putDatabase(name, {
      properties: {
        clientProtocol: options.plaintext === true ? 'Plaintext' : 'Encrypted',
        clusteringPolicy: policy,
        accessKeysAuthentication: 'Enabled',
      },
    });
    const { primaryKey } = await api.keys(name);
    const target: Target = {
      host: '127.0.0.1',
      port: database.resource.properties.port,
      username: 'default',
      password: primaryKey,
      ...(options.plaintext === true ? {} : { tls: { ca: api.control.caFile } }),
    };
    let refusal = '';
    const takesSet = async (): Promise<boolean> => {
      refusal = await trySet(target);
      return refusal === '';
    };
    await until(`${name} takes a SET`, takesSet, OPERATION_MS).catch((error: Error) => {
      throw new Error(`${error.message}; last answer: ${refusal}`);
    });
    const ms = performance.now() - began;
    await this.wait(database.operation);
    return { cache: { name, target, policy }, ms };
  }

  /** Passwords of our own processes, from the store beside the control process's handle on it. */
  async internalSecrets(databaseId: string): Promise<InternalSecrets> {
    const box = await openSecretBox(this.home, { mayCreate: false });
    const store = new Store(
      openDatabase(path.join(this.home, 'store.db')),
      {
        seal: (owner, text) => box.seal(text, owner),
        open: (owner, text) => box.open(text, owner),
      },
      Date.now,
    );
    try {
      const found = store.secret<InternalSecrets>(databaseId);
      if (found === null) throw new Error(`no secrets of ${databaseId}`);
      return found;
    } finally {
      store.close();
    }
  }

  async remove(name: string): Promise<void> {
    const { operation } = await this.api.deleteCluster(name);
    await this.wait(operation);
  }

  async wait(operation: string | null, timeoutMs = OPERATION_MS): Promise<void> {
    await waitFor(this.api, this.quiet, operation, { wait: true, timeoutMs });
  }

  /** Every process of this data folder but the control process itself. */
  processes(): readonly { readonly pid: number; readonly command: string }[] {
    return processesOf(this).filter(({ pid }) => pid !== this.child?.pid);
  }

  engines(): readonly { readonly pid: number; readonly command: string }[] {
    return this.processes().filter(
      ({ command }) => !/packages\/(endpoint|control)\//.test(command),
    );
  }

  /** Ports in our block that somebody listens on. */
  async listening(): Promise<number[]> {
    const ports = new Set<number>();
    for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
      const text = await readFile(table, 'latin1').catch(() => '');
      for (const line of text.split('\n').slice(1)) {
        const fields = line.trim().split(/\s+/);
        if (fields[3] !== '0A') continue;
        const port = Number.parseInt(fields[1]?.split(':').at(-1) ?? '', 16);
        if (port >= this.firstPort && port < this.firstPort + PORT_BLOCK) ports.add(port);
      }
    }
    return [...ports].sort((a, b) => a - b);
  }

  async files(): Promise<string[]> {
    return (await readdir(this.home, { recursive: true })).sort();
  }

  /** Ends everything and removes the folder, in whatever state it is. */
  async destroy(): Promise<void> {
    if (this.runs) await this.killControl();
    this.keeper.ref();
    this.keeper.stdin?.end();
    const code = await this.keeperGone;
    if (code !== 0) throw new Error(`the service below ${this.home} could not be ended (${code})`);
  }
}

/** Empty when it was acknowledged; else what stood against it: not listening, not logged in, held. */
export async function trySet(target: Target, key = 'bench:ready', value = '1'): Promise<string> {
  try {
    const asker = await Asker.open(target);
    try {
      return (await asker.ask('SET', key, value)) === 'OK' ? '' : 'no OK';
    } finally {
      asker.close();
    }
  } catch (error) {
    return String(error);
  }
}
