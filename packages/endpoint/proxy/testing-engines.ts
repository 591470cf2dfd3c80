/** Real shards for tests of the proxy: engines in a room, as a snapshot names them. */
import { createHash } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { connect as connectTls } from 'node:tls';
import type { ClusterMember, EngineLaunch } from '../../engine/contract.ts';
import {
  type EngineRoom,
  engineRoom,
  eventually,
  type RunningEngine,
  TEST_PASSWORDS,
} from '../../engine/testing.ts';
import { encodeCommand } from '../../resp/index.ts';
import type { InstanceView, ShardView } from '../control-protocol.ts';

const MS = 3000;

export interface TestShard {
  view: ShardView;
  readonly primary: RunningEngine;
  readonly replica: RunningEngine | null;
}

export interface TestShards {
  readonly room: EngineRoom;
  readonly shards: readonly TestShard[];
  readonly views: readonly ShardView[];
}

/** `count` shards of a cluster with equal slots, each with a replica if asked for. */
export async function startShards(
  t: Pick<TestContext, 'after'>,
  count: number,
  replicas = false,
): Promise<TestShards> {
  const room = await engineRoom(t);
  const pairs: { primary: EngineLaunch; replica: EngineLaunch | null }[] = [];
  for (let i = 0; i < count; i++) {
    pairs.push({ primary: await room.launch(), replica: replicas ? await room.launch() : null });
  }
  const slotsOf = (i: number): [number, number] => [
    Math.floor((16384 * i) / count),
    Math.floor((16384 * (i + 1)) / count) - 1,
  ];
  const members: ClusterMember[] = [];
  for (const [i, { primary, replica }] of pairs.entries()) {
    const of = (launch: EngineLaunch, primaryId: string | null): ClusterMember => ({
      id: launch.instance,
      host: launch.host,
      port: launch.port,
      busPort: launch.busPort,
      primaryId,
      epoch: i + 1,
      slots: primaryId === null ? [slotsOf(i)] : [],
    });
    members.push(of(primary, null));
    if (replica !== null) members.push(of(replica, primary.instance));
  }
  const start = (launch: EngineLaunch): Promise<RunningEngine> =>
    room.start({
      ...launch,
      role: { kind: 'cluster', members, myself: launch.instance },
      settings: { ...launch.settings, 'cluster-require-full-coverage': 'no' },
    });
  const shards = await Promise.all(
    pairs.map(async ({ primary, replica }, i): Promise<TestShard> => {
      const [first, second] = await Promise.all([
        start(primary),
        replica === null ? null : start(replica),
      ]);
      return {
        primary: first,
        replica: second,
        view: {
          id: `test/${i}`,
          slots: [slotsOf(i)],
          state: 'serving',
          reason: 'running',
          primary: instance(first),
          replicas: second === null ? [] : [instance(second)],
        },
      };
    }),
  );
  for (const shard of shards) {
    await eventually('the shard serves', async () => {
      const info = String(await shard.primary.link.command(['CLUSTER', 'INFO'], MS));
      return info.includes('cluster_state:ok');
    });
    const { replica } = shard;
    if (replica === null) continue;
    await eventually('the replica is in sync', async () => {
      const facts = await replica.link.facts(MS);
      return facts.role === 'replica' && facts.link === 'up' && !facts.syncing;
    });
  }
  return { room, shards, views: shards.map((shard) => shard.view) };
}

export function instance(engine: RunningEngine): InstanceView {
  return { node: engine.launch.instance, socket: engine.launch.socket, announce: null };
}

/**
 * Slots `first` to `last`, as the engines do it; resolves when the new owner says so. A move fails when
 * something else happens to either engine meanwhile; then it is asked for again.
 */
export async function moveSlots(
  from: RunningEngine,
  to: RunningEngine,
  first: number,
  last: number,
): Promise<void> {
  const range = ['SLOTSRANGE', String(first), String(last), 'NODE', to.launch.instance];
  let askedAt = Number.NEGATIVE_INFINITY;
  await eventually(
    'the slots have moved',
    async () => {
      const nodes = String(await to.link.command(['CLUSTER', 'NODES'], MS));
      const mine = nodes.split('\n').find((line) => line.includes('myself')) ?? '';
      const moved = mine.split(' ').some((word) => {
        const [low, high = low] = word.split('-').map(Number);
        return low !== undefined && high !== undefined && low <= first && high >= last;
      });
      if (!moved && performance.now() - askedAt > MOVE_AGAIN_MS) {
        askedAt = performance.now();
        // Refused while an earlier one is still under way.
        await from.link.command(['CLUSTER', 'MIGRATESLOTS', ...range], MS).catch(() => undefined);
      }
      return moved;
    },
    MOVE_MS,
  );
}

const MOVE_MS = 60_000;
const MOVE_AGAIN_MS = 2000;

