/** Real engines for the tests of this folder and of `auth`: started, asked, ended. */
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type AclUser,
  type EngineLaunch,
  type EngineLink,
  type EngineTls,
  LocalNode,
  type ProvisionedEngine,
  type StartRole,
} from '../../engine/index.ts';

/** Enough for a loaded machine of two cores; a condition that is not met by then never will be. */
export const DEADLINE_MS = 15_000;
const POLL_MS = 20;
const KILL_MS = 5_000;

export interface Address {
  readonly id: string;
  readonly port: number;
  readonly busPort: number;
}

export interface RunningEngine extends Address {
  readonly link: EngineLink;
  readonly launch: EngineLaunch;
}

/** Free now; each is bound before the next is asked for, so they differ. */
export async function newAddress(): Promise<Address> {
  const servers = [createServer(), createServer()];
  const ports: number[] = [];
  for (const server of servers) {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(0, '127.0.0.1', resolve);
    });
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    ports.push(address.port);
  }
  for (const server of servers) await new Promise((resolve) => server.close(resolve));
  const [port = 0, busPort = 0] = ports;
  return { id: randomBytes(20).toString('hex'), port, busPort };
}

/** A folder of the test, removed after it. */
export async function testFolder(context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'cnb-'));
  context.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

export interface EngineSetup {
  readonly folder: string;
  readonly engine: ProvisionedEngine;
  readonly address: Address;
  readonly role: StartRole;
  readonly tls: EngineTls;
  readonly users: readonly AclUser[];
  readonly passwords: { readonly admin: string; readonly replication: string };
  readonly announceHost?: string;
}

/** Starts an engine and logs in as `admin`; killed after the test. */
export async function startEngine(
  context: TestContext,
  setup: EngineSetup,
): Promise<RunningEngine> {
  const { folder, engine, address, role, tls, users, passwords } = setup;
  const node = new LocalNode({ id: 'test', dataRoot: folder, engine });
  const dataDir = join(folder, address.id.slice(0, 8));
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const launch: EngineLaunch = {
    instance: address.id,
    dataDir,
    socket: join(folder, `${address.id.slice(0, 8)}.s`),
    host: '127.0.0.1',
    port: address.port,
    busPort: address.busPort,
    announceHost: setup.announceHost ?? 'localhost',
    role,
    load: 'nothing',
    tls,
    users,
    replicationPassword: passwords.replication,
    settings: { maxmemory: '64mb' },
  };
  const process = await node.start(launch);
  context.after(() => node.kill(process, KILL_MS));
  const login = { user: 'admin', password: passwords.admin };
  const link = await until('the engine answers', () =>
    node.link(launch.socket, login, KILL_MS).catch(() => null),
  );
  context.after(() => link.close());
  return { ...address, link, launch };
}

/** Polls until there is an answer other than null or false; fails at the deadline, by name. */
export async function until<T>(
  what: string,
  ask: () => Promise<T | null | false> | T | null | false,
  deadlineMs: number = DEADLINE_MS,
): Promise<T> {
  const end = performance.now() + deadlineMs;
  for (;;) {
    const answer = await ask();
    if (answer !== null && answer !== false) return answer;
    if (performance.now() > end) throw new Error(`not within ${deadlineMs} ms: ${what}`);
    await sleep(POLL_MS);
  }
}
