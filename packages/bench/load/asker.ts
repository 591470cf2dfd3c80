/**
 * A plain request/reply connection that returns values: for loading data, reading it back and
 * verifying. One request at a time or pipelined; no retries, no cleverness.
 */
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { REQUEST_DEADLINE_MS } from '../limits.ts';
import { decodeReply, type Reply } from './decode.ts';
import { ReplyScanner, TYPE } from './reply-scanner.ts';

/** Where load goes. `path` wins over host and port. */
export interface Target {
  readonly path?: string;
  readonly host?: string;
  readonly port?: number;
  /** TLS when present. `ca` is a file; null: the certificate is not checked. */
  readonly tls?: { readonly ca: string | null; readonly servername?: string };
  readonly username?: string;
  readonly password?: string;
}

export function openSocket(target: Target, options: object = {}): Socket {
  if (target.path !== undefined) return connect({ path: target.path, ...options });
  const address = { host: target.host ?? '127.0.0.1', port: target.port ?? 6379, noDelay: true };
  if (target.tls === undefined) return connect({ ...address, ...options });
  const { ca, servername } = target.tls;
  return connectTls({
    ...address,
    ...(ca === null ? { rejectUnauthorized: false } : { ca: readFileSync(ca) }),
    servername: servername ?? 'localhost',
  });
}

export function encode(args: readonly (string | Buffer | number)[]): Buffer {
  const parts: Buffer[] = [Buffer.from(`*${args.length}\r\n`)];
  for (const arg of args) {
    const bytes = Buffer.isBuffer(arg) ? arg : Buffer.from(String(arg));
    parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from('\r\n'));
  }
  return Buffer.concat(parts);
}

/** The commands that a fresh connection sends first. */
export function greeting(target: Target, protocol: 2 | 3): string[][] {
  const { username, password } = target;
  if (protocol === 3) {
    const login = password === undefined ? [] : ['AUTH', username ?? 'default', password];
    return [['HELLO', '3', ...login]];
  }
  if (password === undefined) return [];
  // The form without a name is the one that every proxy knows.
  return [username === undefined ? ['AUTH', password] : ['AUTH', username, password]];
}

interface Waiter {
  resolve(reply: Reply): void;
  reject(error: Error): void;
}

export class Asker {
  private readonly socket: Socket;
  private readonly waiters: Waiter[] = [];
  private chunks: Buffer[] = [];
  private lost: Error | null = null;

  private constructor(socket: Socket) {
    this.socket = socket;
    let chunk: Buffer = Buffer.alloc(0);
    let taken = 0;
    const scanner = new ReplyScanner((end) => {
      this.chunks.push(chunk.subarray(taken, end));
      taken = end;
      const whole = this.chunks.length === 1 ? this.chunks[0] : Buffer.concat(this.chunks);
      this.chunks = [];
      if (scanner.type !== TYPE.push && whole !== undefined) {
        this.waiters.shift()?.resolve(decodeReply(whole));
      }
    });
    socket.on('data', (data: Buffer) => {
      chunk = data;
      taken = 0;
      try {
        scanner.feed(data);
      } catch (error) {
        socket.destroy(error as Error);
        return;
      }
      if (taken < data.length) this.chunks.push(data.subarray(taken));
    });
    socket.on('error', (error) => this.fail(error));
    socket.on('close', () => this.fail(new Error('connection closed')));
  }

  static async open(target: Target, protocol: 2 | 3 = 2): Promise<Asker> {
    const socket = openSocket(target);
    const asker = new Asker(socket);
    await Promise.all(greeting(target, protocol).map((args) => asker.ask(...args)));
    return asker;
  }

  get closed(): boolean {
    return this.lost !== null;
  }

  /** Rejects with the engine's error, or when the connection or the deadline ends first. */
  async ask(...args: (string | Buffer | number)[]): Promise<Reply> {
    const reply = await this.raw(encode(args));
    if (reply instanceof Error) throw reply;
    return reply;
  }

  /** One encoded request. Errors of the engine are values here: the caller compares them. */
  raw(request: Buffer): Promise<Reply> {
    if (this.lost !== null) return Promise.reject(this.lost);
    const { promise, resolve, reject } = Promise.withResolvers<Reply>();
    const timer = setTimeout(() => {
      reject(new Error(`no reply within ${REQUEST_DEADLINE_MS} ms`));
      this.socket.destroy();
    }, REQUEST_DEADLINE_MS);
    this.waiters.push({
      resolve: (reply) => {
        clearTimeout(timer);
        resolve(reply);
      },
      reject: (error) => {
        clearTimeout(timer);
        reject(error);
      },
    });
    // What is asked in one turn leaves in one write.
    if (this.socket.writableCorked === 0) {
      this.socket.cork();
      process.nextTick(() => this.socket.uncork());
    }
    this.socket.write(request);
    return promise;
  }

  close(): void {
    this.socket.destroy();
  }

  private fail(error: Error): void {
    this.lost ??= error;
    for (const waiter of this.waiters.splice(0)) waiter.reject(this.lost);
  }
}
