/**
 * The control process's own connection to one engine: typed verbs over `connection.ts`.
 *
 * It speaks RESP2, because INFO, CLUSTER NODES and CONFIG GET are the same in every version there.
 * It says who it is, is exempt from client eviction, and does not touch the age of keys. When the
 * engine is busy with a script or loading just then, that is made up for at the next ping.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { encodeCommands, type Reply, RespError } from '../resp/index.ts';
import { userTokens } from './acl.ts';
import {
  CAPABILITY_COMMANDS,
  type EngineCapabilities,
  fromReplies,
  fromStored,
} from './capabilities.ts';
import { EngineConnection, refusal, textOf, unexpected } from './connection.ts';
import type {
  AclUser,
  EngineFacts,
  EngineLink,
  EngineLogin,
  SlotMoveFacts,
  SlotRange,
  StreamFacts,
} from './contract.ts';
import { EngineError } from './errors.ts';
import { factsFrom, parseClients, parseInfo, streamFrom } from './facts.ts';
import { KILL_BATCH, MAX_BEAT_MS, SAVE_RETRY_MS } from './limits.ts';
import { eachSlot, moveCommands, parseSlotMoves } from './slot-moves.ts';

/** Users that only our own processes log in as; `disconnect` never ends their connections. */
export const INTERNAL_USERS: ReadonlySet<string> = new Set([
  'admin',
  'replication',
  'endpoint',
  'service',
]);

/** In CLIENT LIST and in the logs of an engine. */
export const CONTROL_NAME = 'cinnabar-control';

const INTRODUCTION = [
  ['CLIENT', 'SETNAME', CONTROL_NAME],
  ['CLIENT', 'NO-EVICT', 'ON'],
  ['CLIENT', 'NO-TOUCH', 'ON'],
] as const;

const PING = encodeCommands([['PING']]);

const FACT_SECTIONS = ['server', 'replication', 'persistence', 'memory', 'keyspace', 'cluster'];

export async function openLink(
  socket: string,
  login: EngineLogin,
  deadlineMs: number,
): Promise<EngineLink> {
  const deadline = performance.now() + deadlineMs;
  const connection = await EngineConnection.open(socket, deadlineMs);
  try {
    const left = Math.max(1, deadline - performance.now());
    const [auth, ...introduction] = await connection.send(
      [['AUTH', login.user, login.password], ...INTRODUCTION],
      left,
    );
    if (auth instanceof RespError) throw refusal(`AUTH as ${login.user}`, auth);
    return new SocketLink(connection, !introduction.some(postponed));
  } catch (error) {
    connection.close('the login failed');
    throw error;
  }
}

/** What an answer to PING says of the engine; null: it is no answer to PING. */
function lifeOf(reply: Reply): 'pong' | 'busy' | 'loading' | null {
  if (!(reply instanceof RespError)) return 'pong';
  if (reply.code === 'BUSY') return 'busy';
  if (reply.code === 'LOADING') return 'loading';
  // A fenced engine answers everything so: it is alive, and that is what a ping asks.
  return reply.code === 'MASTERDOWN' ? 'pong' : null;
}

function postponed(reply: Reply): boolean {
  return reply instanceof RespError && (reply.code === 'BUSY' || reply.code === 'LOADING');
}

class SocketLink implements EngineLink {
  readonly #connection: EngineConnection;
  #introduced: boolean;
  #clusterMode: boolean | null = null;
  /** An engine at rest says the same again and again: then it is not taken apart again. */
  #lastStream: { readonly raw: Buffer; readonly facts: StreamFacts } | null = null;
  /** A process does not change its version under an open connection. */
  #capabilities: EngineCapabilities | null = null;

  constructor(connection: EngineConnection, introduced: boolean) {
    this.#connection = connection;
    this.#introduced = introduced;
  }

  get closed(): boolean {
    return this.#connection.closed;
  }

  onClose(listener: (reason: string) => void): void {
    this.#connection.onClose(listener);
  }

  close(): void {
    this.#connection.close('closed by us');
  }

