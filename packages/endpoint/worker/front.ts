/**
 * The front of one database in one worker: from an accepted socket to an admitted client (TLS, then
 * a permit), then watching it until it is gone. What happens to its bytes is the data path's. Shards
 * that have addresses of their own have a front each beside it; all of a database share its permits.
 */
import type { Socket } from 'node:net';
import type { ClientView, DatabaseCounters, DatabaseView, Event } from '../control-protocol.ts';
import type { DataPath, DataPathHost } from '../data-path.ts';
import { DRAIN_ARRIVALS_MS, DRAIN_LOOK_MS, IDLE_SWEEP_MS } from '../limits.ts';
import { ProxyPath } from '../proxy/proxy.ts';
import { messageOf } from '../say.ts';
import { Client, closeSocket } from './client.ts';
import type { PermitPurse } from './permits.ts';
import { TlsFront } from './tls-front.ts';

/** Why one ends whose worker is replaced. */
const DRAINED = 'drained';
const FULL = '-ERR max number of clients reached\r\n';

export interface FrontOptions {
  readonly host: DataPathHost;
  readonly view: DatabaseView;
  readonly ticketSecret: Buffer;
  /** Serves this shard alone, beside the front of the whole database; null: it is that one. */
  readonly alone: { readonly shard: string; readonly whole: Front } | null;
  /** Of the database: who made it closes it. */
  readonly purse: PermitPurse;
  /** The next client number of this worker. */
  nextNumber(): number;
}

export class Front {
  readonly id: string;
  readonly purse: PermitPurse;
  readonly #host: DataPathHost;
  readonly #options: FrontOptions;
  readonly #tls: TlsFront;
  readonly #clients = new Map<string, Client>();
  #view: DatabaseView;
  readonly #path: ProxyPath;
  #opened = 0;
  #bytesIn = 0;
  #bytesOut = 0;
  readonly #closed = new Map<string, number>();
  readonly #refused = new Map<string, number>();
  #sweep: NodeJS.Timeout | null = null;
  #sweepMs = 0;
  #draining = false;

  constructor(options: FrontOptions) {
    this.id = options.view.id;
    this.#options = options;
    this.#host = options.host;
    this.#view = options.view;
    const { alone } = options;
    const beside = alone === null ? null : { shard: alone.shard, whole: alone.whole.#path };
    this.#path = new ProxyPath(options.host, this.id, beside);
    this.#tls = new TlsFront(this.id, options.ticketSecret);
    this.purse = options.purse;
  }

  get path(): DataPath {
    return this.#path;
  }

  /** Answers what of it cannot be used, by name; null when everything can. */
  apply(view: DatabaseView, epoch: number): string | null {
    this.#view = view;
    this.#path.apply(view, epoch);
    this.#sweepEach(Math.min(IDLE_SWEEP_MS, Math.ceil(view.limits.idleTimeoutMs / 10)));
    if (view.certificate === null) return null;
    try {
      this.#tls.load(view.certificate);
      return null;
    } catch (error) {
      return `certificate-unusable: ${messageOf(error)}`;
    }
  }

  /** Whether connections to a TLS address can be taken. */
  get tlsReady(): boolean {
    return this.#tls.ready;
  }

  rotate(ticketSecret: Buffer): void {
    this.#tls.rotate(ticketSecret);
  }

  /** A freshly accepted, paused socket. */
  arrive(raw: Socket, tls: boolean): void {
    const address = addressOf(raw);
    raw.on('error', ignore); // its close follows, and that is what counts
    if (this.#draining) raw.destroy();
    else if (!tls) this.#admit(raw, address, false);
    else {
      this.#tls.handshake(raw, (socket, failure) => {
        if (socket === null) this.#refuse(null, address, failure);
        else this.#admit(socket, address, true);
      });
    }
  }

  counters(): DatabaseCounters {
    let bytesIn = this.#bytesIn;
    let bytesOut = this.#bytesOut;
    for (const { socket } of this.#clients.values()) {
      bytesIn += socket.bytesRead;
      bytesOut += socket.bytesWritten;
    }
    return {
      id: this.id,
      connections: this.#clients.size,
      opened: this.#opened,
      closed: Object.fromEntries(this.#closed),
      refused: Object.fromEntries(this.#refused),
      bytesIn,
      bytesOut,
      ...this.#path.counters(),
    };
  }

  clients(): ClientView[] {
    const now = performance.now();
    return this.#path.clients().map((view) => {
      const client = this.#clients.get(view.id);
      client?.observe(now);
      return client === undefined
        ? view
        : {
            ...view,
            idleMs: Math.round(now - client.activeAt),
            bytesIn: client.socket.bytesRead,
            bytesOut: client.socket.bytesWritten,
          };
    });
  }

