/**
 * The connection of one user to one shard that listens. RESP3, so that messages (pushes) and errors
 * (replies) can be told apart. What it should listen to is a set; after a loss, or when the shard has
 * another primary, everything is subscribed again on a new connection, and the old one is dropped a
 * moment later: both are heard, and each message is passed on once (overlap.ts). After a loss a message
 * may be missed in between: that is counted and said (engine rule 18).
 */
import { connect, type Socket } from 'node:net';
import { encodeCommand, type Push, type Reply, ReplyParser, RespError } from '../../resp/index.ts';
import { introduce, type LaneLogin } from './lane-login.ts';
import { BUS_LATE_MS, LANE_RETRY_MS, OLD_LEADS_MS, OVERLAP_MS } from './limits.ts';
import { type Message, Overlap, Recent } from './overlap.ts';
import type { Shard } from './shard.ts';
import type { Kind } from './subscriptions.ts';

type Listener = (message: Message) => void;

interface Wish {
  readonly kind: Kind;
  readonly name: string;
  confirmed: boolean;
  waiting: ((error: string | null) => void)[];
}

/** A PING: what was published before has been passed on. */
interface Mark {
  readonly passed: () => void;
}

interface Connection {
  readonly socket: Socket;
  readonly node: string;
  ready: boolean;
  /** Sent and not answered, in order; null: a confirmation that nobody awaits. */
  readonly asked: (Wish | Mark | null)[];
}

