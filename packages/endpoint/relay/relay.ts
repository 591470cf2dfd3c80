/**
 * The relay: each client gets an engine connection of its own, and bytes pass through. It is the
 * seed of `OSSCluster`, where any real cluster node answers CLUSTER SLOTS and MOVED.
 *
 * It follows the primary: when the snapshot names another one, clients of the old one are ended at
 * a reply boundary and come back to the same address. While a shard is held or down, new clients
 * wait within bounds and are then told why. Login is the engine's: the relay sees AUTH go by.
 */
import type { ClientView, DatabaseView } from '../control-protocol.ts';
import type {
  AdmittedClient,
  DataPath,
  DataPathFactory,
  DataPathHost,
  PathCounters,
} from '../data-path.ts';
import { DRAIN_SPREAD_MS, DRAIN_STEPS, SHARD_WAITERS, WAITING_BYTES_ALL } from '../limits.ts';
import { Session, type SessionOwner } from './session.ts';
import { ShardDesk } from './shard-desk.ts';

class Relay implements DataPath {
  readonly #host: DataPathHost;
  readonly #database: string;
  readonly #sessions = new Map<string, Session>();
  readonly #desks = new Map<string, ShardDesk>();
  readonly #owner: SessionOwner;
  #aheadBytes = 0;
  #drained: (() => void) | null = null;

  constructor(host: DataPathHost, database: string) {
    this.#host = host;
    this.#database = database;
    this.#owner = {
      ahead: (bytes) => {
        this.#aheadBytes += bytes;
        return this.#aheadBytes < WAITING_BYTES_ALL;
      },
      connected: (session) => this.#desk(session)?.connected(session),
      connectFailed: (session, detail) => this.#desk(session)?.connectFailed(session, detail),
      engineClosed: (session, detail) => {
        const { goodbye } = session;
        if (goodbye !== null) session.end(goodbye);
        else void this.#desk(session)?.engineClosed(session, detail);
      },
      quiet: (session) => this.#desk(session)?.quiet(session),
      loginFailed: (session, user) => this.#loginFailed(session, user),
      gone: (session) => {
        this.#sessions.delete(session.client.id);
        this.#desk(session)?.remove(session);
        if (this.#sessions.size === 0) this.#drained?.();
      },
    };
  }

  apply(view: DatabaseView): void {
    const present = new Set(view.shards.map((shard) => shard.id));
    for (const [id, desk] of this.#desks) {
      if (present.has(id)) continue;
      this.#desks.delete(id);
      desk.close();
      for (const session of this.#sessions.values()) {
        if (session.shard === id) session.leave('shard-removed');
      }
    }
    for (const shard of view.shards) {
      const desk = this.#desks.get(shard.id);
      if (desk !== undefined) desk.update(shard);
      else this.#desks.set(shard.id, new ShardDesk(this.#host, this.#database, shard));
    }
  }

  accept(client: AdmittedClient): void {
    const shard = this.#chooseShard();
    if (shard === null) {
      client.end('no-shard', '-ERR no-shard: this database has no shard yet; try again later\r\n');
      return;
    }
    const [id, desk] = shard;
    if (desk.waiting >= SHARD_WAITERS) {
      client.end(
        'too-many-waiting',
        `-ERR too-many-waiting: ${SHARD_WAITERS} clients wait for shard ${id} already\r\n`,
      );
      return;
    }
    const session = new Session(client, id, this.#host.now(), this.#owner);
    this.#sessions.set(client.id, session);
    desk.add(session);
  }

  async hold(shard: string, deadlineAt: number): Promise<void> {
    await this.#desks.get(shard)?.hold(deadlineAt);
  }

  release(shard: string): void {
    this.#desks.get(shard)?.release();
  }

  /** Commands are counted by the proxy: the relay does not read them. */
  counters(): PathCounters {
    return { commands: {} };
  }

  clients(): ClientView[] {
    return [...this.#sessions.values()].map((session) => session.view());
  }

  kill(client: string, reason: string): boolean {
    const session = this.#sessions.get(client);
    session?.end(reason);
    return session !== undefined;
  }

  waiting(client: string): boolean {
    return this.#sessions.get(client)?.waitsForReply ?? false;
  }

  log(): readonly unknown[] {
    return [];
  }

  /** Spread over a while, so that thousands of clients do not come back in the same instant. */
  async drain(deadlineAt: number): Promise<void> {
    if (this.#sessions.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#drained = resolve;
    const left = Math.max(0, deadlineAt - this.#host.now());
    const spread = Math.min(DRAIN_SPREAD_MS, left / 2);
    const batch = Math.ceil(this.#sessions.size / DRAIN_STEPS);
    const queue = [...this.#sessions.values()];
    const step = setInterval(() => {
      const waitMs = Math.max(0, deadlineAt - this.#host.now());
      for (const session of queue.splice(0, batch)) session.leave('draining', waitMs);
    }, spread / DRAIN_STEPS);
    const deadline = setTimeout(() => {
      for (const session of this.#sessions.values()) session.end('draining');
    }, left);
    await promise;
    clearInterval(step);
    clearTimeout(deadline);
  }

  close(): void {
    for (const session of [...this.#sessions.values()]) session.end('database-removed');
    for (const desk of this.#desks.values()) desk.close();
    this.#desks.clear();
  }

  #chooseShard(): [string, ShardDesk] | null {
    let first: [string, ShardDesk] | null = null;
    for (const entry of this.#desks) {
      if (entry[1].open) return entry;
      first ??= entry;
    }
    return first;
  }

  #desk(session: Session): ShardDesk | undefined {
    return this.#desks.get(session.shard);
  }

  #loginFailed(session: Session, user: string): void {
    this.#host.emit({
      type: 'event',
      at: this.#host.now(),
      kind: 'login-failed',
      database: this.#database,
      client: session.client.id,
      user,
      reason: 'refused-by-engine',
    });
  }
}

export const relay: DataPathFactory = {
  kind: 'relay',
  create: (host, database) => new Relay(host, database),
};
