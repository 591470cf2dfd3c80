/**
 * One client and its engine connection.
 *
 * A session waits (no engine connection yet; what the client sends ahead is kept, within bounds),
 * then relays, then ends. Bytes are passed on as they come; each side is read only as fast as the
 * other side takes. The pause of a client can have several causes at once, so causes are kept, and
 * reading goes on when none is left.
 */
import { connect, type Socket } from 'node:net';
import type { ClientView, InstanceView } from '../control-protocol.ts';
import type { AdmittedClient } from '../data-path.ts';
import {
  BOUNDARY_WAIT_MS,
  UNKNOWN_OUTCOME_LINES,
  UPSTREAM_CONNECT_MS,
  WAITING_BYTES_EACH,
} from '../limits.ts';
import { Exchange } from './exchange.ts';

export type SessionState = 'waiting' | 'connecting' | 'relaying' | 'ending';
type PauseCause = 'held' | 'engine-slow' | 'ahead-of-shard';

export interface SessionOwner {
  /** Bytes that waiting clients may still send ahead, all together. */
  ahead(bytes: number): boolean;
  connected(session: Session): void;
  connectFailed(session: Session, detail: string): void;
  /** The engine's side closed, and the client is still there. */
  engineClosed(session: Session, detail: string): void;
  /** Nothing of this client is in flight any more. */
  quiet(session: Session): void;
  loginFailed(session: Session, user: string): void;
  gone(session: Session): void;
}

export class Session {
  readonly client: AdmittedClient;
  readonly shard: string;
  readonly since: number;
  state: SessionState = 'waiting';
  /** The instance that this session is, or was last, connected to. */
  instance: InstanceView | null = null;
  user = 'default';
  name = '';
  readonly #owner: SessionOwner;
  readonly #exchange: Exchange;
  readonly #paused = new Set<PauseCause>();
  #upstream: Socket | null = null;
  #ahead: Buffer[] = [];
  #aheadBytes = 0;
  #clientEnded = false;
  #leaving: { reason: string; timer: NodeJS.Timeout } | null = null;

