/**
 * One connection of the load generator: a ring of requests in order, from the arrival to the reply.
 *
 *        head            sentTo             tail
 *   done |   on the way    |    waiting      |
 *
 * What is waiting when the connection ends is sent on the next one; what was on the way has an
 * unknown outcome. Requests are encoded late, into one batch a turn of the event loop, so a turn
 * costs one write however many requests fell due in it. Nothing is allocated a request.
 */
import type { Socket } from 'node:net';
import {
  MAX_OUTSTANDING,
  READ_BUFFER_BYTES,
  RECONNECT_MAX_MS,
  RECONNECT_MIN_MS,
  WRITE_BATCH_BYTES,
} from '../limits.ts';
import { encode, greeting, openSocket, type Target } from './asker.ts';
import { ReplyScanner, TYPE } from './reply-scanner.ts';

export interface Request {
  /** Index into the profile's operations; -1: ASKING, whose reply nobody reads. */
  operation: number;
  /** Key number, or index of the stream. */
  subject: number;
  /** Running number in the stream; 0 elsewhere. */
  number: number;
  /** performance.now() at which it should have been sent. */
  intended: number;
  redirects: number;
  /** Replies that are still to come for what was sent. */
  replies: number;
}

export interface LaneOwner {
  /** Bytes of the request; may be a shared buffer that is copied at once. */
  encode(request: Request): Buffer;
  /** How many commands it is. */
  replies(request: Request): number;
  /** One reply of several, not the last. */
  repliedFirst(request: Request, scanner: ReplyScanner): void;
  sent(lane: Lane, request: Request): void;
  replied(lane: Lane, request: Request, scanner: ReplyScanner, now: number): void;
  lost(lane: Lane, request: Request, now: number): void;
  connectionLost(lane: Lane, reason: string): void;
  /** After the replies of one read were handed over. */
  turn(lane: Lane): void;
}

const FIRST_CAPACITY = 512;

export class Lane {
  readonly target: Target;
  /** Asked before each connection where to go; null: always to `target`. */
  private readonly find: (() => Promise<Target>) | null;
  onLost: (() => void) | null = null;
  /** Counts connections made: part of what an anomaly is reported with. */
  incarnation = 0;
  ready = false;
  /** The last acknowledgement, or the first request after a time without any. */
  lastOkAt: number;
  longestGapMs = 0;
  longestGapAt = 0;
  private readonly owner: LaneOwner;
  private readonly protocol: 2 | 3;
  private ring: Request[] = [];
  private head = 0;
  private sentTo = 0;
  private tail = 0;
  private socket: Socket | null = null;
  private batch = Buffer.allocUnsafe(WRITE_BATCH_BYTES);
  private filled = 0;
  private blocked = false;
  private greetings = 0;
  private backoff = RECONNECT_MIN_MS;
  private timer: NodeJS.Timeout | undefined;
  private ended = false;

  constructor(
    target: Target,
    protocol: 2 | 3,
    owner: LaneOwner,
    find: (() => Promise<Target>) | null = null,
  ) {
    this.target = target;
    this.find = find;
    this.protocol = protocol;
    this.owner = owner;
    this.lastOkAt = performance.now();
    this.enlarge(FIRST_CAPACITY);
    this.open(target);
  }

  get outstanding(): number {
    return this.tail - this.head;
  }

  /** False: too much is outstanding, the arrival is shed. */
  enqueue(
    operation: number,
    subject: number,
    number: number,
    intended: number,
    redirects = 0,
  ): boolean {
    if (this.outstanding >= this.ring.length) {
      if (this.ring.length >= MAX_OUTSTANDING) return false;
      this.enlarge(this.ring.length * 2);
    }
    // Nobody waited while nothing was asked of it: a cluster's lane may have no slots for minutes.
    if (this.outstanding === 0) this.lastOkAt = Math.max(this.lastOkAt, intended);
    const request = this.at(this.tail);
    request.operation = operation;
    request.subject = subject;
    request.number = number;
    request.intended = intended;
    request.redirects = redirects;
    request.replies = 0;
    this.tail += 1;
    return true;
  }

  /** Sends what is waiting, unless the connection is down or takes no more. */
  flush(): void {
    while (this.ready && !this.blocked && this.sentTo < this.tail) {
      const request = this.at(this.sentTo);
      const bytes = this.owner.encode(request);
      if (this.filled + bytes.length > this.batch.length) {
        this.push();
        if (bytes.length > this.batch.length) this.batch = Buffer.allocUnsafe(bytes.length);
        if (this.blocked) break;
      }
      bytes.copy(this.batch, this.filled);
      this.filled += bytes.length;
      this.sentTo += 1;
      request.replies = this.owner.replies(request);
      this.owner.sent(this, request);
    }
    this.push();
  }

  ok(now: number): void {
    const gap = now - this.lastOkAt;
    if (gap > this.longestGapMs) {
      this.longestGapMs = gap;
      this.longestGapAt = this.lastOkAt;
    }
    this.lastOkAt = now;
  }