export class Upstream {
  readonly shard: Shard;
  readonly login: LaneLogin;
  readonly #listener: Listener;
  readonly #moved: () => void;
  /** Version of the slot map: all that was published before has been passed on. */
  passed = 0;
  readonly #wishes = new Map<string, Wish>();
  #current: Connection | null = null;
  #next: Connection | null = null;
  /** Was current before, and is still heard. */
  #old: Connection | null = null;
  #overlap: Overlap | null = null;
  readonly #recent = new Recent();
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #settled = new Set<() => void>();
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  /** `moved`: a sharded channel is another shard's now. */
  constructor(shard: Shard, login: LaneLogin, listener: Listener, moved: () => void) {
    this.shard = shard;
    this.login = { ...login, protocol: 3, database: 0, tracking: null, noTouch: false };
    this.#listener = listener;
    this.#moved = moved;
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
    const key = `${kind} ${name}`;
    const wish = this.#wishes.get(key);
    if (wish === undefined) return;
    this.#wishes.delete(key);
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
    refuse(wish);
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

  /** Calls once when everything is subscribed on the primary of now, or that takes too long. */
  whenSettled(withinMs: number, done: () => void): void {
    const at = this.#next ?? this.#current;
    if (at === null || (at === this.#current && at.asked.length === 0)) return done();
    const once = (): void => {
      clearTimeout(timer);
      if (this.#settled.delete(once)) done();
    };
    // If it was this process that was late, its answers are there, and are read before it gives up.
    const timer = setTimeout(() => setImmediate(once), withinMs);
    this.#settled.add(once);
  }

  /** Calls back when the messages of now are passed on, or will never come. */
  whenPassed(done: () => void): void {
    // The first one is heard before all that it is asked for is confirmed.
    const at = this.#current ?? this.#next;
    if (at?.ready !== true) return done();
    at.asked.push({ passed: done });
    at.socket.write(PING);
  }

  #open(): void {
    const { primary } = this.shard.view;
    if (this.#closed) return;
    if (primary === null) return this.#later();
    this.#next?.socket.destroy();
    const socket = connect(primary.socket);
    const next: Connection = { socket, node: primary.node, ready: false, asked: [] };
    this.#next = next;
    const earlier = this.#overlap;
    this.#endOverlap();
    if (this.#current !== null) {
      this.#overlap = new Overlap(this.#recent, this.#mayComeLate, earlier);
    }
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#lost(next));
    socket.on('connect', () => {
      introduce(socket, this.login, 'primary', (result) => {
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
    this.#answered(at, reply instanceof RespError ? reply.message : null);
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
      case 'sunsubscribe':
        return this.#ended(at, first);
      default:
        this.#answered(at, null);
    }
  }

  /**
   * An engine ends sharded subscriptions when it takes over their slots, from whoever, and when it loses
   * them: asked again, and in the second case told that they are another's.
   */
  #ended(at: Connection, name: Reply | undefined): void {
    if (at.asked[0] === null || !Buffer.isBuffer(name)) return this.#answered(at, null);
    if (at !== (this.#next ?? this.#current)) return;
    const wish = this.#wishes.get(`ssubscribe ${name.toString('latin1')}`);
    if (wish === undefined) return;
    wish.confirmed = false;
    this.#ask(at, wish);
  }

  #message(at: Connection, kind: Kind, name?: Reply, channel?: Reply, payload?: Reply): void {
    if (!Buffer.isBuffer(name) || !Buffer.isBuffer(channel) || !Buffer.isBuffer(payload)) return;
    const [wish, where] = [name.toString('latin1'), channel.toString('latin1')];
    const message = { kind, name: wish, channel: where, payload };
    if (this.#overlap !== null) {
      const newer = this.#next ?? this.#current;
      this.#pass(at === newer ? this.#overlap.new(message) : this.#overlap.old(message));
      if (this.#overlap.full) this.#endOverlap();
    } else if (this.#current === null || at === this.#current) this.#pass([message]);
  }

  #pass(messages: readonly Message[]): void {
    for (const message of messages) {
      this.#recent.add(message);
      this.#listener(message);
    }
  }

  /**
   * Nobody publishes at this primary before we listen there (listeners-first.ts). But an ordinary message
   * may have been published at another shard: in a script, in a transaction, at that one's own address.
   */
  readonly #mayComeLate = ({ kind }: Message): boolean =>
    kind !== 'ssubscribe' && this.shard.world.topology.known().length > 1;

  #answered(at: Connection, error: string | null): void {
    const wish = at.asked.shift();
    if (wish !== null && wish !== undefined && 'passed' in wish) wish.passed();
    else if (wish !== null && wish !== undefined) {
      wish.confirmed = error === null;
      const key = `${wish.kind} ${wish.name}`;
      if (error !== null && this.#wishes.get(key) === wish) this.#wishes.delete(key);
      if (error?.startsWith('MOVED ') === true) this.#moved();
      for (const confirmed of wish.waiting.splice(0)) confirmed(error);
    }
    if (at.asked.length > 0) return;
    if (at === this.#next) this.#switch(at);
    // The old one, too, is asked again for sharded channels: that it has them says nothing of the next.
    else if (at === this.#current && this.#next === null) this.#settle();
  }

  #settle(): void {
    for (const settled of [...this.#settled]) settled();
  }

  /** Everything is subscribed on the new connection. */
  #switch(next: Connection): void {
    this.#old = this.#current;
    this.#current = next;
    this.#next = null;
    const overlap = this.#overlap;
    if (overlap === null) this.#endOverlap();
    else {
      overlap.both();
      this.#timers.push(
        setTimeout(() => this.#pass(overlap.join()), OLD_LEADS_MS),
        setTimeout(() => this.#dropOld(), OVERLAP_MS),
        setTimeout(() => this.#endOverlap(), OVERLAP_MS + BUS_LATE_MS),
      );
    }
    this.#settle();
  }

  #endOverlap(): void {
    for (const timer of this.#timers.splice(0)) clearTimeout(timer);
    if (this.#overlap !== null) this.#pass(this.#overlap.join());
    this.#overlap = null;
    this.#dropOld();
  }

  #dropOld(): void {
    this.#old?.socket.destroy();
    this.#old = null;
  }

  #lost(connection: Connection): void {
    for (const asked of connection.asked.splice(0)) {
      if (asked !== null && 'passed' in asked) asked.passed();
    }
    const older = this.#next === null ? this.#old : this.#current;
    if (connection === older && this.#overlap !== null) this.#pass(this.#overlap.join());
    if (connection === this.#next) {
      this.#next = null;
      this.#overlap = null;
    } else if (connection === this.#current) {
      this.#current = null;
      this.shard.world.reached(
        'subscription-remade',
        `shard ${this.shard.id}: ${this.#wishes.size} subscriptions are made again; messages may have been missed`,
      );
    } else return;
    if (this.#wishes.size > 0) this.#later();
  }

  #later(): void {
    if (this.#timer !== null || this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      if (this.#next === null) this.follow();
    }, LANE_RETRY_MS);
  }

  #end(): void {
    this.#endOverlap();
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
    for (const wish of this.#wishes.values()) refuse(wish);
    this.#wishes.clear();
  }
}

/** Who waits for it asks again, at whoever has it then. */
function refuse({ waiting }: Wish): void {
  for (const confirmed of waiting.splice(0)) confirmed("CLUSTERDOWN not this shard's any more");
}

const PING = encodeCommand(['PING']);
