/**
 * A TCP proxy in the path that behaves badly on command, one direction at a time: delays, limits,
 * holds (a cable cut: nothing is lost, nothing arrives), resets, or lets one end vanish without a
 * word. Bytes are never dropped or reordered: TCP does neither.
 *
 * It lives in the process that uses it. When that dies, the proxy's connections end with it.
 */
import { connect, createServer, type Server, type Socket } from 'node:net';
import { FaultError } from './errors.ts';
import type { Fault } from './faults.ts';
import { MAX_FAULT_MS, PROXY_HELD_BYTES } from './limits.ts';

/** `up`: client to server; `down`: server to client. */
export type Direction = 'up' | 'down';

export type Behaviour =
  | { readonly kind: 'pass' }
  | { readonly kind: 'slow'; readonly delayMs?: number; readonly bytesPerSecond?: number }
  | { readonly kind: 'cut' };

/** What happens to a new connection: as the behaviours say; reset; accepted and never served. */
export type Arrival = 'serve' | 'reset' | 'mute';

const PASS: Behaviour = { kind: 'pass' };
const PUMP_MS = 5;

export class FaultyNetwork {
  private readonly server: Server;
  private readonly pairs = new Set<Pair>();
  private readonly mute = new Set<Socket>();
  private readonly behaviour: Record<Direction, Behaviour> = { up: PASS, down: PASS };
  private arrival: Arrival = 'serve';

  private constructor(to: { host?: string; port?: number; path?: string }) {
    this.server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
      client.on('error', () => client.destroy());
      if (this.arrival === 'reset') {
        client.resetAndDestroy();
      } else if (this.arrival === 'mute') {
        this.mute.add(client);
        client.on('close', () => this.mute.delete(client));
      } else {
        const upstream =
          to.path === undefined
            ? connect({
                host: to.host ?? '127.0.0.1',
                port: to.port ?? 0,
                allowHalfOpen: true,
                noDelay: true,
              })
            : connect({ path: to.path, allowHalfOpen: true });
        const pair = new Pair(client, upstream, this.behaviour, () => this.pairs.delete(pair));
        this.pairs.add(pair);
      }
    });
  }

  /** `listen`: the proxy's own port; 0: any free one. Throws FaultError when it is taken. */
  static async open(
    to: { readonly host?: string; readonly port?: number; readonly path?: string },
    listen = 0,
  ): Promise<FaultyNetwork> {
    const network = new FaultyNetwork(to);
    await new Promise<void>((resolve, reject) => {
      network.server.once('error', (error: NodeJS.ErrnoException) => {
        reject(new FaultError('cannot-listen', `port ${listen}: ${error.code ?? error.message}`));
      });
      network.server.listen(listen, '127.0.0.1', resolve);
    });
    return network;
  }

  get port(): number {
    const address = this.server.address();
    if (address === null || typeof address === 'string') throw new Error('the proxy is closed');
    return address.port;
  }

  get connections(): number {
    return this.pairs.size + this.mute.size;
  }

  slow(
    direction: Direction,
    how: { readonly delayMs?: number; readonly bytesPerSecond?: number },
    ms: number,
  ): Fault {
    return this.behave(direction, { kind: 'slow', ...how }, ms);
  }

  cut(direction: Direction, ms: number): Fault {
    return this.behave(direction, { kind: 'cut' }, ms);
  }

  /** New connections are reset, or accepted and never served. */
  refuse(how: 'reset' | 'mute', ms: number): Fault {
    this.arrival = how;
    return timed(`new connections: ${how}`, ms, () => {
      this.arrival = 'serve';
      for (const socket of this.mute) socket.destroy();
    });
  }

  /** Ends all connections with RST on both sides. */
  reset(): number {
    const count = this.pairs.size;
    for (const pair of this.pairs) pair.reset();
    return count;
  }

  /**
   * One end is gone without a word, for every connection there is: the other end stays open,
   * takes bytes, and never hears anything again. At the end of the fault it is reset, as the first
   * packet to a host that came back would be.
   */
  halfOpen(gone: 'client' | 'server', ms: number): Fault {
    const pairs = [...this.pairs];
    for (const pair of pairs) pair.vanish(gone);
    return timed(`half open: ${gone} gone`, ms, () => {
      for (const pair of pairs) pair.reset();
    });
  }

  async close(): Promise<void> {
    for (const pair of this.pairs) pair.reset();
    for (const socket of this.mute) socket.destroy();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }

  private behave(direction: Direction, behaviour: Behaviour, ms: number): Fault {
    this.behaviour[direction] = behaviour;
    return timed(`${behaviour.kind} ${direction}`, ms, () => {
      if (this.behaviour[direction] === behaviour) this.behaviour[direction] = PASS;
      for (const pair of this.pairs) pair.pump();
    });
  }
}