  constructor(client: AdmittedClient, shard: string, now: number, owner: SessionOwner) {
    this.client = client;
    this.shard = shard;
    this.since = now;
    this.#owner = owner;
    this.#exchange = new Exchange({
      loggedIn: (user) => {
        this.user = user === '' ? 'default' : user;
      },
      loginFailed: (user) => owner.loginFailed(this, user),
      named: (name) => {
        this.name = name;
      },
    });
    const { socket } = client;
    socket.on('data', (chunk: Buffer) => this.#fromClient(chunk));
    socket.on('end', () => this.#clientDone());
    socket.on('drain', () => this.#upstream?.resume());
    socket.on('close', () => this.#closed());
    this.#flow();
  }

  get inFlight(): number {
    return this.state === 'relaying' ? this.#exchange.inFlight : 0;
  }

  get waitsForReply(): boolean {
    return this.state === 'waiting' || this.state === 'connecting' || this.#exchange.waiting;
  }

  get leaving(): boolean {
    return this.#leaving !== null || this.state === 'ending';
  }

  /** Why the engine may close this connection without fault; null: it may not. */
  get goodbye(): string | null {
    if (this.#exchange.quitting) return 'client-quit';
    return this.#clientEnded ? 'client-closed' : null;
  }

  get aheadBytes(): number {
    return this.#aheadBytes;
  }

  pause(cause: PauseCause): void {
    this.#paused.add(cause);
    this.client.socket.pause();
  }

  resume(cause: PauseCause): void {
    this.#paused.delete(cause);
    this.#sendAhead();
    this.#flow();
  }

  /** Opens the engine connection. Only while waiting. */
  join(instance: InstanceView): void {
    this.state = 'connecting';
    this.instance = instance;
    const upstream = connect({ path: instance.socket });
    this.#upstream = upstream;
    const timer = setTimeout(
      () => upstream.destroy(new Error(`no connection within ${UPSTREAM_CONNECT_MS} ms`)),
      UPSTREAM_CONNECT_MS,
    );
    let detail = 'closed by the engine';
    upstream.on('error', (error) => {
      detail = error.message;
    });
    upstream.on('connect', () => {
      clearTimeout(timer);
      this.state = 'relaying';
      this.#owner.connected(this);
      this.resume('ahead-of-shard');
    });
    upstream.on('data', (chunk: Buffer) => this.#fromEngine(chunk));
    upstream.on('drain', () => this.resume('engine-slow'));
    upstream.on('close', () => {
      clearTimeout(timer);
      if (this.#upstream === upstream) this.#engineGone(detail);
    });
  }

  /** Back from connecting to waiting: the engine to connect to has changed. */
  retreat(): void {
    const upstream = this.#upstream;
    this.#upstream = null;
    this.state = 'waiting';
    upstream?.destroy();
  }

  /**
   * Ends this client at the next moment when nothing of it is in flight and no reply is half
   * written, or after `waitMs`. It reads nothing more from now on.
   */
  leave(reason: string, waitMs = BOUNDARY_WAIT_MS): void {
    if (this.state === 'ending' || this.#leaving !== null) return;
    this.pause('held');
    const timer = setTimeout(() => this.end(reason), waitMs);
    this.#leaving = { reason, timer };
    this.#leaveIfQuiet();
  }

  /** Ends now. What was sent and not answered is answered with a line that says so. */
  end(reason: string, words = ''): void {
    if (this.state === 'ending') return;
    this.state = 'ending';
    const canSpeak = this.#exchange.atReplyBoundary;
    const unanswered = this.#exchange.unanswered ?? 0;
    let last = canSpeak ? words : '';
    if (canSpeak && unanswered > 0 && unanswered <= UNKNOWN_OUTCOME_LINES) {
      last = unknownOutcome(reason).repeat(unanswered) + words;
    }
    this.#drop();
    this.client.end(reason, last);
  }

  /** Idle time is the worker's to know. */
  view(): ClientView {
    return {
      id: this.client.id,
      database: this.shard.slice(0, this.shard.lastIndexOf('/')),
      address: this.client.address,
      name: this.name,
      user: this.user,
      openedAt: this.client.openedAt,
      idleMs: 0,
      state: this.#exchange.streaming ? 'streaming' : this.state,
    };
  }

  #fromClient(chunk: Buffer): void {
    if (this.state === 'relaying') {
      this.#toEngine(chunk);
      return;
    }
    if (this.state === 'ending') return;
    this.#ahead.push(chunk);
    this.#aheadBytes += chunk.length;
    if (!this.#owner.ahead(chunk.length) || this.#aheadBytes >= WAITING_BYTES_EACH) {
      this.pause('ahead-of-shard');
    }
  }

  #toEngine(chunk: Buffer): void {
    this.#exchange.request(chunk);
    if (this.#upstream?.write(chunk) === false) this.pause('engine-slow');
  }

  #fromEngine(chunk: Buffer): void {
    if (this.state === 'ending') return;
    this.#exchange.reply(chunk);
    if (!this.client.socket.write(chunk)) this.#upstream?.pause();
    if (this.#exchange.inFlight === 0) {
      this.#owner.quiet(this);
      this.#leaveIfQuiet();
    }
  }

  #leaveIfQuiet(): void {
    const leaving = this.#leaving;
    if (leaving === null) return;
    if (this.state === 'relaying' && this.#exchange.inFlight > 0) return;
    if (this.state === 'relaying' && !this.#exchange.atReplyBoundary) return;
    this.end(leaving.reason);
  }

  #engineGone(detail: string): void {
    this.#upstream = null;
    if (this.state === 'connecting') {
      this.state = 'waiting';
      this.#owner.connectFailed(this, detail);
      return;
    }
    if (this.state !== 'relaying') return;
    const leaving = this.#leaving;
    if (leaving !== null) this.end(leaving.reason);
    else {
      this.pause('held'); // whatever comes now has nowhere to go
      this.#owner.engineClosed(this, detail);
    }
  }

  /** Not while held: a hold may come between connecting and connected. */
  #sendAhead(): void {
    if (this.state !== 'relaying' || this.#paused.has('held')) return;
    if (this.#aheadBytes > 0) for (const chunk of this.#takeAhead()) this.#toEngine(chunk);
    if (this.#clientEnded) this.#upstream?.end();
  }

  /** The client's FIN: what it sent before is still answered. */
  #clientDone(): void {
    this.#clientEnded = true;
    if (this.state === 'relaying') this.#sendAhead();
    // Nobody is there to wait for the shard; one that only closed its sending side is not served
    // either if it sent nothing.
    else if (this.#aheadBytes === 0) this.client.end('client-closed');
  }

  #closed(): void {
    this.state = 'ending';
    this.#drop();
    this.#owner.gone(this);
  }

  #drop(): void {
    if (this.#leaving !== null) clearTimeout(this.#leaving.timer);
    this.#leaving = null;
    this.#takeAhead();
    const upstream = this.#upstream;
    this.#upstream = null;
    upstream?.destroySoon(); // what the client managed to send still goes out
  }

  #takeAhead(): Buffer[] {
    const chunks = this.#ahead;
    this.#ahead = [];
    this.#owner.ahead(-this.#aheadBytes);
    this.#aheadBytes = 0;
    return chunks;
  }

  #flow(): void {
    if (this.#paused.size === 0 && this.state !== 'ending') this.client.socket.resume();
  }
}

function unknownOutcome(reason: string): string {
  return `-ERR ${reason}: the engine's answer was not received; this command may or may not have been executed\r\n`;
}
