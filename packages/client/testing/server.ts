/**
 * Real servers for this package's tests and measurements: a plain one, and a small cluster. The
 * engine's path comes from CINNABAR_TEST_ENGINE, else from packages/engine, which fetches one. They end with
 * the process that started them, also when that is killed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { provisionEngine, refOf } from '../../engine/index.ts';
import { Guard } from '../../engine/testing.ts';

const START_MS = 10_000;

export interface TestServer {
  readonly port: number;
  readonly url: string;
  readonly pid: number;
  kill(signal?: NodeJS.Signals): void;
  stop(): Promise<void>;
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

async function engineCommand(): Promise<readonly string[]> {
  const own = process.env['CINNABAR_TEST_ENGINE'];
  if (own !== undefined) return [own];
  const { server } = await provisionEngine();
  return [server.file, ...server.argsBefore];
}

interface Home {
  readonly folder: string;
  readonly guard: Guard;
}

let home: Home | undefined;

/** Of this process's servers; it goes with the process. */
function homeOfServers(): Home {
  if (home === undefined) {
    const folder = mkdtempSync(join(tmpdir(), 'cinnabar-client-'));
    home = { folder, guard: new Guard(folder) };
  }
  return home;
}

export async function startServer(
  settings: readonly string[] = [],
  port?: number,
): Promise<TestServer> {
  const [file = '', ...first] = await engineCommand();
  const at = port ?? (await freePort());
  const { folder, guard } = homeOfServers();
  const dir = await mkdtemp(join(folder, 'server-'));
  const args = [
    '--port',
    String(at),
    '--bind',
    '127.0.0.1',
    '--dir',
    dir,
    '--save',
    '',
    '--daemonize',
    'no',
  ];
  const child = spawn(file, [...first, ...args, ...settings], {
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own, by which it is ended.
    detached: true,
  });
  const ref = child.pid === undefined ? null : refOf(child.pid);
  if (ref !== null) guard.watch(ref);
  let log = '';
  child.stdout.on('data', (chunk) => {
    log = (log + chunk).slice(-2000);
  });
  const deadline = Date.now() + START_MS;
  while (!(await answers(at))) {
    if (child.exitCode !== null) throw new Error(`engine ended: ${log}`);
    if (Date.now() > deadline) throw new Error(`engine does not answer on port ${at}: ${log}`);
    await sleep(20);
  }
  return {
    port: at,
    url: `redis://127.0.0.1:${at}`,
    pid: child.pid ?? 0,
    kill: (signal = 'SIGKILL') => void child.kill(signal),
    stop: async () => {
      await ended(child);
      await rm(dir, { recursive: true, force: true });
    },
  };
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await gone;
}

/** One command on a connection of its own. */
export async function ask(port: number, ...args: string[]): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  try {
    return await exchange(socket, args);
  } finally {
    socket.destroy();
  }
}

function exchange(socket: Socket, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('closed')));
    socket.once('data', (data) => resolve(data.toString('latin1')));
    const bulk = args.map((a) => `$${Buffer.byteLength(a)}\r\n${a}\r\n`);
    socket.write(`*${args.length}\r\n${bulk.join('')}`);
  });
}

async function answers(port: number): Promise<boolean> {
  try {
    return /PONG|NOAUTH/.test(await ask(port, 'PING'));
  } catch {
    return false;
  }
}

export interface TestCluster {
  readonly ports: readonly number[];
  readonly nodes: readonly TestServer[];
  stop(): Promise<void>;
}

/** So many primaries, no replicas, all slots covered. */
export async function startCluster(primaries = 3): Promise<TestCluster> {
  const nodes: TestServer[] = [];
  const buses: number[] = [];
  const settings = ['--cluster-enabled', 'yes', '--cluster-require-full-coverage', 'no'];
  for (let i = 0; i < primaries; i += 1) {
    // By itself the bus is 10,000 ports further, where anybody may be.
    const bus = await freePort();
    buses.push(bus);
    nodes.push(await startServer([...settings, '--cluster-port', String(bus)]));
  }
  const ports = nodes.map((node) => node.port);
  const share = Math.ceil(16_384 / primaries);
  for (const [i, port] of ports.entries()) {
    await ask(
      port,
      'CLUSTER',
      'ADDSLOTSRANGE',
      String(i * share),
      String(Math.min(16_383, (i + 1) * share - 1)),
    );
    for (const [j, other] of ports.entries())
      await ask(port, 'CLUSTER', 'MEET', '127.0.0.1', String(other), String(buses[j]));
  }
  const deadline = Date.now() + START_MS;
  for (const port of ports) {
    for (;;) {
      const info = await ask(port, 'CLUSTER', 'INFO');
      const shards = (await ask(port, 'CLUSTER', 'NODES')).match(/ connected \d/g)?.length ?? 0;
      if (info.includes('cluster_state:ok') && shards === primaries) break;
      if (Date.now() > deadline) throw new Error(`cluster does not form: ${info}`);
      await sleep(50);
    }
  }
  return {
    ports,
    nodes,
    stop: async () => {
      await Promise.all(nodes.map((node) => node.stop()));
    },
  };
}
