/** Fleets for tests: a run folder, databases over real engines, clients that see raw bytes. */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import type {
  DatabaseView,
  Event,
  InstanceView,
  ShardView,
  UserView,
} from '../../endpoint/control-protocol.ts';
import type { ClusterMember, EngineLaunch } from '../../engine/contract.ts';
import { refOf } from '../../engine/index.ts';
import { freePorts, Guard, type RunningEngine, TEST_PASSWORDS } from '../../engine/testing.ts';
import { LocalFleet } from './fleet.ts';

export interface FleetRoom {
  readonly folder: string;
  readonly guard: Guard;
  readonly events: Event[];
  readonly said: string[];
  votesGiven: number;
  /** Another control process over the same folder. */
  fleet(workers: number): LocalFleet;
}

/** Everything is ended with the test: supervisors and workers share a process group. */
export function fleetRoom(t: Pick<TestContext, 'after'>): FleetRoom {
  const folder = mkdtempSync(join(tmpdir(), 'cf-'));
  const guard = new Guard(folder);
  const fleets: LocalFleet[] = [];
  const room: FleetRoom = {
    folder,
    guard,
    events: [],
    said: [],
    votesGiven: 0,
    fleet(workers) {
      const fleet = new LocalFleet({
        folder: join(folder, 'run'),
        workers,
        build: 'test',
        logFile: join(folder, 'endpoint.log'),
        say: (reason, detail) => room.said.push(`${reason}: ${detail}`),
        onVoteGiven: () => {
          room.votesGiven += 1;
        },
      });
      fleet.onEvent((event) => room.events.push(event));
      fleets.push(fleet);
      return fleet;
    },
  };
  t.after(async () => {
    for (const fleet of fleets) await fleet.stop(100);
    await guard.release();
    rmSync(folder, { recursive: true, force: true });
  });
  return room;
}

/** The supervisor is killed with the test process, whatever happens to it. */
export function guardSupervisor(room: FleetRoom, fleet: LocalFleet): number {
  const pid = fleet.status().supervisor;
  const process = pid === null ? null : refOf(pid);
  if (pid === null || process === null) throw new Error('no supervisor runs');
  room.guard.watch(process);
  return pid;
}

export async function startedFleet(room: FleetRoom, workers: number): Promise<LocalFleet> {
  const fleet = room.fleet(workers);
  await fleet.start();
  guardSupervisor(room, fleet);
  return fleet;
}

export function instanceOf(engine: RunningEngine): InstanceView {
  return { node: engine.launch.instance, socket: engine.launch.socket, announce: null };
}

const DEFAULT_USER: UserView = {
  name: 'default',
  secretHashes: [createHash('sha256').update(TEST_PASSWORDS.default).digest('hex')],
  twin: { name: 'default', password: TEST_PASSWORDS.default },
};

export function shardOf(primary: InstanceView | null, parts: Partial<ShardView> = {}): ShardView {
  return {
    id: 'db/0',
    slots: [[0, 16383]],
    state: primary === null ? 'down' : 'serving',
    reason: 'running',
    primary,
    replicas: [],
    ...parts,
  };
}

/** Of a standalone engine, with its `default` user and no others. */
export async function viewOf(
  shard: ShardView,
  parts: Partial<DatabaseView> = {},
): Promise<DatabaseView & { readonly port: number }> {
  const [port = 0] = parts.listen === undefined ? await freePorts(1) : [parts.listen[0]?.port];
  return {
    id: 'db',
    policy: 'NoCluster',
    listen: [{ host: '127.0.0.1', port, tls: parts.certificate != null }],
    certificate: null,
    users: [DEFAULT_USER],
    limits: { maxConnections: 1000, idleTimeoutMs: 600_000, outputBufferBytes: 1024 * 1024 },
    guard: [],
    azureStrict: false,
    readFrom: 'primary',
    shards: [shard],
    port,
    ...parts,
  };
}