  kill(id: string, reason: string): boolean {
    if (!this.#clients.has(id)) return false;
    return this.#path.kill(id, reason);
  }

  /**
   * The listening sockets are closed already. Who has arrived is still let in and answered once; the
   * others leave when nothing of them is in flight.
   */
  async drain(deadlineAt: number): Promise<void> {
    await Promise.all([this.#arrivalsOver(deadlineAt), this.#path.drain(deadlineAt)]);
    this.#draining = true;
    this.#tls.close();
    if (this.#clients.size > 0) await this.#path.drain(deadlineAt);
  }

  async #arrivalsOver(deadlineAt: number): Promise<void> {
    const until = Math.min(deadlineAt, performance.now() + DRAIN_ARRIVALS_MS);
    while (this.#tls.pending + this.purse.waiting > 0 && performance.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, DRAIN_LOOK_MS));
    }
  }

  close(): void {
    this.#draining = true;
    this.#tls.close();
    if (this.#sweep !== null) clearInterval(this.#sweep);
    this.#path.close();
    for (const client of this.#clients.values()) client.end('database-removed');
  }

  #admit(socket: Socket, address: string, tls: boolean): void {
    if (tls) {
      socket.on('error', ignore);
      socket.pause();
    }
    this.purse.take((refusal) => {
      if (refusal !== null) this.#refuse(socket, address, refusal);
      else if (socket.destroyed) this.purse.release();
      else this.#open(socket, address, tls);
    });
  }

  #open(socket: Socket, address: string, tls: boolean): void {
    const number = this.#options.nextNumber();
    const client = new Client(`${process.pid}-${number}`, number, socket, address, tls);
    this.#clients.set(client.id, client);
    this.#opened += 1;
    let holds = true;
    const release = (): void => {
      if (holds) this.purse.release();
      holds = false;
    };
    // Its place is wanted by whoever comes back: one that ignores our FIN would keep it for LINGER_MS.
    client.onEnded = (reason) => {
      if (reason === DRAINED) release();
    };
    let failed = false;
    socket.on('error', () => {
      failed = true;
    });
    socket.once('close', () => {
      const reason = client.reason ?? (failed ? 'connection-lost' : 'client-closed');
      this.#clients.delete(client.id);
      this.#bytesIn += socket.bytesRead;
      this.#bytesOut += socket.bytesWritten;
      count(this.#closed, reason);
      this.#tell('closed', client.id, address, reason);
      release();
    });
    this.#tell('opened', client.id, address, tls ? 'tls' : 'plain');
    this.#path.accept(client);
  }

  #refuse(socket: Socket | null, address: string, reason: string): void {
    count(this.#refused, reason);
    this.#tell('refused', '', address, reason);
    if (socket === null) return;
    if (reason === 'max-clients') {
      this.#host.emit({
        type: 'event',
        at: this.#host.now(),
        kind: 'limit',
        database: this.id,
        limit: 'maxConnections',
        detail: `all ${this.#view.limits.maxConnections} connections are in use`,
      });
      closeSocket(socket, FULL);
    } else closeSocket(socket, `-ERR ${reason}: the connection was refused; try again\r\n`);
  }

  #tell(
    kind: 'opened' | 'closed' | 'refused',
    client: string,
    address: string,
    reason: string,
  ): void {
    const event: Event = {
      type: 'event',
      at: this.#host.now(),
      kind,
      database: this.id,
      client,
      address,
      reason,
    };
    this.#host.emit(event);
  }

  #sweepEach(ms: number): void {
    if (ms === this.#sweepMs) return;
    this.#sweepMs = ms;
    if (this.#sweep !== null) clearInterval(this.#sweep);
    this.#sweep = ms > 0 ? setInterval(() => this.#endIdle(), ms) : null;
  }

  #endIdle(): void {
    const now = performance.now();
    const idleMs = this.#view.limits.idleTimeoutMs;
    for (const client of this.#clients.values()) {
      client.observe(now);
      if (now - client.activeAt < idleMs || this.#path.waiting(client.id)) continue;
      if (!this.#path.kill(client.id, 'idle')) client.end('idle');
    }
  }
}

/** One for all connections. */
function ignore(): void {}

function count(counts: Map<string, number>, reason: string): void {
  counts.set(reason, (counts.get(reason) ?? 0) + 1);
}

function addressOf(socket: Socket): string {
  const host = socket.remoteAddress ?? 'gone';
  return `${host.includes(':') ? `[${host}]` : host}:${socket.remotePort ?? 0}`;
}
