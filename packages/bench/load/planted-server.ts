/**
 * The planted truth for tests of the generator: a small server that speaks enough RESP, delays its
 * replies by a known distribution, and loses, doubles or reorders a known share of its writes. It
 * writes down what it really did, so a test compares two records and not a record with a hope.
 */
import { createServer, type Server, type Socket } from 'node:net';

export type Mischief = 'none' | 'lose' | 'double' | 'reorder';

export interface PlantedOptions {
  /** Milliseconds from a request's arrival to its reply; default 0. */
  readonly delayMs?: (request: number) => number;
  readonly mischief?: Mischief;
  /** One write in this many is wronged; counted over RPUSH and SET apart. */
  readonly every?: number;
  /** What the nth WAIT is answered with; default: one replica. */
  readonly waits?: (nth: number) => string;
}

interface Pending {
  readonly reply: string;
  readonly arrivedAt: number;
  due: boolean;
}

export class PlantedServer {
  /** Milliseconds each request really took here, in no order. */
  readonly delays: number[] = [];
  /** What was done: writes wronged, by kind of witness. */
  readonly wronged = { log: 0, register: 0 };
  requests = 0;
  private waits = 0;
  private readonly options: PlantedOptions;
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();
  private readonly lists = new Map<string, string[]>();
  private readonly values = new Map<string, string>();
  private writes = { log: 0, register: 0 };
  private stalledUntil = 0;
  private readonly justWronged = new Set<string>();

  private constructor(options: PlantedOptions) {
    this.options = options;
    this.server = createServer({ noDelay: true }, (socket) => this.serve(socket));
  }

  static async listen(options: PlantedOptions = {}): Promise<PlantedServer> {
    const planted = new PlantedServer(options);
    await new Promise<void>((resolve) => planted.server.listen(0, '127.0.0.1', resolve));
    return planted;
  }

  get port(): number {
    const address = this.server.address();
    if (address === null || typeof address === 'string') throw new Error('not listening');
    return address.port;
  }

  /** Nothing is answered for this long; what arrives meanwhile is answered afterwards. */
  stall(ms: number): void {
    this.stalledUntil = performance.now() + ms;
  }

  dropConnections(): void {
    for (const socket of this.sockets) socket.resetAndDestroy();
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }

  private serve(socket: Socket): void {
    this.sockets.add(socket);
    socket.on('close', () => this.sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    const queue: Pending[] = [];
    let rest = '';
    socket.on('data', (data) => {
      const arrivedAt = performance.now();
      const parsed = parseRequests(rest + data.toString('latin1'));
      rest = parsed.rest;
      for (const args of parsed.requests) {
        this.requests += 1;
        const entry: Pending = { reply: this.answer(args), arrivedAt, due: false };
        queue.push(entry);
        const planned = this.options.delayMs?.(this.requests) ?? 0;
        const delay = Math.max(planned, this.stalledUntil - arrivedAt);
        if (delay <= 0) entry.due = true;
        else setTimeout(() => this.release(entry, queue, socket), delay);
      }
      this.drain(queue, socket);
    });
  }

  private release(entry: Pending, queue: Pending[], socket: Socket): void {
    entry.due = true;
    this.drain(queue, socket);
  }

  private drain(queue: Pending[], socket: Socket): void {
    let out = '';
    const now = performance.now();
    while (queue[0]?.due === true) {
      const entry = queue.shift();
      if (entry === undefined) break;
      out += entry.reply;
      this.delays.push(now - entry.arrivedAt);
    }
    if (out !== '' && socket.writable) socket.write(out);
  }

  private answer(args: readonly string[]): string {
    const [command = '', key = '', value = ''] = args;
    switch (command.toUpperCase()) {
      case 'PING':
        return '+PONG\r\n';
      case 'GET':
        return bulk(this.values.get(key));
      case 'SET': {
        const before = this.values.get(key);
        this.set(key, value);
        return args.includes('GET') ? bulk(before) : '+OK\r\n';
      }
      case 'RPUSH':
        return `:${this.push(key, value)}\r\n`;
      case 'LRANGE': {
        const list = this.lists.get(key) ?? [];
        const page = list.slice(Number(args[2]), Number(args[3]) + 1);
        return `*${page.length}\r\n${page.map((item) => bulk(item)).join('')}`;
      }
      case 'WAIT':
        this.waits += 1;
        return `${this.options.waits?.(this.waits) ?? ':1'}\r\n`;
      default:
        return `-ERR unknown command '${command}'\r\n`;
    }
  }

  private isWronged(kind: 'log' | 'register'): boolean {
    this.writes[kind] += 1;
    const { mischief = 'none', every = 0 } = this.options;
    if (mischief === 'none' || every === 0 || this.writes[kind] % every !== 0) return false;
    this.wronged[kind] += 1;
    return true;
  }

  private push(key: string, value: string): number {
    const list = this.lists.get(key) ?? [];
    this.lists.set(key, list);
    const wronged = this.isWronged('log');
    const mischief = this.options.mischief;
    // Two swaps in a row on one list would be one move: the count must stay the truth.
    if (!wronged || list.length === 0 || this.justWronged.delete(key)) {
      this.justWronged.delete(key);
      list.push(value);
      if (wronged) this.wronged.log -= 1;
      return list.length;
    }
    this.justWronged.add(key);
    if (mischief === 'lose') return list.length + 1;
    if (mischief === 'double') list.push(value, value);
    else list.splice(list.length - 1, 0, value);
    return list.length;
  }

  private set(key: string, value: string): void {
    // A register can only show a loss: see verdict.ts.
    if (this.options.mischief === 'lose' && this.isWronged('register')) return;
    this.values.set(key, value);
  }
}

function bulk(value: string | undefined): string {
  return value === undefined ? '$-1\r\n' : `$${value.length}\r\n${value}\r\n`;
}

function parseRequests(text: string): { requests: string[][]; rest: string } {
  const requests: string[][] = [];
  let at = 0;
  for (;;) {
    const start = at;
    const head = text.indexOf('\r\n', at);
    if (head < 0) return { requests, rest: text.slice(start) };
    const count = Number(text.slice(at + 1, head));
    at = head + 2;
    const args: string[] = [];
    while (args.length < count) {
      const end = text.indexOf('\r\n', at);
      if (end < 0) return { requests, rest: text.slice(start) };
      const size = Number(text.slice(at + 1, end));
      if (text.length < end + 2 + size + 2) return { requests, rest: text.slice(start) };
      args.push(text.slice(end + 2, end + 2 + size));
      at = end + 2 + size + 2;
    }
    requests.push(args);
  }
}
