/**
 * Real engines for tests. A room has its own folder, ports and certificates; whatever happens to
 * the test, its engines are ended and its folder is removed.
 *
 *   const room = await engineRoom(t);
 *   const launch = await room.launch({ role: { kind: 'alone' } });
 *   const engine = await room.start(launch);
 *   await engine.link.command(['SET', 'a', '1'], 1000);
 */
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AclUser, EngineLaunch, EngineLink, EngineTls, ProcessRef } from './contract.ts';
import { reasonOf } from './errors.ts';
import { LocalNode } from './local-node.ts';
import {
  type ProvisionedEngine,
  type ProvisionOptions,
  provisionEngine,
} from './provision/index.ts';
import { testCertificates } from './testing/certificates.ts';
import { Guard } from './testing/guard.ts';
import { engineLogTail } from './testing/log-tail.ts';
import { freePorts } from './testing/ports.ts';

export { testCertificates } from './testing/certificates.ts';
export { Guard } from './testing/guard.ts';
export { freePorts } from './testing/ports.ts';

/** Passwords of the users that every engine of a room has. */
export const TEST_PASSWORDS = {
  admin: 'admin-password',
  replication: 'replication-password',
  endpoint: 'endpoint-password',
  default: 'default-password',
} as const;

const START_DEADLINE_MS = 10_000;
const POLL_MS = 5;

const provisioned = new Map<string, Promise<ProvisionedEngine>>();

/** The engine all tests use, from the shared cache; other products or suites by option. */
export function testEngine(options: ProvisionOptions = {}): Promise<ProvisionedEngine> {
  const key = JSON.stringify([options.product, options.suite, options.explicit]);
  const known = provisioned.get(key);
  if (known !== undefined) return known;
  const made = provisionEngine(options);
  provisioned.set(key, made);
  return made;
}

export function testUser(name: string, password: string, rules: readonly string[]): AclUser {
  const hash = createHash('sha256').update(password).digest('hex');
  return { name, enabled: true, passwordHashes: [hash], rules };
}

/** admin, replication and endpoint with all rights, and a client user `default` without @admin. */
export function testUsers(): AclUser[] {
  const all = ['~*', '&*', '+@all'];
  return [
    testUser('admin', TEST_PASSWORDS.admin, all),
    testUser('replication', TEST_PASSWORDS.replication, all),
    testUser('endpoint', TEST_PASSWORDS.endpoint, all),
    testUser('default', TEST_PASSWORDS.default, ['~*', '&*', '+@all', '-@admin']),
  ];
}

export interface RunningEngine {
  readonly launch: EngineLaunch;
  readonly process: ProcessRef;
  /** Logged in as admin. */
  readonly link: EngineLink;
}

export interface RoomOptions {
  readonly engine?: ProvisionedEngine;
}

export class EngineRoom {
  readonly folder: string;
  readonly node: LocalNode;
  readonly tls: EngineTls;
  readonly #guard: Guard;
  readonly #links: EngineLink[] = [];
  #count = 0;

  constructor(folder: string, node: LocalNode, tls: EngineTls, guard: Guard) {
    this.folder = folder;
    this.node = node;
    this.tls = tls;
    this.#guard = guard;
  }

  /** A complete launch with free ports; every part can be replaced. */
  async launch(parts: Partial<EngineLaunch> = {}): Promise<EngineLaunch> {
    const number = ++this.#count;
    const [port = 0, busPort = 0] = await freePorts(2);
    return {
      instance: randomBytes(20).toString('hex'),
      dataDir: join(this.folder, 'data', `engine-${number}`),
      socket: join(this.folder, 's', `${number}.sock`),
      host: '127.0.0.1',
      port,
      busPort,
      announceHost: 'localhost',
      role: { kind: 'alone' },
      load: 'nothing',
      tls: this.tls,
      users: testUsers(),
      replicationPassword: TEST_PASSWORDS.replication,
      settings: {},
      ...parts,
    };
  }

  /** Starts and waits until it answers. The error of an engine that does not holds the end of its log. */
  async start(launch: EngineLaunch): Promise<RunningEngine> {
    const process = await this.spawn(launch);
    return { launch, process, link: await this.link(launch, process) };
  }

  /** Starts without waiting for an answer. */
  async spawn(launch: EngineLaunch): Promise<ProcessRef> {
    const process = await this.node.start(launch);
    this.#guard.watch(process);
    return process;
  }

  /** Ends a process of the test's own together with the room. */
  watch(process: ProcessRef): void {
    this.#guard.watch(process);
  }

  async link(launch: EngineLaunch, process: ProcessRef): Promise<EngineLink> {
    const login = { user: 'admin', password: TEST_PASSWORDS.admin };
    const deadline = performance.now() + START_DEADLINE_MS;
    for (;;) {
      try {
        const link = await this.node.link(launch.socket, login, START_DEADLINE_MS);
        this.#links.push(link);
        return link;
      } catch (error) {
        const dead = this.node.inspect(process).state === 'gone';
        if (dead || performance.now() > deadline) {
          const log = await engineLogTail(launch.dataDir);
          throw new Error(`the engine does not answer: ${reasonOf(error)}\n${log}`, {
            cause: error,
          });
        }
      }
      await sleep(POLL_MS);
    }
  }

  async close(): Promise<void> {
    for (const link of this.#links) link.close();
    await this.#guard.release();
  }
}

/** A room that is closed when the test (or the suite that `t` stands for) ends, passed or failed. */
export async function engineRoom(
  t: Pick<TestContext, 'after'>,
  options: RoomOptions = {},
): Promise<EngineRoom> {
  const engine = options.engine ?? (await testEngine());
  const folder = mkdtempSync(join(tmpdir(), 'cinnabar-'));
  const guard = new Guard(folder);
  const tls = await testCertificates(join(folder, 'tls'));
  const node = new LocalNode({ id: 'local', dataRoot: join(folder, 'data'), engine });
  const room = new EngineRoom(folder, node, tls, guard);
  t.after(() => room.close());
  return room;
}

/** Polls until `look` answers something else than null or false; fails with `what` at the deadline. */
export async function eventually<T>(
  what: string,
  look: () => Promise<T | null | false> | T | null | false,
  deadlineMs = START_DEADLINE_MS,
): Promise<T> {
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    const seen = await look();
    if (seen !== null && seen !== false) return seen;
    if (performance.now() > deadline) throw new Error(`not within ${deadlineMs} ms: ${what}`);
    await sleep(POLL_MS);
  }
}