/**
 * Every engine names the same owners. Takeovers and slot moves take a new epoch without asking; two in
 * a row before word of the first is out may take the same one, and then one is undone.
 */
export async function agreed(engines: readonly RunningEngine[]): Promise<void> {
  await eventually('all engines agree', async () => {
    const seen = await Promise.all(
      engines.map(async (engine) => {
        const ranges = await engine.link.command(['CLUSTER', 'SLOTS'], MS);
        if (!Array.isArray(ranges)) return '';
        const owners = ranges.map((range) => {
          const [first, last, owner] = Array.isArray(range) ? range : [];
          return `${first}-${last} ${Array.isArray(owner) ? owner[2] : ''}`;
        });
        return owners.sort().join();
      }),
    );
    return new Set(seen).size === 1;
  });
}

export async function inSync(replica: RunningEngine): Promise<void> {
  await eventually('in sync', async () => {
    const facts = await replica.link.facts(MS);
    return facts.role === 'replica' && facts.link === 'up' && !facts.syncing;
  });
}

/** A planned change of primary as the engine sees it; the endpoint is told nothing. */
export async function switchPrimary(from: RunningEngine, to: RunningEngine): Promise<void> {
  await inSync(to);
  await from.link.pauseWrites(5000, MS);
  const { offset } = await from.link.facts(MS);
  await eventually('equal offsets', async () => (await to.link.facts(MS)).offset >= offset);
  await to.link.takeover(MS);
  await eventually('demoted', async () => (await from.link.facts(MS)).role === 'replica');
  await from.link.unpause(MS);
}

/** A standalone engine: what a client would see without us. */
export async function startBare(t: Pick<TestContext, 'after'>): Promise<RunningEngine> {
  const room = await engineRoom(t);
  return room.start(await room.launch());
}

export const KEY = TEST_PASSWORDS.default;
export const KEY_HASH = createHash('sha256').update(KEY).digest('hex');

/** A client that sends bytes and collects bytes. */
export class RawClient {
  readonly socket: Socket;
  received = Buffer.alloc(0);
  closed = false;
  #marks = 0;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.received = Buffer.concat([this.received, chunk]);
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.closed = true;
    });
  }

  /** To a port, or a unix socket; logged in. */
  static async open(at: number | string, protocol: 2 | 3 = 2, key = KEY): Promise<RawClient> {
    const client = await RawClient.connect(at);
    client.send(['AUTH', key]);
    if (protocol === 3) client.send(['HELLO', '3']);
    await client.settled();
    return client;
  }

  /** Not logged in. */
  static async connect(at: number | string): Promise<RawClient> {
    const socket = typeof at === 'number' ? connect(at, '127.0.0.1') : connect(at);
    const client = new RawClient(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    socket.setNoDelay(true);
    return client;
  }

  send(...commands: readonly (readonly (string | Buffer | number)[])[]): void {
    for (const command of commands) this.socket.write(encodeCommand(command));
  }

  /** Waits until everything sent so far is answered; answers those replies and forgets them. */
  async settled(deadlineMs = 15_000): Promise<Buffer> {
    const mark = `--mark-${++this.#marks}--`;
    this.send(['ECHO', mark]);
    const tail = Buffer.from(`$${mark.length}\r\n${mark}\r\n`);
    await eventually(
      `an answer; got ${this.received.toString('latin1').slice(-200)}`,
      () => this.closed || this.received.includes(tail),
      deadlineMs,
    );
    const at = this.received.indexOf(tail);
    if (at < 0) throw new Error(`closed; got ${this.received.toString('latin1').slice(-400)}`);
    const replies = this.received.subarray(0, at);
    this.received = Buffer.from(this.received.subarray(at + tail.length));
    return replies;
  }

  /** One command and its reply as text. */
  async ask(...command: readonly (string | Buffer | number)[]): Promise<string> {
    this.send(command);
    return (await this.settled()).toString('latin1');
  }

  close(): void {
    this.socket.destroy();
  }
}

/** A client that says itself when it reads. */
export class Reader {
  readonly socket: Socket;
  readonly chunks: Buffer[] = [];
  bytes = 0;
  ended = false;

  constructor(port: number, tls: boolean) {
    this.socket = tls
      ? connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false })
      : connect(port, '127.0.0.1');
    this.socket.on('data', (chunk: Buffer) => {
      this.chunks.push(chunk);
      this.bytes += chunk.length;
    });
    this.socket.on('error', () => undefined);
    this.socket.on('end', () => {
      this.ended = true;
    });
  }

  async login(): Promise<void> {
    this.socket.write(encodeCommand(['AUTH', KEY]));
    await eventually('logged in', () => this.bytes === 5);
    this.take();
  }

  take(): Buffer {
    const all = Buffer.concat(this.chunks);
    this.chunks.length = 0;
    this.bytes = 0;
    return all;
  }
}