/** The slots of a cluster of two. */
export const HALVES: readonly ClusterMember['slots'][] = [[[0, 8191]], [[8192, 16383]]];

/** Primaries with a half of the slots each. */
export function membersOf(launches: readonly EngineLaunch[]): ClusterMember[] {
  return launches.map(({ instance: id, host, port, busPort }, i) => ({
    id,
    host,
    port,
    busPort,
    primaryId: null,
    epoch: i + 1,
    slots: HALVES[i] ?? [],
  }));
}

/** A client that sends text and collects bytes. */
export class RawClient {
  readonly socket: Socket;
  text = '';
  ended = false;
  closed = false;
  error: NodeJS.ErrnoException | null = null;
  readonly #ready: Promise<void>;

  constructor(port: number, tls: ConnectionOptions | null = null) {
    this.socket =
      tls === null
        ? connect({ host: '127.0.0.1', port, allowHalfOpen: true })
        : connectTls({ host: '127.0.0.1', port, servername: 'localhost', ...tls });
    this.#ready = new Promise((resolve) => {
      this.socket.once(tls === null ? 'connect' : 'secureConnect', () => resolve());
      this.socket.once('close', () => resolve());
    });
    this.socket.setNoDelay(true);
    this.socket.setEncoding('latin1');
    this.socket.on('data', (chunk: string) => {
      this.text += chunk;
    });
    this.socket.on('end', () => {
      this.ended = true;
      this.socket.end();
    });
    this.socket.on('error', (error: NodeJS.ErrnoException) => {
      this.error = error;
    });
    this.socket.on('close', () => {
      this.closed = true;
    });
  }

  async ready(): Promise<this> {
    await this.#ready;
    return this;
  }

  send(...words: readonly string[]): this {
    this.socket.write(
      `*${words.length}\r\n${words.map((w) => `$${Buffer.byteLength(w)}\r\n${w}\r\n`).join('')}`,
    );
    return this;
  }

  /** Resolves with what has come when it satisfies the test, or fails at the deadline. */
  async until(
    what: string,
    test: (client: RawClient) => boolean,
    deadlineMs = 5000,
  ): Promise<string> {
    const deadline = performance.now() + deadlineMs;
    while (!test(this)) {
      if (performance.now() > deadline) {
        throw new Error(
          `not within ${deadlineMs} ms: ${what}; got ${this.text.length} characters, at the end ${JSON.stringify(this.text.slice(-300))}`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    return this.text;
  }

  /** Sends and takes what comes until a whole simple reply is there. */
  async ask(...words: readonly string[]): Promise<string> {
    this.text = '';
    this.send(...words);
    return this.until(words.join(' '), (client) => client.text.endsWith('\r\n') || client.closed);
  }

  close(): void {
    this.socket.destroy();
  }
}

/** Connects again and again, asks one thing, and closes; counts what goes wrong by its name. */
export function connectLoad(port: number, parallel: number) {
  const failures = new Map<string, number>();
  let served = 0;
  let running = true;
  const one = (): Promise<void> =>
    new Promise((resolve) => {
      let text = '';
      const socket = connect({ host: '127.0.0.1', port });
      socket.write('*1\r\n$4\r\nPING\r\n');
      socket.on('data', (chunk) => {
        text += chunk;
        socket.end();
      });
      socket.on('error', (error: NodeJS.ErrnoException) => {
        failures.set(error.code ?? 'error', (failures.get(error.code ?? 'error') ?? 0) + 1);
      });
      socket.on('close', () => {
        if (text.startsWith('-NOAUTH')) served += 1;
        else failures.set(`answer '${text}'`, (failures.get(`answer '${text}'`) ?? 0) + 1);
        resolve();
      });
    });
  const loops = Array.from({ length: parallel }, async () => {
    while (running) await one();
  });
  return {
    async stop() {
      running = false;
      await Promise.all(loops);
      return { served, failures: Object.fromEntries(failures) };
    },
    get served() {
      return served;
    },
  };
}