  async ping(deadlineMs: number): Promise<'pong' | 'busy' | 'loading'> {
    const commands = this.#introduced ? [['PING']] : [['PING'], ...INTRODUCTION];
    const [reply, ...introduction] = await this.#connection.send(commands, deadlineMs);
    if (!this.#introduced) this.#introduced = !introduction.some(postponed);
    const life = lifeOf(reply ?? null);
    if (life === null && reply instanceof RespError) throw refusal('PING', reply);
    return life ?? 'pong';
  }

  beat(answered: (answer: 'pong' | 'busy' | 'loading') => void): void {
    if (!this.#introduced) {
      // Once after a connection that was opened while the engine was busy; its silence is the asker's.
      void this.ping(MAX_BEAT_MS).then(answered, () => undefined);
      return;
    }
    this.#connection.sendBare('PING', PING, (reply) => {
      const life = lifeOf(reply);
      // Whatever else it says to PING, it is no answer.
      if (life !== null) answered(life);
    });
  }

  async facts(deadlineMs: number): Promise<EngineFacts> {
    const [info, clusterInfo, clusterNodes] = await this.#connection.send(
      [
        ['INFO', ...FACT_SECTIONS],
        ['CLUSTER', 'INFO'],
        ['CLUSTER', 'NODES'],
      ],
      deadlineMs,
    );
    const text = textOf('INFO', info);
    this.#clusterMode ??= parseInfo(text).get('cluster_enabled') === '1';
    // While it loads, an engine answers INFO but not CLUSTER.
    const cluster =
      this.#clusterMode && !postponed(clusterInfo ?? null) && !postponed(clusterNodes ?? null)
        ? {
            info: textOf('CLUSTER INFO', clusterInfo),
            nodes: textOf('CLUSTER NODES', clusterNodes),
          }
        : null;
    return factsFrom(text, cluster);
  }

  async stream(deadlineMs: number): Promise<StreamFacts> {
    const [info] = await this.#connection.send([['INFO', 'replication']], deadlineMs);
    const last = this.#lastStream;
    if (last !== null && Buffer.isBuffer(info) && info.equals(last.raw)) return last.facts;
    const facts = streamFrom(textOf('INFO', info));
    this.#lastStream = Buffer.isBuffer(info) ? { raw: info, facts } : null;
    return facts;
  }

  async drained(deadlineMs: number): Promise<StreamFacts & { readonly loading: boolean }> {
    const [life, info] = await this.#connection.send(
      [['PING'], ['INFO', 'replication']],
      deadlineMs,
    );
    const loading = lifeOf(life ?? null) === 'loading';
    return { ...streamFrom(textOf('INFO', info)), loading };
  }

  async takeover(deadlineMs: number, without: readonly SlotRange[] = []): Promise<void> {
    // Its own view only, and a replica may: the next claim of the owner puts it right.
    const ranges = without.flat().map(String);
    if (ranges.length > 0) {
      await this.#run('CLUSTER DELSLOTSRANGE', ['CLUSTER', 'DELSLOTSRANGE', ...ranges], deadlineMs);
    }
    await this.#run('CLUSTER FAILOVER', ['CLUSTER', 'FAILOVER', 'TAKEOVER'], deadlineMs);
  }

  async follow(
    primary: { id: string; host: string; port: number },
    deadlineMs: number,
  ): Promise<void> {
    if (await this.#inCluster(deadlineMs)) {
      await this.#run('CLUSTER REPLICATE', ['CLUSTER', 'REPLICATE', primary.id], deadlineMs);
    } else {
      await this.#run('REPLICAOF', ['REPLICAOF', primary.host, String(primary.port)], deadlineMs);
    }
  }

  async becomePrimary(deadlineMs: number): Promise<void> {
    await this.#run('REPLICAOF', ['REPLICAOF', 'NO', 'ONE'], deadlineMs);
  }

  async meet(host: string, port: number, busPort: number, deadlineMs: number): Promise<void> {
    const address = [host, String(port), String(busPort)];
    await this.#run('CLUSTER MEET', ['CLUSTER', 'MEET', ...address], deadlineMs);
  }

  async forget(id: string, deadlineMs: number): Promise<void> {
    const [reply] = await this.#connection.send([['CLUSTER', 'FORGET', id]], deadlineMs);
    if (!(reply instanceof RespError) || /unknown node/i.test(reply.message)) return;
    throw refusal('CLUSTER FORGET', reply);
  }

  async moveSlots(ranges: readonly SlotRange[], target: string, deadlineMs: number): Promise<void> {
    await this.#runAll('CLUSTER MIGRATESLOTS', moveCommands(ranges, target), deadlineMs);
  }

  async slotMoves(deadlineMs: number): Promise<readonly SlotMoveFacts[] | null> {
    const [reply] = await this.#connection.send([['CLUSTER', 'GETSLOTMIGRATIONS']], deadlineMs);
    if (reply instanceof RespError && !/unknown subcommand/i.test(reply.message)) {
      throw refusal('CLUSTER GETSLOTMIGRATIONS', reply);
    }
    return parseSlotMoves(reply);
  }

  async cancelSlotMoves(deadlineMs: number): Promise<void> {
    const [reply] = await this.#connection.send([['CLUSTER', 'CANCELSLOTMIGRATIONS']], deadlineMs);
    // None to cancel is what was wanted.
    if (!(reply instanceof RespError) || /no migrations/i.test(reply.message)) return;
    throw refusal('CLUSTER CANCELSLOTMIGRATIONS', reply);
  }

  async claimSlots(ranges: readonly SlotRange[], deadlineMs: number): Promise<void> {
    const myself = String(await this.#run('CLUSTER MYID', ['CLUSTER', 'MYID'], deadlineMs));
    const commands = eachSlot(ranges, (slot) => ['CLUSTER', 'SETSLOT', slot, 'NODE', myself]);
    await this.#runAll('CLUSTER SETSLOT', commands, deadlineMs);
  }

  async flushSlots(ranges: readonly SlotRange[], deadlineMs: number): Promise<void> {
    const commands = eachSlot(ranges, (slot) => ['CLUSTER', 'FLUSHSLOT', slot]);
    await this.#runAll('CLUSTER FLUSHSLOT', commands, deadlineMs);
  }

  async dumpFunctions(deadlineMs: number): Promise<Buffer> {
    const reply = await this.#run('FUNCTION DUMP', ['FUNCTION', 'DUMP'], deadlineMs);
    if (!Buffer.isBuffer(reply)) throw unexpected('FUNCTION DUMP');
    return reply;
  }

  async restoreFunctions(dump: Buffer, deadlineMs: number): Promise<void> {
    await this.#run('FUNCTION RESTORE', ['FUNCTION', 'RESTORE', dump, 'FLUSH'], deadlineMs);
  }

  async configure(settings: Readonly<Record<string, string>>, deadlineMs: number): Promise<void> {
    const pairs = Object.entries(settings).flat();
    if (pairs.length > 0) await this.#run('CONFIG SET', ['CONFIG', 'SET', ...pairs], deadlineMs);
  }

  async readSettings(
    names: readonly string[],
    deadlineMs: number,
  ): Promise<Record<string, string>> {
    if (names.length === 0) return {};
    const reply = await this.#run('CONFIG GET', ['CONFIG', 'GET', ...names], deadlineMs);
    if (!Array.isArray(reply)) throw unexpected('CONFIG GET');
    const settings: Record<string, string> = {};
    for (let i = 0; i + 1 < reply.length; i += 2) settings[String(reply[i])] = String(reply[i + 1]);
    return settings;
  }

  async commands(deadlineMs: number): Promise<ReadonlySet<string>> {
    return (await this.#known(deadlineMs)).commands;
  }

  async #known(deadlineMs: number): Promise<EngineCapabilities> {
    if (this.#capabilities !== null) return this.#capabilities;
    const replies = await this.#connection.send(CAPABILITY_COMMANDS, deadlineMs);
    this.#capabilities = fromStored(fromReplies(replies));
    return this.#capabilities;
  }

  async setUser(user: AclUser, deadlineMs: number, cutOff = false): Promise<void> {
    const cut = cutOff ? [['CLIENT', 'KILL', 'USER', user.name]] : [];
    const set = (tokens: readonly string[]): Promise<Reply[]> =>
      this.#connection.send([['ACL', 'SETUSER', user.name, ...tokens], ...cut], deadlineMs);
    const [first] = await set(userTokens(user, null));
    if (!(first instanceof RespError)) return;
    if (!/unknown command/i.test(first.message)) throw refusal('ACL SETUSER', first);
    // A rule names a command that this version has not. One such name fails the whole user.
    const [second] = await set(userTokens(user, await this.#known(deadlineMs)));
    if (second instanceof RespError) throw refusal('ACL SETUSER', second);
  }

  async removeUser(name: string, deadlineMs: number): Promise<void> {
    await this.#run('ACL DELUSER', ['ACL', 'DELUSER', name], deadlineMs);
  }

  async pauseWrites(ms: number, deadlineMs: number): Promise<void> {
    await this.#run('CLIENT PAUSE', ['CLIENT', 'PAUSE', String(ms), 'WRITE'], deadlineMs);
  }

  async unpause(deadlineMs: number): Promise<void> {
    await this.#run('CLIENT UNPAUSE', ['CLIENT', 'UNPAUSE'], deadlineMs);
  }

  async unblockWaits(deadlineMs: number): Promise<number> {
    const list = await this.#run('CLIENT LIST', ['CLIENT', 'LIST', 'TYPE', 'normal'], deadlineMs);
    const waiting = parseClients(textOf('CLIENT LIST', list)).filter(
      ({ flags, command }) => flags.includes('b') && (command === 'wait' || command === 'waitaof'),
    );
    if (waiting.length === 0) return 0;
    const replies = await this.#connection.send(
      waiting.map(({ id }) => ['CLIENT', 'UNBLOCK', id, 'ERROR']),
      deadlineMs,
    );
    return replies.reduce<number>((sum, reply) => sum + (reply === 1 ? 1 : 0), 0);
  }

  async flush(deadlineMs: number): Promise<void> {
    await this.#run('FLUSHALL', ['FLUSHALL', 'ASYNC'], deadlineMs);
  }

  async disconnect(user: string | null, deadlineMs: number): Promise<number> {
    if (user !== null && INTERNAL_USERS.has(user)) {
      throw new EngineError(
        'internal-user',
        `connections of ${user} are our own; they are not ended`,
      );
    }
    if (user !== null) {
      const [ended] = await this.#connection.send([['CLIENT', 'KILL', 'USER', user]], deadlineMs);
      if (!(ended instanceof RespError)) return Number(ended);
      // A user that does not exist has no connections.
      if (/no such user/i.test(ended.message)) return 0;
      throw refusal('CLIENT KILL', ended);
    }
    const lists = await this.#connection.send(
      [
        ['CLIENT', 'LIST', 'TYPE', 'normal'],
        ['CLIENT', 'LIST', 'TYPE', 'pubsub'],
      ],
      deadlineMs,
    );
    const victims = lists
      .flatMap((list) => parseClients(textOf('CLIENT LIST', list)))
      .filter((client) => !INTERNAL_USERS.has(client.user));
    let ended = 0;
    for (let i = 0; i < victims.length; i += KILL_BATCH) {
      const batch = victims.slice(i, i + KILL_BATCH);
      const replies = await this.#connection.send(
        batch.map((client) => ['CLIENT', 'KILL', 'ID', client.id]),
        deadlineMs,
      );
      for (const reply of replies) {
        if (reply instanceof RespError) throw refusal('CLIENT KILL', reply);
        ended += Number(reply);
      }
    }
    return ended;
  }

  async save(deadlineMs: number): Promise<void> {
    const deadline = performance.now() + deadlineMs;
    for (;;) {
      const left = Math.max(1, deadline - performance.now());
      const [reply] = await this.#connection.send([['SAVE']], left);
      if (!(reply instanceof RespError)) return;
      // A background save or a replica's sync holds the one place for a child; it ends by itself.
      if (!/in progress/i.test(reply.message) || performance.now() + SAVE_RETRY_MS > deadline) {
        throw refusal('SAVE', reply);
      }
      await sleep(SAVE_RETRY_MS);
    }
  }

  async command(args: readonly (string | Buffer)[], deadlineMs: number): Promise<unknown> {
    const [reply] = await this.#connection.send([args], deadlineMs);
    return reply;
  }

  async #inCluster(deadlineMs: number): Promise<boolean> {
    if (this.#clusterMode === null) {
      const info = textOf('INFO', await this.#run('INFO', ['INFO', 'cluster'], deadlineMs));
      this.#clusterMode = parseInfo(info).get('cluster_enabled') === '1';
    }
    return this.#clusterMode;
  }

  async #run(what: string, args: readonly (string | Buffer)[], deadlineMs: number): Promise<Reply> {
    const [reply] = await this.#connection.send([args], deadlineMs);
    if (reply instanceof RespError) throw refusal(what, reply);
    return reply ?? null;
  }

  async #runAll(what: string, commands: string[][], deadlineMs: number): Promise<void> {
    const replies = await this.#connection.send(commands, deadlineMs);
    const refused = replies.find((reply) => reply instanceof RespError);
    if (refused instanceof RespError) throw refusal(what, refused);
  }
}
