/**
 * The connection of one user to one shard that listens. RESP3, so that messages (pushes) and errors
 * (replies) can be told apart. What it should listen to is a set; after a loss, or when the shard has
 * another primary, everything is subscribed again on a new connection, and the old one is dropped
 * only then. In between a message may be missed: that is counted and said (engine rule 18).
 */
import { connect, type Socket } from 'node:net';
import { encodeCommand, type Push, type Reply, ReplyParser, RespError } from '../../resp/index.ts';
import { introduce, type LaneLogin } from './lane-login.ts';
import { LANE_RETRY_MS } from './limits.ts';
import type { Shard } from './shard.ts';
import type { Kind } from './subscriptions.ts';

type Listener = (kind: Kind, name: string, channel: string, payload: Buffer) => void;

interface Wish {
  readonly kind: Kind;
  readonly name: string;
  confirmed: boolean;
  waiting: ((error: string | null) => void)[];
}

interface Connection {
  readonly socket: Socket;
  readonly node: string;
  ready: boolean;
  /** Sent and not answered, in order; null: an unsubscription, whose confirmation nobody awaits. */
  readonly asked: (Wish | null)[];
}

export class Upstream {
  readonly shard: Shard;
  readonly #login: LaneLogin;
  readonly #listener: Listener;
  readonly #wishes = new Map<string, Wish>();
  #current: Connection | null = null;
  #next: Connection | null = null;
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(shard: Shard, login: LaneLogin, listener: Listener) {
    this.shard = shard;
    this.#login = { ...login, protocol: 3, database: 0, tracking: null };
    this.#listener = listener;
  }

  want(kind: Kind, name: string, confirmed: (error: string | null) => void): void {
    const key = `${kind} ${name}`;
    let wish = this.#wishes.get(key);
    if (wish?.confirmed === true) return confirmed(null);
    if (wish === undefined) {
      wish = { kind, name, confirmed: false, waiting: [confirmed] };
      this.#wishes.set(key, wish);
      const at = this.#next ?? this.#current;
      if (at?.ready === true) this.#ask(at, wish);
    } else {
      wish.waiting.push(confirmed);
    }
    if (this.#current === null && this.#next === null) this.#open();
  }

  drop(kind: Kind, name: string): void {
    if (!this.#wishes.delete(`${kind} ${name}`)) return;
    const undo =
      kind === 'subscribe'
        ? 'UNSUBSCRIBE'
        : kind === 'psubscribe'
          ? 'PUNSUBSCRIBE'
          : 'SUNSUBSCRIBE';
    for (const at of [this.#current, this.#next]) {
      if (at?.ready !== true) continue;
      at.asked.push(null);
      at.socket.write(encodeCommand([undo, Buffer.from(name, 'latin1')]));
    }
    if (this.#wishes.size === 0) this.#end();
  }

  *active(): Generator<readonly [Kind, string]> {
    for (const wish of this.#wishes.values()) if (wish.confirmed) yield [wish.kind, wish.name];
  }

  /** The shard may have another primary. */
  follow(): void {
    if (this.#wishes.size === 0) return;
    const node = this.shard.view.primary?.node;
    const at = this.#next ?? this.#current;
    if (at === null || (node !== undefined && at.node !== node)) this.#open();
  }

  #open(): void {
    const { primary } = this.shard.view;
    if (this.#closed) return;
    if (primary === null) return this.#later();
    this.#next?.socket.destroy();
    const socket = connect(primary.socket);
    const next: Connection = { socket, node: primary.node, ready: false, asked: [] };
    this.#next = next;
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#lost(next));
    socket.on('connect', () => {
      introduce(socket, this.#login, 'primary', (result) => {
        if (typeof result === 'string') return socket.destroy();
        const parser = new ReplyParser({
          onReply: (reply) => this.#replied(next, reply),
          onPush: (push) => this.#pushed(next, push),
        });
        socket.on('data', (chunk: Buffer) => parser.push(chunk));
        next.ready = true;
        for (const wish of this.#wishes.values()) this.#ask(next, wish);
        if (next.asked.length === 0) this.#switch(next);
      });
    });
  }

  #ask(at: Connection, wish: Wish): void {
    at.asked.push(wish);
    at.socket.write(encodeCommand([wish.kind.toUpperCase(), Buffer.from(wish.name, 'latin1')]));
  }

  #replied(at: Connection, reply: Reply): void {
    if (reply instanceof RespError) this.#answered(at, reply.message);
  }

  #pushed(at: Connection, push: Push): void {
    const [first, second, third] = push.items;
    switch (push.kind) {
      case 'message':
        return this.#message(at, 'subscribe', first, first, second);
      case 'smessage':
        return this.#message(at, 'ssubscribe', first, first, second);
      case 'pmessage':
        return this.#message(at, 'psubscribe', first, second, third);
      default:
        this.#answered(at, null);
    }
  }

  #message(at: Connection, kind: Kind, name?: Reply, channel?: Reply, payload?: Reply): void {
    // While two connections listen, the older one speaks: every message once.
    if (this.#current !== null && at !== this.#current) return;
    if (!Buffer.isBuffer(name) || !Buffer.isBuffer(channel) || !Buffer.isBuffer(payload)) return;
    this.#listener(kind, name.toString('latin1'), channel.toString('latin1'), payload);
  }

  #answered(at: Connection, error: string | null): void {
    const wish = at.asked.shift();
    if (wish !== null && wish !== undefined) {
      wish.confirmed = error === null;
      if (error !== null) this.#wishes.delete(`${wish.kind} ${wish.name}`);
      for (const confirmed of wish.waiting.splice(0)) confirmed(error);
    }
    if (at === this.#next && at.asked.length === 0) this.#switch(at);
  }

  /** Everything is subscribed on the new connection. */
  #switch(next: Connection): void {
    const old = this.#current;
    this.#current = next;
    this.#next = null;
    old?.socket.destroy();
  }

  #lost(connection: Connection): void {
    if (connection === this.#next) this.#next = null;
    else if (connection === this.#current) {
      this.#current = null;
      const { host, database } = this.shard.world;
      host.emit({
        type: 'event',
        at: host.now(),
        kind: 'limit',
        database,
        limit: 'subscription-remade',
        detail: `shard ${this.shard.id}: ${this.#wishes.size} subscriptions are made again; messages may have been missed`,
      });
    } else return;
    if (this.#wishes.size > 0) this.#later();
  }

  #later(): void {
    if (this.#timer !== null || this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      if (this.#wishes.size > 0 && this.#current === null && this.#next === null) this.#open();
    }, LANE_RETRY_MS);
  }

  #end(): void {
    const { socket } = this.#current ?? {};
    this.#current = null;
    socket?.destroy();
    const next = this.#next;
    this.#next = null;
    next?.socket.destroy();
  }

  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#end();
  }
}