function timed(what: string, ms: number, undo: () => void): Fault {
  const ended = Promise.withResolvers<void>();
  let done = false;
  const end = async (): Promise<void> => {
    clearTimeout(timer);
    if (!done) undo();
    done = true;
    ended.resolve();
  };
  const timer = setTimeout(() => void end(), Math.min(ms, MAX_FAULT_MS));
  return { what, end, ended: ended.promise };
}

/** One proxied connection: two pipes that are pumped by arrival and by clock. */
class Pair {
  private readonly client: Socket;
  private readonly upstream: Socket;
  private readonly pipes: readonly Pipe[];
  private readonly timer: NodeJS.Timeout;
  private readonly onGone: () => void;
  private vanished = false;

  constructor(
    client: Socket,
    upstream: Socket,
    behaviour: Readonly<Record<Direction, Behaviour>>,
    onGone: () => void,
  ) {
    this.client = client;
    this.upstream = upstream;
    this.onGone = onGone;
    this.pipes = [
      new Pipe(client, upstream, () => behaviour.up),
      new Pipe(upstream, client, () => behaviour.down),
    ];
    this.timer = setInterval(() => this.pump(), PUMP_MS);
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      socket.on('error', () => {
        if (!this.vanished) other.resetAndDestroy();
      });
      socket.on('close', () => this.closed());
    }
  }

  pump(): void {
    if (this.vanished) return;
    for (const pipe of this.pipes) pipe.pump();
  }

  reset(): void {
    this.vanished = true;
    this.client.resetAndDestroy();
    this.upstream.resetAndDestroy();
  }

  vanish(gone: 'client' | 'server'): void {
    this.vanished = true;
    for (const pipe of this.pipes) pipe.swallow();
    (gone === 'client' ? this.client : this.upstream).resetAndDestroy();
  }

  private closed(): void {
    if (!this.client.destroyed || !this.upstream.destroyed) return;
    clearInterval(this.timer);
    this.onGone();
  }
}

class Pipe {
  private readonly from: Socket;
  private readonly to: Socket;
  private readonly behaviour: () => Behaviour;
  private readonly held: { readonly bytes: Buffer; readonly at: number }[] = [];
  private heldBytes = 0;
  private ended = false;
  private swallowing = false;
  private allowance = 0;
  private pumpedAt = performance.now();

  constructor(from: Socket, to: Socket, behaviour: () => Behaviour) {
    this.from = from;
    this.to = to;
    this.behaviour = behaviour;
    from.on('data', (bytes: Buffer) => {
      if (this.swallowing) return;
      this.held.push({ bytes, at: performance.now() });
      this.heldBytes += bytes.length;
      this.pump();
      if (this.heldBytes > PROXY_HELD_BYTES) from.pause();
    });
    from.on('end', () => {
      this.ended = true;
      this.pump();
    });
    to.on('drain', () => this.pump());
  }

  swallow(): void {
    this.swallowing = true;
    this.held.length = 0;
    this.from.resume();
  }

  pump(): void {
    const behaviour = this.behaviour();
    const now = performance.now();
    const rate = behaviour.kind === 'slow' ? (behaviour.bytesPerSecond ?? Infinity) : Infinity;
    this.allowance =
      rate === Infinity
        ? Infinity
        : Math.min(rate / 10, finite(this.allowance) + (rate * (now - this.pumpedAt)) / 1000);
    this.pumpedAt = now;
    if (behaviour.kind === 'cut') return;
    const delay = behaviour.kind === 'slow' ? (behaviour.delayMs ?? 0) : 0;
    while (this.held.length > 0 && this.allowance >= 1 && !this.to.writableNeedDrain) {
      const first = this.held[0];
      if (first === undefined || now < first.at + delay) break;
      const take = Math.min(first.bytes.length, Math.floor(this.allowance));
      if (take === first.bytes.length) this.held.shift();
      else this.held[0] = { bytes: first.bytes.subarray(take), at: first.at };
      this.allowance -= take;
      this.heldBytes -= take;
      if (!this.to.destroyed) this.to.write(first.bytes.subarray(0, take));
    }
    if (this.heldBytes < PROXY_HELD_BYTES / 2) this.from.resume();
    if (this.ended && this.held.length === 0 && !this.to.writableEnded) this.to.end();
  }
}

function finite(value: number): number {
  return Number.isFinite(value) ? value : 0;
}