  /** Ends the connection for good. What was on the way becomes an unknown outcome. */
  end(): void {
    this.ended = true;
    clearTimeout(this.timer);
    this.drop('load ended');
  }

  /** Requests that never left; for the books. */
  *unsent(): Generator<Request> {
    for (let i = this.sentTo; i < this.tail; i += 1) yield this.at(i);
  }

  /** Takes out what never left, to be sent on another connection. */
  takeUnsent(): Request[] {
    const taken = [...this.unsent()].map((request) => ({ ...request }));
    this.tail = this.sentTo;
    return taken;
  }

  private at(index: number): Request {
    const request = this.ring[index & (this.ring.length - 1)];
    if (request === undefined) throw new Error('the ring of a lane is never empty');
    return request;
  }

  private enlarge(capacity: number): void {
    const next = Array.from({ length: capacity }, (): Request => {
      return { operation: 0, subject: 0, number: 0, intended: 0, redirects: 0, replies: 0 };
    });
    for (let i = this.head; i < this.tail; i += 1) next[i & (capacity - 1)] = this.at(i);
    this.ring = next;
  }

  private push(): void {
    if (this.filled === 0 || this.socket === null) return;
    const socket = this.socket;
    this.blocked = !socket.write(this.batch.subarray(0, this.filled));
    this.filled = 0;
    // Written at once: the buffer is free again. Otherwise it belongs to the socket now.
    if (socket.writableLength > 0) this.batch = Buffer.allocUnsafe(WRITE_BATCH_BYTES);
  }

  private async reopen(): Promise<void> {
    try {
      const target = this.find === null ? this.target : await this.find();
      if (!this.ended) this.open(target);
    } catch {
      // Nobody says where to go: asked again, as a refused connection would be.
      this.openLater();
    }
  }

  private openLater(): void {
    if (this.ended) return;
    this.timer = setTimeout(() => void this.reopen(), this.backoff);
    this.backoff = Math.min(this.backoff * 2, RECONNECT_MAX_MS);
  }

  private open(target: Target): void {
    const scanner = new ReplyScanner(() => this.reply(scanner));
    const feed = (data: Buffer, length: number): void => {
      if (this.socket !== socket) return;
      try {
        scanner.feed(data, length);
      } catch (error) {
        socket.destroy(error as Error);
        return;
      }
      this.owner.turn(this);
    };
    const readBuffer = Buffer.allocUnsafe(READ_BUFFER_BYTES);
    const onread = {
      buffer: readBuffer,
      callback: (length: number, buffer: Uint8Array): boolean => {
        feed(buffer as Buffer, length);
        return true;
      },
    };
    const tls = target.tls !== undefined;
    const socket = openSocket(target, tls ? {} : { onread });
    // A TLS socket takes no read buffer of ours.
    if (tls) socket.on('data', (data: Buffer) => feed(data, data.length));
    this.socket = socket;
    socket.on(tls ? 'secureConnect' : 'connect', () => {
      this.incarnation += 1;
      const hello = greeting(target, this.protocol);
      this.greetings = hello.length;
      for (const args of hello) socket.write(encode(args));
      if (this.greetings === 0) this.becomeReady();
    });
    socket.on('drain', () => {
      this.blocked = false;
      this.flush();
    });
    socket.on('error', (error) => this.closed(socket, errorCode(error)));
    socket.on('close', () => this.closed(socket, 'closed'));
  }

  private becomeReady(): void {
    this.ready = true;
    this.backoff = RECONNECT_MIN_MS;
    this.flush();
  }

  private reply(scanner: ReplyScanner): void {
    if (scanner.type === TYPE.push) return;
    if (this.greetings > 0) {
      this.greetings -= 1;
      if (scanner.type === TYPE.error) this.drop(`greeting: ${scanner.headText()}`);
      else if (this.greetings === 0) this.becomeReady();
      return;
    }
    if (this.head === this.sentTo) {
      this.drop('a reply that nobody asked for');
      return;
    }
    const request = this.at(this.head);
    request.replies -= 1;
    if (request.replies > 0) {
      this.owner.repliedFirst(request, scanner);
      return;
    }
    this.head += 1;
    this.owner.replied(this, request, scanner, performance.now());
  }

  private drop(reason: string): void {
    const socket = this.socket;
    if (socket !== null) {
      this.closed(socket, reason);
      socket.destroy();
    }
  }

  private closed(socket: Socket, reason: string): void {
    if (this.socket !== socket) return;
    this.socket = null;
    this.ready = false;
    this.blocked = false;
    this.filled = 0;
    this.greetings = 0;
    const now = performance.now();
    const end = this.sentTo;
    while (this.head < end) {
      const request = this.at(this.head);
      this.head += 1;
      this.owner.lost(this, request, now);
    }
    if (this.ended) return;
    this.owner.connectionLost(this, reason);
    this.openLater();
    this.onLost?.();
  }
}

function errorCode(error: Error): string {
  return (error as NodeJS.ErrnoException).code ?? error.message;
}
